//! "Did you mean …?"

/// A hint where `found` stands and one of `known` belongs: the nearest of them, or all.
pub(crate) fn hint(found: &str, known: &[&str]) -> String {
    if let Some(word) = nearest(found, known) {
        return format!("did you mean `{word}`?");
    }
    let all: Vec<_> = known.iter().map(|word| format!("`{word}`")).collect();
    format!("expected one of {}", all.join(", "))
}

/// The word that was probably meant, if one is near enough.
fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    // Longer than any key with a few slips in it: nothing that the quadratic comparison should be given.
    if found.len() > 64 {
        return None;
    }
    let spelled = found.to_lowercase().replace(['_', ' '], "-");
    known
        .iter()
        .map(|word| (strsim::osa_distance(&spelled, word), *word))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, word)| *distance <= word.len().div_ceil(3))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["mirrors", "caches", "max-age", "build-deps"];

    #[test]
    fn a_slip_leads_to_the_word_that_was_meant() {
        for (found, meant) in [
            ("mirrorrs", "mirrors"),
            ("cahces", "caches"),
            ("cache", "caches"),
            ("max_age", "max-age"),
            ("MaxAge", "max-age"),
        ] {
            assert_eq!(hint(found, KNOWN), format!("did you mean `{meant}`?"));
        }
    }

    #[test]
    fn an_unlike_word_leads_to_the_whole_list() {
        let all = "expected one of `mirrors`, `caches`, `max-age`, `build-deps`";
        assert_eq!(hint("stages", KNOWN), all);
        assert_eq!(hint(&"mirrors".repeat(100), KNOWN), all);
    }
}
