//! How Spack lays one scope's settings over another's: `merge_yaml` of its `config.py`, the same in 0.23 and 1.1.
//!
//! Spack has two more operators, `+:` and `-:`, but only for its command line: in a file, `x+` is a key like any other
//! (tried with 0.23.1 and 1.1.0).

use std::collections::HashMap;

use super::document::{Entry, Map, Node};

/// `above` laid over `below`: its entries come first, and where both have a map, the maps are merged in turn.
pub(super) fn merge(below: Node, above: Node) -> Node {
    match (below, above) {
        (Node::Map(below), Node::Map(above)) => Node::Map(merge_maps(below, above)),
        (Node::List(below), Node::List(mut above)) => {
            let kept = below.into_iter().filter(|item| !above.contains(item)).collect::<Vec<_>>();
            above.extend(kept);
            Node::List(above)
        }
        (_, above) => above,
    }
}

fn merge_maps(below: Map, above: Map) -> Map {
    let mut lower: HashMap<String, usize> =
        below.0.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at)).collect();
    let mut rest: Vec<Option<Entry>> = below.0.into_iter().map(Some).collect();
    let mut merged: Vec<Entry> = above
        .0
        .into_iter()
        .map(|mut entry| {
            let hidden = lower.remove(&entry.key).and_then(|at| rest[at].take());
            if let Some(hidden) = hidden
                && !entry.replaces
            {
                entry.value = merge(hidden.value, entry.value);
            }
            entry
        })
        .collect();
    merged.extend(rest.into_iter().flatten());
    Map(merged)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::rc::Rc;

    use super::super::document::{Kind, parse};
    use super::*;

    fn layered(scopes: &[&str]) -> String {
        let node = scopes.iter().fold(Node::Map(Map::default()), |below, text| {
            let file: Rc<Path> = Path::new("/x.yaml").into();
            merge(below, Node::Map(parse(text, &file, Kind::Sections).unwrap()))
        });
        show(node.get("mirrors").unwrap())
    }

    fn show(node: &Node) -> String {
        match node {
            Node::Map(map) => {
                let entries: Vec<_> =
                    map.0.iter().map(|entry| format!("{}={}", entry.key, show(&entry.value))).collect();
                format!("{{{}}}", entries.join(" "))
            }
            Node::Text(text) => text.text.clone(),
            Node::Flag(flag) => flag.to_string(),
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
