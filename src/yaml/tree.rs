//! From a text to a bounded tree of values that know their places.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::dialect::{Dialect, DialectInput};
use super::place::Place;
use super::problem::Problem;

/// The most that a text may come to once its aliases are replaced by what they stand for, with eight bytes for each value:
/// stops aliases of aliases of aliases, and thousands of aliases of one long list.
const EXPANDED: usize = 16 << 20;

/// How deep values may nest, because each level is a level of recursion here and in everything that walks a tree.
const DEPTH: usize = 128;

/// A value, and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// A value of YAML.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// Entries in the order of the text. Keys may repeat, and `<<` is a key like others: what that means is the reader's to say.
    Map(Vec<Entry>),
    /// Something that no reader understands, such as a tag (`!name`) that is not one of YAML's own. It is a problem only
    /// where it is read, so that what larder doesn't need may hold anything.
    Unreadable(Box<Problem>),
}

/// A text, a number, a flag or nothing, as it is spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Written without quotes, so that it may be a number, a flag or nothing.
    pub(crate) is_plain: bool,
}

/// An entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_place: Place,
    pub(crate) value: Node,
    /// In Spack's files: the key was written with a second colon, so it replaces what has a lower precedence.
    pub(crate) replaces: bool,
}

impl Node {
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    /// Whether both say the same, wherever they say it. Only scalars are compared.
    pub(crate) fn says(&self, other: &Self) -> bool {
        matches!((&self.value, &other.value), (Value::Scalar(one), Value::Scalar(two)) if one == two)
    }

    /// The entry of a key, where this is a map that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The value of a key, where this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The items of a list under a key.
    pub(crate) fn items_of(&self, key: &str) -> &[Self] {
        match self.get(key).map(|node| &node.value) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// The first of these keys that has a value, and where that begins.
    pub(crate) fn first_of<'a>(&self, keys: &[&'a str]) -> Option<(&'a str, &Place)> {
        keys.iter().find_map(|key| Some((*key, &self.get(key).filter(|value| !value.is_null())?.place)))
    }

    /// Where the value of a key begins; the whole, where it is not there.
    pub(crate) fn place_of(&self, key: &str) -> &Place {
        self.get(key).map_or(&self.place, |value| &value.place)
    }

    /// A problem that does not repeat what is there: it may be a password out of place.
    pub(crate) fn refuse(&self, expected: &str) -> Problem {
        let found = match &self.value {
            Value::Unreadable(problem) => return Problem::clone(problem).at(&self.place),
            Value::Scalar(scalar) => scalar.kind(),
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        };
        Problem::new(format!("expected {expected}, found {found}")).at(&self.place)
    }
}

impl Scalar {
    /// Whether it says nothing: empty, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        self.is_plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// Whether it is a text: neither nothing, nor a number, nor a flag.
    pub(crate) fn is_text(&self) -> bool {
        self.kind() == "a text"
    }

    /// What it looks like, in the words of a message.
    pub(super) fn kind(&self) -> &'static str {
        let is_number =
            self.text.ends_with(|c: char| c.is_ascii_digit() || c == '.') && self.text.parse::<f64>().is_ok();
        match self.text.as_str() {
            _ if !self.is_plain => "a text",
            _ if self.is_null() => "nothing",
            "true" | "false" => "`true` or `false`",
            _ if is_number => "a number",
            _ => "a text",
        }
    }
}

/// The tree of a file's text. One without a document is nothing (`~`).
pub(crate) fn parse(text: &str, file: &Path, dialect: Dialect) -> Result<Node, Problem> {
    let parser = Parser::new(DialectInput::new(text, dialect));
    Builder { parser, file: file.into(), anchors: HashMap::new(), left: EXPANDED }.document()
}

struct Builder<'a> {
    parser: Parser<'a, DialectInput<'a>>,
    file: Arc<Path>,
    /// What each anchor stands for, and what that costs.
    anchors: HashMap<usize, (Node, usize)>,
    /// What is left of [`EXPANDED`].
    left: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Place), Problem> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, self.place(span.start))),
            Some(Err(error)) => Err(Problem::new(error.info()).at(&self.place(*error.marker()))),
            None => Ok((Event::StreamEnd, self.place(Marker::new(0, 1, 0)))),
        }
    }

    fn place(&self, marker: Marker) -> Place {
        Place { file: Arc::clone(&self.file), line: marker.line(), column: marker.col() + 1 }
    }

    fn document(mut self) -> Result<Node, Problem> {
        self.next()?;
        if let (Event::StreamEnd, place) = self.next()? {
            let nothing = Scalar { text: String::new(), is_plain: true };
            return Ok(Node { value: Value::Scalar(nothing), place });
        }
        let (event, place) = self.next()?;
        let root = self.node(event, place, 0)?;
        self.next()?;
        match self.next()? {
            (Event::StreamEnd, _) => Ok(root),
            (_, place) => Err(Problem::new("the file holds more than one YAML document (`---`)").at(&place)),
        }
    }

    /// The value that begins with an event.
    fn node(&mut self, event: Event<'a>, place: Place, depth: usize) -> Result<Node, Problem> {
        if depth > DEPTH {
            return Err(Problem::new(format!("values nest deeper than {DEPTH} levels")).at(&place));
        }
        let left = self.left;
        self.spend(8, &place)?;
        let (value, anchor, tag) = match event {
            Event::Alias(anchor) => {
                let Some(cost) = self.anchors.get(&anchor).map(|(_, cost)| *cost) else {
                    return Err(Problem::new("the alias is part of what it stands for").at(&place));
                };
                self.spend(cost, &place)?;
                (self.anchors[&anchor].0.value.clone(), 0, None)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(text.len(), &place)?;
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                (Value::Scalar(Scalar { text: text.into_owned(), is_plain }), anchor, tag)
            }
            Event::SequenceStart(anchor, tag) => (Value::List(self.list(depth)?), anchor, tag),
            Event::MappingStart(anchor, tag) => (self.map(depth)?, anchor, tag),
            _ => return Err(Problem::new("a value is missing").at(&place)),
        };
        let foreign = tag.is_some_and(|tag| !tag.is_yaml_core_schema() && tag.suffix != "!");
        let value = if foreign { Value::Unreadable(Box::new(meaningless_tag())) } else { value };
        let node = Node { value, place };
        if anchor > 0 {
            let cost = left - self.left;
            self.spend(cost, &node.place)?;
            self.anchors.insert(anchor, (node.clone(), cost));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, place) => items.push(self.node(event, place, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Problem> {
        let (mut entries, mut problem) = (Vec::new(), None);
        loop {
            let (event, key_place) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(problem.map_or(Value::Map(entries), |problem| Value::Unreadable(Box::new(problem))));
            }
            let key = self.node(event, key_place, depth + 1)?;
            let (event, place) = self.next()?;
            let value = self.node(event, place, depth + 1)?;
            if let Value::Scalar(Scalar { text, .. }) = key.value {
                entries.push(Entry { key: text, key_place: key.place, value, replaces: false });
            } else {
                problem.get_or_insert_with(|| Problem::new("a key must be a text").at(&key.place));
            }
        }
    }

    fn spend(&mut self, bytes: usize, place: &Place) -> Result<(), Problem> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            Problem::new(format!("the file is too large once its aliases are replaced ({EXPANDED} bytes)"))
                .help("write out what the aliases (`*name`) stand for, or use fewer of them")
                .at(place)
        })?;
        Ok(())
    }
}

fn meaningless_tag() -> Problem {
    Problem::new("a tag (`!name`) has no meaning here")
        .help("put the text in quotes if it begins with `!`; `!reference` is understood by GitLab only")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Result<Node, Problem> {
        super::parse(yaml, Path::new("x.yaml"), Dialect::Standard)
    }

    fn place(line: usize, column: usize) -> Place {
        Place { file: Path::new("x.yaml").into(), line, column }
    }

    fn refused(yaml: &str) -> String {
        parse(yaml).unwrap_err().message
    }

    #[test]
    fn a_value_is_its_spelling_and_knows_its_place() {
        let node = parse("\u{feff}a: 1\nlist:\n  - x\n  - { b: [p, 'é', 2024.10] }\n").unwrap();
        let Value::Map(entries) = node.value else { panic!() };
        let Value::List(list) = &entries[1].value.value else { panic!() };
        let Value::Map(inner) = &list[1].value else { panic!() };
        let Value::List(texts) = &inner[0].value.value else { panic!() };
        let shown = |node: &Node| match &node.value {
            Value::Scalar(scalar) => {
                format!("{} {} {}:{}", scalar.text, scalar.is_plain, node.place.line, node.place.column)
            }
            other => format!("{other:?}"),
        };
        assert_eq!(entries[1].key_place, place(2, 1));
        assert_eq!(shown(&list[0]), "x true 3:5");
        assert_eq!(shown(&texts[1]), "é false 4:14");
        assert_eq!(shown(&texts[2]), "2024.10 true 4:19");
    }

    /// What Spack 0.23.1 and 1.1.0 make of the same texts.
    #[test]
    fn spacks_plain_scalars_go_on_at_a_colon_before_a_bracket() {
        let read = |yaml: &str, dialect| {
            let node = super::parse(&format!("é: {yaml}\nlast: x\n"), Path::new("x.yaml"), dialect).unwrap();
            assert_eq!(node.entry("last").unwrap().key_place, place(2, 1), "{yaml}");
            show(node.get("é").unwrap())
        };
        for (yaml, shown) in [
            ("[gcc@12:]", "['gcc@12:' 5]"),
            ("[a%gcc@12:, b@:2]", "['a%gcc@12:' 5, 'b@:2' 16]"),
            ("[gcc@12:,gcc@13:]", "['gcc@12:' 5, 'gcc@13:' 13]"),
            ("[:2.4.6]", "[':2.4.6' 5]"),
            ("{version: [:2.4.6, 3:], x: y}", "{version: [':2.4.6' 15, '3:' 23], x: 'y' 31}"),
            ("{b: c:}", "{b: 'c:' 8}"),
            ("{b:}", "{b:: '' 7}"),
            ("[b: c]", "[{b: 'c' 8}]"),
            ("{\"b\":c}", "{b: 'c' 9}"),
        ] {
            assert_eq!(read(yaml, Dialect::Spack), shown, "{yaml}");
        }
        assert_eq!(read("[gcc@12:]", Dialect::Standard), "[{gcc@12: '' 11}]");
    }

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Scalar(scalar) => format!("'{}' {}", scalar.text, node.place.column),
            Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
            Value::Map(entries) => {
                let shown = entries.iter().map(|entry| format!("{}: {}", entry.key, show(&entry.value)));
                format!("{{{}}}", shown.collect::<Vec<_>>().join(", "))
            }
            Value::Unreadable(problem) => problem.to_string(),
        }
    }

    #[test]
    fn nothing_is_spelled_in_several_ways() {
        for yaml in ["", "# x\n", "---\n", "~", "null"] {
            assert!(matches!(parse(yaml).unwrap().value, Value::Scalar(scalar) if scalar.is_null()), "{yaml}");
        }
        assert!(matches!(parse("''").unwrap().value, Value::Scalar(scalar) if !scalar.is_null()));
    }

    #[test]
    fn aliases_stand_for_what_they_name() {
        let Value::Map(entries) = parse("a: &a [x, y]\nb: *a\nc: [*a, *a]\n").unwrap().value else { panic!() };
        assert_eq!(entries[0].value.value, entries[1].value.value);
        assert_eq!(entries[1].value.place, place(2, 4));
        assert!(matches!(&entries[2].value.value, Value::List(items) if items[1].value == entries[0].value.value));
    }

    #[test]
    fn aliases_of_aliases_are_bounded() {
        let level = |level: usize| format!("a{level}: &a{level} [{}]\n", format!("*a{},", level - 1).repeat(10));
        let yaml: String = std::iter::once("a0: &a0 [x]\n".to_owned()).chain((1..20).map(level)).collect();
        assert!(refused(&yaml).contains("too large"));
        assert!(refused("a: &a [*a]").contains("part of what it stands for"));
        let yaml = format!("a: &a [{}]\nb: [{}]\n", "x,".repeat(4096), "*a,".repeat(4096));
        assert!(refused(&yaml).contains("too large"));
    }

    #[test]
    fn depth_is_bounded() {
        for yaml in ["[".repeat(1 << 20), "{a: ".repeat(1 << 18), "- ".repeat(1 << 19), "? ".repeat(1 << 19)] {
            assert!(parse(&yaml).is_err());
        }
        parse(&"- [a, {b: c}]\n".repeat(1000)).unwrap();
    }

    #[test]
    fn a_tag_is_told_from_yamls_own() {
        assert!(matches!(parse("!reference [x]").unwrap().value, Value::Unreadable(_)));
        for yaml in ["!!str 5", "! 5", "'5'"] {
            let scalar = Scalar { text: "5".to_owned(), is_plain: false };
            assert_eq!(parse(yaml).unwrap().value, Value::Scalar(scalar), "{yaml}");
        }
        assert!(refused("a: 1\n---\nb: 1\n").contains("more than one"));
    }

    #[test]
    fn a_key_that_is_no_text_is_a_problem_of_its_map_only() {
        let node = parse("a: { [b]: c, d: {} }\ne: f\n").unwrap();
        assert!(!node.get("e").unwrap().is_null());
        let problem = node.get("a").unwrap().refuse("a text");
        assert!(problem.message.contains("must be a text"), "{problem}");
        assert_eq!(problem.place, Some(place(1, 6)));
    }
}
