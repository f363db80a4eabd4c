//! URLs as they may be printed: messages end up in public job logs.
//!
//! An error keeps a [`PublicUrl`], not a URL, so that no message can show what grants access: user name and password, and the
//! query of a redirect, which often is a signature.

use std::fmt;
use std::ops::Range;

use url::Url;

/// A URL without what grants access. What it was made from can't be got back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Of a text that could not be parsed, and may hold a password all the same.
    pub fn of_text(text: &str) -> Self {
        let mut shown = text.to_owned();
        if let Some(user) = user_info(text, &[]) {
            shown.replace_range(user, "…");
        }
        Self(shown)
    }

    /// Of a text that could not be parsed, as it is written where no password is needed.
    pub(crate) fn bare_text(text: &str) -> String {
        let mut shown = text.to_owned();
        if let Some(user) = user_info(text, &['/']) {
            shown.replace_range(user.start..=user.end, "");
        }
        shown
    }

    /// Of all that look like URLs in a line of text.
    pub(crate) fn in_line(mut line: String) -> String {
        let mut from = 0;
        while let Some(scheme) = line[from..].find("://") {
            if let Some(user) = user_info(&line[from..], &['/', ' ', '"', '\'', ',']) {
                line.replace_range(from + user.start..from + user.end, "…");
            }
            from += scheme + 3;
        }
        line
    }
}

/// The same URL without user name and password.
pub(crate) fn without_user(url: &Url) -> Url {
    let mut bare = url.clone();
    // Both fail only for URLs that can't have any.
    let _ = bare.set_password(None);
    let _ = bare.set_username("");
    bare
}

/// Where user name and password stand in a text that has a scheme: up to the last `@` before the host `ends`.
fn user_info(text: &str, ends: &[char]) -> Option<Range<usize>> {
    let start = text.find("://")? + 3;
    let end = text[start..].find(ends).map_or(text.len(), |length| start + length);
    text[start..end].rfind('@').map(|at| start..start + at)
}

impl From<&Url> for PublicUrl {
    fn from(url: &Url) -> Self {
        let mut url = without_user(url);
        if url.query().is_some() {
            url.set_query(Some("…"));
        }
        Self(String::from(url).replace("?%E2%80%A6", "?…"))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn public(url: &str) -> String {
        PublicUrl::from(&url.parse::<Url>().unwrap()).to_string()
    }

    #[test]
    fn a_url_loses_what_grants_access() {
        for (url, shown) in [
            ("https://user:secret@host:8/x", "https://host:8/x"),
            ("https://secret@host/x?", "https://host/x?…"),
            ("https://host/x?X-Amz-Signature=secret&y#z", "https://host/x?…#z"),
            ("https://host/a%3Fb", "https://host/a%3Fb"),
            ("http://user:secret@proxy:3128", "http://proxy:3128/"),
            ("s3://key:secret@bucket/x", "s3://bucket/x"),
            ("oci+http://user:secret@host/v2/x", "oci+http://host/v2/x"),
            ("file:///srv/a@b", "file:///srv/a@b"),
            ("mailto:me@host", "mailto:me@host"),
        ] {
            assert_eq!(public(url), shown);
        }
    }

    #[test]
    fn a_text_that_is_no_url_loses_its_password_too() {
        for (text, shown, bare) in [
            ("s3x://user:secret@host/x", "s3x://…@host/x", "s3x://host/x"),
            ("https://user:secret@ho st/x", "https://…@ho st/x", "https://ho st/x"),
            ("https://user:se/cret@host", "https://…@host", "https://user:se/cret@host"),
            ("https://a@b@host/${X}", "https://…@host/${X}", "https://host/${X}"),
            ("://@", "://…@", "://"),
            ("me@host", "me@host", "me@host"),
            ("a@b://c", "a@b://c", "a@b://c"),
            ("", "", ""),
        ] {
            assert_eq!(PublicUrl::of_text(text).to_string(), shown);
            assert_eq!(PublicUrl::bare_text(text), bare);
        }
    }

    #[test]
    fn a_line_loses_the_passwords_of_all_its_urls() {
        for (line, shown) in [
            ("url: https://me:secret@host/x, b: ftp://a@b", "url: https://…@host/x, b: ftp://…@b"),
            ("a 'https://host/x' me@host", "a 'https://host/x' me@host"),
            ("://@://@", "://…@://…@"),
        ] {
            assert_eq!(PublicUrl::in_line(line.to_owned()), shown);
        }
    }

    proptest! {
        #[test]
        fn no_password_survives(user in "[a-z]{0,9}", password in "[A-Z]{6,20}", path in "[a-z/@]{0,9}") {
            let text = format!("https://{user}:{password}@host.example/{path}");
            let url = text.parse::<Url>().unwrap();
            for shown in [
                format!("{0} {0:?}", PublicUrl::from(&url)),
                format!("{0} {0:?}", PublicUrl::of_text(&text)),
                PublicUrl::in_line(format!("{text} {text}")),
                PublicUrl::bare_text(&text),
            ] {
                prop_assert!(!shown.contains(&password), "{}", shown);
            }
        }
    }
}
