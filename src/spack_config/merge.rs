//! How Spack lays one scope's settings over another's: `merge_yaml` of its `config.py`, the same in 0.23 and 1.1.
//!
//! Spack has two more operators, `+:` and `-:`, but only for its command line: in a file, `x+` is a key like any other
//! (tried with 0.23.1 and 1.1.0).

use std::collections::HashMap;

use crate::yaml::{Node, Value};

/// Lay `above` over `below`: its entries come first, and where both have a map, the maps are merged in turn.
pub(super) fn merge(below: Node, above: &mut Node) {
    match (below.value, &mut above.value) {
        (Value::Map(below), Value::Map(above)) => {
            let places: HashMap<_, _> = above.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at)).collect();
            for entry in below {
                match places.get(&entry.key) {
                    Some(at) if above[*at].replaces => {}
                    Some(at) => merge(entry.value, &mut above[*at].value),
                    None => above.push(entry),
                }
            }
        }
        (Value::List(below), Value::List(above)) => {
            let rest: Vec<_> = below.into_iter().filter(|item| !above.iter().any(|other| other.says(item))).collect();
            above.extend(rest);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::document::parse;
    use super::super::scope::Form;
    use super::*;

    fn layered(scopes: &[&str]) -> String {
        let node = scopes.iter().fold(Node::empty(), |below, text| {
            let mut above = parse(text, Path::new("/x.yaml"), Form::File).unwrap();
            merge(below, &mut above);
            above
        });
        show(node.get("mirrors").unwrap())
    }

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Map(map) => {
                let entries: Vec<_> = map.iter().map(|entry| format!("{}={}", entry.key, show(&entry.value))).collect();
                format!("{{{}}}", entries.join(" "))
            }
            Value::Scalar(scalar) => scalar.text.clone(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn mirrors_of_the_higher_scope_come_first() {
        assert_eq!(layered(&["mirrors: {a: 1a, b: 1b}", "mirrors: {c: 2c, b: 2b}"]), "{c=2c b=2b a=1a}");
    }

    #[test]
    fn a_mirror_of_the_same_name_is_merged_key_by_key() {
        let low = "mirrors: {a: {url: low, signed: false}}";
        assert_eq!(layered(&[low, "mirrors: {a: {url: high}}"]), "{a={url=high signed=false}}");
        assert_eq!(layered(&[low, "mirrors: {a: high}"]), "{a=high}");
        assert_eq!(layered(&["mirrors: {a: low}", "mirrors: {a: {url: high}}"]), "{a={url=high}}");
    }

    #[test]
    fn two_colons_replace_what_is_below_on_any_level() {
        let low = "mirrors: {a: {url: low, signed: false}, b: low}";
        assert_eq!(layered(&[low, "mirrors:: {a: {url: high}}"]), "{a={url=high}}");
        assert_eq!(layered(&[low, "mirrors: {'a:': {url: high}}"]), "{a={url=high} b=low}");
        assert_eq!(layered(&[low, "mirrors:: {}"]), "{}");
        assert_eq!(layered(&[low, "mirrors:: {}", "mirrors: {c: top}"]), "{c=top}");
    }

    #[test]
    fn a_plus_or_minus_at_the_end_of_a_key_means_nothing_in_a_file() {
        assert_eq!(layered(&["mirrors: {a: low}", "mirrors: {a+: high}"]), "{a+=high a=low}");
    }
}
