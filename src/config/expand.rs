//! `${NAME}` and `${NAME:-default}`.
//!
//! Only these two spellings mean something, so that no other `$` in a URL or a path changes. `$${` is a literal `${`. As in
//! a shell, the default also stands in for a variable that is set but empty, and may hold variables itself:
//! `${CI_MERGE_REQUEST_IID:-${CI_COMMIT_REF_SLUG}}`. (The crate `shellexpand` also replaces `$NAME`, keeps quiet about an
//! unclosed brace, ends a default at its first `}`, and can't tell an empty variable with a default from one without.)

use super::text::is_variable_name;
use crate::types::{Variables, shorten};
use crate::yaml::{Node, Problem, Result, Value};

/// How deep defaults may nest: deeper than anything useful, and bounded because each level is a level of recursion.
const DEPTH: usize = 8;

/// The longest text that may come out: stops a small file from filling the memory with repetitions of a long variable.
const LONGEST: usize = 64 << 10;

/// The most items of one list or map: names are compared pair by pair, which takes minutes for a megabyte of them.
const ITEMS: usize = 4096;

/// Replace the variables in all values of a tree, and bound its lists and maps. The result is a text, never nothing, and not
/// expanded again. The values of keys like `secret-variable` are left as they are: they name variables.
pub(super) fn expand_all(node: &mut Node, variables: &Variables) -> Result<()> {
    let items = match &mut node.value {
        Value::Scalar(scalar) if scalar.text.contains("${") => {
            scalar.text = expand(&scalar.text, variables).map_err(|problem| problem.at(&node.place))?;
            scalar.is_plain = false;
            0
        }
        Value::List(items) => {
            items.iter_mut().try_for_each(|item| expand_all(item, variables))?;
            items.len()
        }
        Value::Map(entries) => {
            let named = |key: &str| !key.ends_with("-variable");
            let mut values = entries.iter_mut().filter(|entry| named(&entry.key));
            values.try_for_each(|entry| expand_all(&mut entry.value, variables))?;
            entries.len()
        }
        Value::Scalar(_) | Value::Unreadable(_) => 0,
    };
    if items > ITEMS {
        let problem = Problem::new(format!("a list or map with more than {ITEMS} items"));
        return Err(problem.help("is it a configuration of larder?").at(&node.place));
    }
    Ok(())
}

/// The text with its variables replaced. What a variable holds is taken as it is, not expanded again, and a default that is
/// not needed is only skipped: its variables need not be set.
fn expand(text: &str, variables: &Variables) -> Result<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        if before.ends_with('$') {
            out.push('{');
            rest = after;
            continue;
        }
        let (variable, after) = until_brace(after)?;
        let (name, default) = variable.split_once(":-").map_or((variable, None), |(name, text)| (name, Some(text)));
        if !is_variable_name(name) {
            return Err(malformed(variable));
        }
        match default {
            None => out.push_str(variables.get(name).ok_or_else(|| unset(name))?),
            Some(default) => match variables.set(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&expand(default, variables)?),
            },
        }
        rest = after;
        if out.len() > LONGEST {
            return Err(Problem::new(format!("the text is longer than {LONGEST} bytes with its variables expanded")));
        }
    }
    Ok(out + rest)
}

/// What is between a `${` and its brace, and what comes after that. Defaults may hold variables, and so braces.
fn until_brace(text: &str) -> Result<(&str, &str)> {
    let mut open = 1;
    for (at, brace) in text.match_indices(['{', '}']) {
        let before = &text[..at];
        match brace {
            "}" => open -= 1,
            _ if before.ends_with('$') && !before.ends_with("$$") => open += 1,
            _ => {}
        }
        if open == 0 {
            return Ok((before, &text[at + 1..]));
        }
        if open > DEPTH + 1 {
            return Err(Problem::new("defaults of variables nest too deep").help(format!("at most {DEPTH} levels")));
        }
    }
    Err(malformed(text))
}

fn unset(name: &str) -> Problem {
    let name = shorten(name);
    Problem::new(format!("the environment variable `{name}` is not set"))
        .help(format!("set it, or say what to use without it: `${{{name}:-default}}`"))
}

fn malformed(text: &str) -> Problem {
    let shown = text.split_inclusive('}').next().unwrap_or(text);
    Problem::new(format!("`${{{}` can't be read as a variable", shorten(shown)))
        .help("expected `${NAME}` or `${NAME:-default}`; a literal `${` is written `$${`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;
    use proptest::prelude::*;

    fn expanded(text: &str) -> Result<String, String> {
        let set = [("A", "1"), ("EMPTY", ""), ("DOLLAR", "${A}")];
        let variables = Variables::new(set.map(|(name, value)| (name.to_owned(), value.to_owned())));
        expand(text, &variables).map_err(|problem| problem.message)
    }

    #[test]
    fn variables_and_defaults_are_replaced() {
        for (text, result) in [
            ("", ""),
            ("pr-${A}/${A}", "pr-1/1"),
            ("${A:-2}", "1"),
            ("${B:-2}", "2"),
            ("${B:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-2}", "2"),
            ("${B:-a b:-c}", "a b:-c"),
            ("${B:-é}é", "éé"),
            ("${DOLLAR}", "${A}"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(result), "{text}");
        }
    }

    #[test]
    fn a_default_may_hold_variables_which_must_be_set_only_if_it_is_used() {
        assert_eq!(expanded("${B:-x${A}y}").unwrap(), "x1y");
        assert_eq!(expanded("${B:-${C:-${A}}}!").unwrap(), "1!");
        assert_eq!(expanded("${A:-${B}}").unwrap(), "1");
        assert!(expanded("${B:-${C}}").unwrap_err().contains("`C`"));
        assert!(expanded(&"${B:-".repeat(100_000)).unwrap_err().contains("too deep"));
    }

    #[test]
    fn a_dollar_that_begins_no_variable_is_itself() {
        for text in ["$", "$A", "a$", "$$", "$(A)", "100 $ {A}", "}", "{A}"] {
            assert_eq!(expanded(text).as_deref(), Ok(text));
        }
        assert_eq!(expanded("$${A}").unwrap(), "${A}");
    }

    #[test]
    fn what_is_no_variable_is_an_error() {
        for text in ["${", "${}", "${A", "${:-x}", "${A:-x", "${A-x}", "${A:?x}", "${1}", "${a b}", "${é}"] {
            assert!(expanded(text).unwrap_err().contains("can't be read"), "{text}");
        }
        assert_eq!(expanded("${B}").unwrap_err(), "the environment variable `B` is not set");
    }

    #[test]
    fn a_text_can_not_grow_without_bound() {
        let variables = Variables::new([("A".to_owned(), "x".repeat(1000))]);
        assert!(expand(&"${A}".repeat(1000), &variables).is_err());
    }

    #[test]
    fn a_list_or_map_is_bounded() {
        let check = |yaml: &str| {
            let tree = yaml::parse(yaml, std::path::Path::new("x"), yaml::Dialect::Standard);
            expand_all(&mut tree.unwrap(), &Variables::default()).map_err(|problem| problem.message)
        };
        for item in ["- a: b\n", "- x\n"] {
            assert!(check(&item.repeat(ITEMS)).is_ok());
            assert!(check(&item.repeat(ITEMS + 1)).unwrap_err().contains("more than"));
        }
        let map = |items: usize| (0..items).map(|index| format!("k{index}:\n")).collect::<Vec<_>>().concat();
        assert!(check(&map(ITEMS)).is_ok());
        assert!(check(&map(ITEMS + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([$]|[{]|[}]|:-|A|B|é|.)*") {
            let _ = expanded(&text);
        }
    }
}
