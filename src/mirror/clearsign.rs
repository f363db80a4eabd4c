//! The text inside an OpenPGP clear-signed document (RFC 9580, section 7).
//!
//! larder reads the digest from this text and Spack's GnuPG verifies it, so both must see the same text. The reader is
//! therefore strict: the signed message is the whole document, there is one of it, and nothing stands before or behind it
//! where one of the two might look for another.

use std::borrow::Cow;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// The signed text, or `None` for a document without signature.
pub(super) fn signed_text(document: &str) -> Result<Option<Cow<'_, str>>, &'static str> {
    let Some(rest) = document.strip_prefix(BEGIN) else {
        return if document.contains(BEGIN) { Err("something stands before the signed message") } else { Ok(None) };
    };
    let rest = rest.trim_start_matches([' ', '\t', '\r']).strip_prefix('\n').ok_or("the signed message is broken")?;
    // Armor headers, of which `Hash:` is the only one allowed, end with an empty line.
    let mut body = rest;
    loop {
        let (line, after) = body.split_once('\n').ok_or("the signed message is broken")?;
        body = after;
        match line.trim_end() {
            "" => break,
            header if header.starts_with("Hash: ") => {}
            _ => return Err("the signed message has an unknown header"),
        }
    }
    let (text, signature) = body.split_once(&format!("\n{SIGNATURE}")).ok_or("the signature is missing")?;
    if signature.contains(SIGNATURE) || document[BEGIN.len()..].contains(BEGIN) {
        return Err("there is more than one signed message");
    }
    match signature.split_once(END) {
        Some((_, behind)) if behind.trim().is_empty() => {}
        Some(_) => return Err("something stands behind the signature"),
        None => return Err("the signature is cut short"),
    }
    // A line that starts with a dash is escaped with `- `.
    if text.starts_with("- ") || text.contains("\n- ") {
        let unescape = |line: &str| line.strip_prefix("- ").unwrap_or(line).to_owned();
        return Ok(Some(Cow::Owned(text.split('\n').map(unescape).collect::<Vec<_>>().join("\n"))));
    }
    Ok(Some(Cow::Borrowed(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{\"a\": 1}\n-----BEGIN PGP SIGNATURE-----\n\nxyz\n-----END PGP SIGNATURE-----\n";

    #[test]
    fn the_text_comes_out_and_a_plain_document_is_none() {
        assert_eq!(signed_text(SIGNED).unwrap().unwrap(), "{\"a\": 1}");
        assert_eq!(signed_text("{\"a\": 1}").unwrap(), None);
        assert_eq!(signed_text(&SIGNED.replace('\n', "\r\n")).unwrap().unwrap().trim_end(), "{\"a\": 1}");
    }

    #[test]
    fn an_escaped_dash_is_restored() {
        let signed = SIGNED.replace("{\"a\": 1}", "- - x\n- -----y");
        assert_eq!(signed_text(&signed).unwrap().unwrap(), "- x\n-----y");
    }

    #[test]
    fn whatever_verifier_and_reader_could_see_differently_is_refused() {
        for bad in [
            format!("{{\"a\": 2}}\n{SIGNED}"),
            format!("{SIGNED}{{\"a\": 2}}"),
            format!("{SIGNED}{SIGNED}"),
            SIGNED.replace("Hash: SHA512", "Comment: {}"),
            SIGNED.replace(END, ""),
            SIGNED.replace(SIGNATURE, ""),
        ] {
            assert!(signed_text(&bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(-----BEGIN PGP SIGNED MESSAGE-----|\\n|Hash: x|-----BEGIN PGP SIGNATURE-----|.){0,12}") {
            let _ = signed_text(&text);
        }
    }
}
