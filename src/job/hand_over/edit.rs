//! Putting mirrors into a text of YAML before those that it has, and taking them out again.
//!
//! Comments, formatting and everything else stay byte for byte. Where a text is written in a way that the editor does not know, the
//! result would say something else than it must: it is read again and compared each time, so that such a text is refused and
//! never spoiled.

use std::path::Path;

use crate::job::scope::JobMirror;
use crate::types::{Signatures, shorten};
use crate::yaml::{Dialect, Entry, Node, Place, Problem, Result, Scalar, Value, parse};

/// Where a file has its `mirrors:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Section {
    /// Below `spack:`, in an environment.
    Environment,
    /// At the top, in a file of a scope.
    Scope,
}

/// A text to edit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    /// Its name in messages.
    pub(super) file: &'a Path,
    pub(super) section: Section,
}

impl<'a> Text<'a> {
    /// The text with the mirrors before all others.
    pub(super) fn with(self, mirrors: &[JobMirror]) -> Result<String> {
        let root = self.root()?;
        let holder = self.holder(&root)?;
        let before = mirrors_of(holder)?;
        if let Some(Entry { value: Node { value: Value::Map(entries), .. }, .. }) = before
            && let Some(taken) = entries.iter().find(|entry| mirrors.iter().any(|mirror| mirror.name == entry.key))
        {
            let problem = Problem::new(format!("a mirror is called `{}` already", shorten(&taken.key)));
            return Err(problem.at(&taken.key_place));
        }
        let text = match (before, &holder.value) {
            (Some(Entry { value: Node { value: Value::Map(entries), place }, .. }), _) => match entries.first() {
                Some(first) if !self.is_flow(place) => {
                    self.lines_before(&first.key_place, |indent| block(indent, mirrors))
                }
                first => self.after_brace(place, &flow(mirrors), first.is_some()),
            },
            (Some(entry), _) if is_empty(&entry.value) => {
                self.lines_after(&entry.key_place, |indent| block(&format!("{indent}  "), mirrors))
            }
            (Some(entry), _) => return Err(entry.value.refuse("a map of mirrors")),
            (None, Value::Map(entries)) => match entries.first() {
                Some(first) if !self.is_flow(&holder.place) => {
                    self.lines_before(&first.key_place, |indent| section(indent, mirrors))
                }
                first => self.after_brace(&holder.place, &format!("mirrors: {{{}}}", flow(mirrors)), first.is_some()),
            },
            (None, _) if is_empty(holder) => match root.entry("spack") {
                Some(spack) if self.section == Section::Environment => {
                    self.lines_after(&spack.key_place, |indent| section(&format!("{indent}  "), mirrors))
                }
                _ => self.at_end(&section("", mirrors)),
            },
            (None, _) => return Err(holder.refuse("a map")),
        };
        self.checked(text, &root, |before| {
            let mut entries: Vec<Entry> = mirrors.iter().map(entry_of).collect();
            entries.extend(before);
            entries
        })
    }

    /// The text without those of the mirrors that it has; `None` where it has none.
    pub(super) fn without(self, mirrors: &[JobMirror], key: EmptyKey) -> Result<Option<String>> {
        let root = self.root()?;
        let Ok(holder) = self.holder(&root) else { return Ok(None) };
        let Some(Entry { key_place, value: Node { value: Value::Map(entries), place }, .. }) = mirrors_of(holder)?
        else {
            return Ok(None);
        };
        let is_ours = |entry: &Entry| mirrors.iter().any(|mirror| mirror.is(&entry.key, url_of(&entry.value)));
        let ours: Vec<&Entry> = entries.iter().filter(|entry| is_ours(entry)).collect();
        let (Some(first), Some(last)) = (ours.first(), ours.last()) else { return Ok(None) };
        let goes_with_key = key == EmptyKey::Goes && ours.len() == entries.len();
        let text = if !self.is_flow(place) {
            let from = if goes_with_key { key_place } else { &first.key_place };
            self.without_lines(from, last_line(&last.value))
        } else if let (true, Value::Map(around)) = (goes_with_key, &holder.value) {
            let next = around.iter().skip_while(|entry| entry.key_place != *key_place).nth(1);
            self.without_flow(key_place, &format!("mirrors: {{{}}}", flow(mirrors)), next)
        } else {
            let next = entries.iter().skip_while(|entry| !is_ours(entry)).find(|entry| !is_ours(entry));
            self.without_flow(&first.key_place, &flow(mirrors), next)
        };
        self.checked(text, &root, |before| before.into_iter().filter(|entry| !is_ours(entry)).collect()).map(Some)
    }

    /// Those mirrors of the text that lie in a job folder, this one or another.
    pub(super) fn job_mirrors(self) -> Vec<JobMirror> {
        let found = self.root().ok();
        let holder = found.as_ref().and_then(|root| self.holder(root).ok());
        let mirrors = holder.and_then(|holder| mirrors_of(holder).ok().flatten());
        let entries = match mirrors.map(|mirrors| &mirrors.value.value) {
            Some(Value::Map(entries)) => &entries[..],
            _ => &[],
        };
        let mirror = |entry: &Entry| JobMirror {
            name: entry.key.clone(),
            url: url_of(&entry.value).to_owned(),
            signatures: Signatures::from(!entry.value.get("signed").is_some_and(|signed| says(signed, "false"))),
        };
        entries.iter().map(mirror).filter(|mirror| mirror.job_folder().is_some()).collect()
    }

    /// Whether the text has a key for mirrors.
    pub(super) fn has_key(self) -> bool {
        let Ok(root) = self.root() else { return false };
        self.holder(&root).is_ok_and(|holder| mirrors_of(holder).is_ok_and(|entry| entry.is_some()))
    }

    fn root(self) -> Result<Node> {
        parse(self.text, self.file, Dialect::Spack)
    }

    /// The map that has, or is to have, the key `mirrors`.
    fn holder(self, root: &Node) -> Result<&Node> {
        match self.section {
            Section::Scope => Ok(root),
            Section::Environment => {
                root.get("spack").ok_or_else(|| Problem::new("there is no `spack:` in it").at(&root.place))
            }
        }
    }

    fn is_flow(self, place: &Place) -> bool {
        self.text[self.offset(place)..].starts_with('{')
    }

    fn offset(self, place: &Place) -> usize {
        let start = self.line_start(place.line);
        let mut characters = self.text[start..].char_indices();
        characters.nth(place.column - 1).map_or(self.text.len(), |(at, _)| start + at)
    }

    /// Where a line begins, counted from 1; the end of the text behind its last one.
    fn line_start(self, line: usize) -> usize {
        self.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum()
    }

    fn indent_of(self, place: &Place) -> String {
        " ".repeat(place.column - 1)
    }

    /// New lines, each with the line break of the text.
    fn insert_lines(self, at: usize, lines: &str) -> String {
        let lines = if self.text.contains("\r\n") { lines.replace('\n', "\r\n") } else { lines.to_owned() };
        let (before, after) = self.text.split_at(at);
        let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
        format!("{before}{gap}{lines}{after}")
    }

    fn lines_before(self, place: &Place, lines: impl Fn(&str) -> String) -> String {
        self.insert_lines(self.line_start(place.line), &lines(&self.indent_of(place)))
    }

    fn lines_after(self, place: &Place, lines: impl Fn(&str) -> String) -> String {
        self.insert_lines(self.line_start(place.line + 1), &lines(&self.indent_of(place)))
    }

    fn at_end(self, lines: &str) -> String {
        self.insert_lines(self.text.len(), lines)
    }

    fn after_brace(self, place: &Place, what: &str, more_follows: bool) -> String {
        let (before, after) = self.text.split_at((self.offset(place) + 1).min(self.text.len()));
        format!("{before}{what}{}{after}", if more_follows { ", " } else { "" })
    }

    fn without_lines(self, from: &Place, last: usize) -> String {
        let (start, end) = (self.line_start(from.line), self.line_start(last + 1));
        format!("{}{}", &self.text[..start], self.text.get(end.max(start)..).unwrap_or_default())
    }

    /// Without the very text that [`Self::with`] put there, or else up to what follows.
    fn without_flow(self, from: &Place, what: &str, next: Option<&Entry>) -> String {
        let start = self.offset(from);
        let rest = &self.text[start..];
        let after = match (rest.strip_prefix(what), next) {
            (Some(after), _) => after.strip_prefix(", ").unwrap_or(after),
            (None, Some(next)) => self.text.get(self.offset(&next.key_place)..).unwrap_or_default(),
            (None, None) => rest,
        };
        format!("{}{after}", &self.text[..start])
    }

    /// The edited text, if it says what the one before does but for the mirrors.
    fn checked(self, text: String, before: &Node, change: impl Fn(Vec<Entry>) -> Vec<Entry>) -> Result<String> {
        let mut expected = before.clone();
        let unlike = || Problem::new("it is written in a way that larder can't edit").at(&before.place);
        let holder = match self.section {
            Section::Scope => &mut expected,
            Section::Environment => value_of(&mut expected, "spack").ok_or_else(unlike)?,
        };
        if is_empty(holder) {
            holder.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut holder.value else { return Err(unlike()) };
        let at = entries.iter().position(is_mirrors);
        let mut key = match at {
            Some(at) => entries.remove(at),
            None => Entry {
                key: "mirrors".to_owned(),
                key_place: before.place.clone(),
                value: Node { value: Value::Map(Vec::new()), place: before.place.clone() },
                replaces: false,
            },
        };
        let mirrors = match &mut key.value.value {
            Value::Map(mirrors) => std::mem::take(mirrors),
            _ => Vec::new(),
        };
        key.value.value = Value::Map(change(mirrors));
        entries.insert(at.unwrap_or(0), key);
        let found = parse(&text, self.file, Dialect::Spack).map_err(|_| unlike())?;
        if same(&expected, &found) { Ok(text) } else { Err(unlike()) }
    }
}

/// What becomes of the key `mirrors` when the last mirror below it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EmptyKey {
    /// It was there before.
    Stays,
    /// It came with the mirrors.
    Goes,
}

fn is_mirrors(entry: &Entry) -> bool {
    // With two colons, which replace the mirrors of lower scopes, the second one is part of the key.
    matches!(entry.key.as_str(), "mirrors" | "mirrors:")
}

fn mirrors_of(holder: &Node) -> Result<Option<&Entry>> {
    let Value::Map(entries) = &holder.value else { return Ok(None) };
    let mut found = entries.iter().filter(|entry| is_mirrors(entry));
    match (found.next(), found.next()) {
        (_, Some(second)) => Err(Problem::new("there are mirrors under two keys").at(&second.key_place)),
        (first, None) => Ok(first),
    }
}

fn value_of<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    match &mut node.value {
        Value::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
        _ => None,
    }
}

fn says(node: &Node, text: &str) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.text == text)
}

fn url_of(mirror: &Node) -> &str {
    match &mirror.get("url").unwrap_or(mirror).value {
        Value::Scalar(scalar) => &scalar.text,
        _ => "",
    }
}

/// Nothing is written there, not even `null`.
fn is_empty(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.is_plain && scalar.text.is_empty())
}

fn last_line(node: &Node) -> usize {
    let below = match &node.value {
        Value::Map(entries) => entries.iter().map(|entry| last_line(&entry.value).max(entry.key_place.line)).max(),
        Value::List(items) => items.iter().map(last_line).max(),
        Value::Scalar(_) | Value::Unreadable(_) => None,
    };
    below.unwrap_or_default().max(node.place.line)
}

/// A map without entries says as little as nothing does, and so does one of mirrors that are none.
fn says_nothing(node: &Node) -> bool {
    match &node.value {
        Value::Map(entries) => entries.iter().all(|entry| is_mirrors(entry) && says_nothing(&entry.value)),
        _ => node.is_null(),
    }
}

/// Whether both say the same, wherever.
fn same(one: &Node, two: &Node) -> bool {
    match (&one.value, &two.value) {
        (Value::Map(ones), Value::Map(twos)) => {
            let told = |entry: &&Entry| !(is_mirrors(entry) && says_nothing(&entry.value));
            let (ones, twos) = (ones.iter().filter(told), twos.iter().filter(told));
            ones.clone().count() == twos.clone().count()
                && ones.zip(twos).all(|(one, two)| one.key == two.key && same(&one.value, &two.value))
        }
        (Value::List(ones), Value::List(twos)) => {
            ones.len() == twos.len() && ones.iter().zip(twos).all(|(one, two)| same(one, two))
        }
        (Value::Unreadable(one), Value::Unreadable(two)) => one.message == two.message,
        _ => says_nothing(one) && says_nothing(two) || one.says(two),
    }
}

/// The tree of what is written for a mirror.
fn entry_of(mirror: &JobMirror) -> Entry {
    let place = Place { file: Path::new("").into(), line: 1, column: 1 };
    let node = |value| Node { value, place: place.clone() };
    let entry =
        |key: &str, value| Entry { key: key.to_owned(), key_place: place.clone(), value: node(value), replaces: false };
    let scalar = |text: &str, is_plain| Value::Scalar(Scalar { text: text.to_owned(), is_plain });
    let flags = mirror.flags().map(|(key, value)| entry(key, scalar(if value { "true" } else { "false" }, true)));
    let entries = std::iter::once(entry("url", scalar(&mirror.url, false))).chain(flags).collect();
    entry(&mirror.name, Value::Map(entries))
}

fn section(indent: &str, mirrors: &[JobMirror]) -> String {
    format!("{indent}mirrors:\n{}", block(&format!("{indent}  "), mirrors))
}

fn block(indent: &str, mirrors: &[JobMirror]) -> String {
    let one = |mirror: &JobMirror| {
        let flags: String = mirror.flags().iter().map(|(key, value)| format!("{indent}  {key}: {value}\n")).collect();
        format!("{indent}{}:\n{indent}  url: {}\n{flags}", mirror.name, quoted(&mirror.url))
    };
    mirrors.iter().map(one).collect()
}

fn flow(mirrors: &[JobMirror]) -> String {
    let one = |mirror: &JobMirror| {
        let flags: String = mirror.flags().iter().map(|(key, value)| format!(", {key}: {value}")).collect();
        format!("{}: {{url: {}{flags}}}", mirror.name, quoted(&mirror.url))
    };
    mirrors.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// JSON texts are YAML as well.
fn quoted(url: &str) -> String {
    serde_json::Value::from(url).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors() -> Vec<JobMirror> {
        let mirror = |name: &str, signatures| JobMirror {
            name: name.to_owned(),
            url: format!("file:///p/.larder/job/{name}"),
            signatures,
        };
        vec![mirror("larder", Signatures::Required), mirror("larder-unsigned", Signatures::NotRequired)]
    }

    fn environment(text: &str) -> Text<'_> {
        Text { text, file: Path::new("spack.yaml"), section: Section::Environment }
    }

    fn scope(text: &str) -> Text<'_> {
        Text { section: Section::Scope, ..environment(text) }
    }

    const ENVIRONMENTS: [&str; 14] = [
        "spack:\n  specs: [app]\n",
        "# mine\nspack:\n  # first\n  specs:\n  - app # é\n  mirrors:\n    # theirs\n    own: https://host/x\n  view: false",
        "spack:\r\n  specs:\r\n  - app\r\n  mirrors:\r\n    own: {url: https://host/x}\r\n",
        "spack:\n  mirrors::\n    own: https://host/x\n",
        "spack:\n  mirrors: {}\n  specs: []\n",
        "spack:\n  mirrors: { own: https://host/x }\n",
        "spack:\n  mirrors:\n  specs: [app]\n",
        "spack:\n  specs: [app]\n  mirrors: # none yet",
        "spack: {specs: [app], view: false}\n",
        "spack: {specs: [app], mirrors: {own: https://host/x}}\n",
        "spack: {}\n",
        "spack:\n",
        "---\nspack:\n    definitions:\n    - a: [gcc]\n    specs: [$a]\n",
        "other: 1\nspack:\n  view: true\n  packages:\n    all: {require: '%gcc'}\n",
    ];

    #[test]
    fn what_is_put_in_comes_first_and_nothing_else_changes() {
        insta::assert_snapshot!(environment(ENVIRONMENTS[1]).with(&mirrors()).unwrap(), @r#"
        # mine
        spack:
          # first
          specs:
          - app # é
          mirrors:
            # theirs
            larder:
              url: "file:///p/.larder/job/larder"
              signed: true
              binary: true
              source: false
            larder-unsigned:
              url: "file:///p/.larder/job/larder-unsigned"
              signed: false
              binary: true
              source: false
            own: https://host/x
          view: false
        "#);
        insta::assert_snapshot!(environment("spack: {specs: [app]}").with(&mirrors()[..1]).unwrap(), @r#"spack: {mirrors: {larder: {url: "file:///p/.larder/job/larder", signed: true, binary: true, source: false}}, specs: [app]}"#);
    }

    #[test]
    fn what_was_put_in_is_taken_out_again_byte_for_byte() {
        for text in ENVIRONMENTS {
            let edited = environment(text).with(&mirrors()).unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert!(environment(&edited).has_key(), "{edited}");
            let key = if environment(text).has_key() { EmptyKey::Stays } else { EmptyKey::Goes };
            let back =
                environment(&edited).without(&mirrors(), key).unwrap_or_else(|problem| panic!("{edited}: {problem}"));
            assert_eq!(back.unwrap().trim_end(), text.trim_end());
        }
        for text in ["", "# nothing\n", "mirrors:\n  own: https://host/x\n", "mirrors: {}\n"] {
            let edited = scope(text).with(&mirrors()).unwrap();
            let key = if scope(text).has_key() { EmptyKey::Stays } else { EmptyKey::Goes };
            assert_eq!(scope(&edited).without(&mirrors(), key).unwrap().unwrap(), text);
        }
    }

    #[test]
    fn what_others_wrote_meanwhile_stays() {
        let edited = environment("spack:\n  specs: [app]\n").with(&mirrors()).unwrap();
        let changed = edited.replace("  mirrors:\n", "  mirrors:\n    added: https://host/y\n") + "  view: false\n";
        let back = environment(&changed).without(&mirrors(), EmptyKey::Goes).unwrap().unwrap();
        assert_eq!(back, "spack:\n  mirrors:\n    added: https://host/y\n  specs: [app]\n  view: false\n");
        assert_eq!(environment(&back).without(&mirrors(), EmptyKey::Goes).unwrap(), None);
        // As Spack writes the file: without quotes, in its own order.
        let rewritten = changed.replace('"', "");
        assert_eq!(environment(&rewritten).without(&mirrors(), EmptyKey::Goes).unwrap().unwrap(), back);
    }

    #[test]
    fn a_text_that_can_t_be_edited_is_refused() {
        for text in [
            "other: 1\n",
            "spack: [a]\n",
            "spack:\n  mirrors: [a]\n",
            "spack:\n  mirrors: ~\n",
            "spack:\n  a: &a {own: https://host/x}\n  mirrors: *a\n",
            "spack:\n  mirrors:\n    a: b\n  mirrors:\n    c: d\n",
            "spack: {\n",
        ] {
            assert!(environment(text).with(&mirrors()).is_err(), "{text}");
        }
    }

    #[test]
    fn mirrors_of_job_folders_are_told_from_others() {
        let text = "spack:\n  mirrors:\n    larder: https://host/.larder/job/mirror\n    own: file:///p/mirror\n";
        assert_eq!(environment(text).job_mirrors(), []);
        let taken = environment(text).with(&mirrors()).unwrap_err();
        assert_eq!(taken.message, "a mirror is called `larder` already");
        let edited = environment("spack:\n").with(&mirrors()).unwrap();
        assert_eq!(environment(&edited).job_mirrors(), mirrors());
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_spoiled(text in "(spack:\n)?([ ]{0,4}(mirrors|a|b):{1,2} ?(\\{\\}|x|\\[y\\]|\\{c: d\\}|&e|)( # f)?\r?\n){0,6}") {
            let text = environment(&text);
            if let Ok(edited) = text.with(&mirrors()) {
                let key = if text.has_key() { EmptyKey::Stays } else { EmptyKey::Goes };
                let edited = Text { text: &edited, ..text };
                let back = edited.without(&mirrors(), key).unwrap().unwrap();
                proptest::prop_assert_eq!(back.trim_end(), text.text.trim_end());
            }
        }
    }
}
