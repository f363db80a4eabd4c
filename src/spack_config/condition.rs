//! `when:` of an include. Spack evaluates it as Python; larder knows the comparisons that real files have there.
//!
//! `"X" in env`, `env.get("X", "…") == "…"`, `platform == "…"`, each also with `not in`, `in` and `!=`, joined by `and` and `or`.
//! Whatever else there is (`os`, `hostname`, `re.match(…)`, parentheses), the condition has no answer, not even where Python
//! would find one without looking at that part.

use super::substitute::platform;
use crate::types::Variables;

/// The outcome of a condition, `None` where larder can't tell.
pub(super) fn evaluate(condition: &str, variables: &Variables) -> Option<bool> {
    // A text that holds ` or ` is torn apart here, but then neither part is a comparison: a quote is missing.
    condition.split(" or ").try_fold(false, |any, part| {
        let all = part.split(" and ").try_fold(true, |all, part| Some(comparison(part, variables)? && all))?;
        Some(any || all)
    })
}

fn comparison(text: &str, variables: &Variables) -> Option<bool> {
    let signs = [" not in ", " in ", "!=", "=="];
    let (sign, (left, right)) = signs.iter().find_map(|sign| Some((*sign, text.split_once(sign)?)))?;
    let (left, right) = (left.trim(), right.trim());
    let holds = match (sign, right) {
        (" in " | " not in ", "env") => variables.get(quoted(left)?).is_some(),
        (" in " | " not in ", _) => value(right, variables)?.contains(value(left, variables)?),
        _ => value(left, variables)? == value(right, variables)?,
    };
    Some(holds != matches!(sign, " not in " | "!="))
}

fn value<'a>(text: &'a str, variables: &'a Variables) -> Option<&'a str> {
    if text == "platform" {
        return Some(platform());
    }
    if let Some(name) = text.strip_prefix("env[").and_then(|rest| rest.strip_suffix(']')) {
        // Where the variable is not set, Spack stops with an error.
        return variables.get(quoted(name)?);
    }
    let Some(arguments) = text.strip_prefix("env.get(").and_then(|rest| rest.strip_suffix(')')) else {
        return quoted(text);
    };
    match arguments.split_once(',') {
        Some((name, default)) => {
            let default = quoted(default)?;
            Some(variables.get(quoted(name)?).unwrap_or(default))
        }
        None => variables.get(quoted(arguments)?),
    }
}

/// The text between quotes, if that is all there is.
fn quoted(text: &str) -> Option<&str> {
    let text = text.trim();
    let quote = text.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inner.contains([quote, '\\'])).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcome(condition: &str) -> Option<bool> {
        let set = [("CI", "true"), ("SITE", "north"), ("EMPTY", "")];
        evaluate(condition, &Variables::new(set.map(|(name, value)| (name.to_owned(), value.to_owned()))))
    }

    #[test]
    fn conditions_of_real_files_have_an_outcome() {
        for yes in [
            "'CI' in env",
            r#""SPACK_DISABLE_LOCAL_CONFIG" not in env"#,
            r#"env["SITE"] == "north""#,
            "env.get('SITE', '') != 'south'",
            "env.get('UNSET', '1') == '1'",
            "env.get('SITE')=='north'",
            "'X' in env or 'CI' in env and env['SITE'] != 'south'",
            "'ort' in env['SITE']",
            "platform != 'plan9' and 'CI' in env",
        ] {
            assert_eq!(outcome(yes), Some(true), "{yes}");
        }
        for no in ["'X' in env", "platform == 'plan9'", "env.get('UNSET', 'x') == 'y'", "'X' in env and 'CI' in env"] {
            assert_eq!(outcome(no), Some(false), "{no}");
        }
    }

    #[test]
    fn what_larder_does_not_know_has_none() {
        for unknown in [
            "os == 'rhel8'",
            "'CI' in env or target == 'zen4'",
            "re.match('a', hostname)",
            "env['UNSET'] == 'x'",
            "env.get('UNSET') != 'x'",
            "not 'CI' in env",
            "('CI' in env)",
            "True",
            "1 < 2",
            "'CI' in",
            ")",
            "",
            r"'\x43I' in env",
            "'C' 'I' in env",
        ] {
            assert_eq!(outcome(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn words_inside_of_a_text_are_no_operators() {
        for torn in [
            r#"'a or "CI" in env or b' == env["SITE"]"#,
            r#"env["SITE"] == "north or 'CI' in env""#,
            r#"env.get("SITE") == "a and 'X' in env""#,
            "'x' == 'y' in ''",
            "platform == platform == 'x'",
        ] {
            assert_eq!(outcome(torn), None, "{torn}");
        }
    }

    proptest! {
        #[test]
        fn no_condition_panics(condition in r#"([()\[\].,=]| and | or |not | in |env|'CI'|==|platform|é|"x"){0,40}|.*"#) {
            let _ = outcome(&condition);
        }
    }
}
