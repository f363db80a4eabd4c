//! `when:` of an include. Spack evaluates it as Python; larder knows the part of Python that people write there.
//!
//! Known: strings, `True`, `False`, `platform`, `hostname`, `env["X"]`, `env.get("X", …)`, `==`, `!=`, `in`, `not in`, `and`,
//! `or`, `not`, parentheses, and `.startswith(…)`, `.endswith(…)` of strings. Everything else (`re`, `os`, `target`, `arch`)
//! is unknown, and a condition whose outcome depends on it has no answer.

use super::substitute::platform;
use crate::types::Variables;

/// Deeper nesting than this is nobody's condition.
const MAX_DEPTH: usize = 32;

/// The outcome of a condition, `None` where larder can't tell.
pub(super) fn evaluate(condition: &str, variables: &Variables) -> Option<bool> {
    let tokens = tokenise(condition)?;
    let mut parser = Parser { tokens: &tokens, variables, depth: 0 };
    let value = parser.either()?;
    if parser.tokens.is_empty() { value.truth() } else { None }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Text(String),
    Word(String),
    Sign(char),
    Equal,
    NotEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Flag(bool),
    /// Python's `None`.
    Nothing,
    /// The variable `env`.
    Environment,
    /// Something that Spack would know.
    Unknown,
}

impl Value {
    fn truth(&self) -> Option<bool> {
        match self {
            Self::Text(text) => Some(!text.is_empty()),
            Self::Flag(flag) => Some(*flag),
            Self::Nothing => Some(false),
            Self::Environment => Some(true),
            Self::Unknown => None,
        }
    }

    fn of(truth: Option<bool>) -> Self {
        truth.map_or(Self::Unknown, Self::Flag)
    }
}

fn tokenise(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' => {
                let end = rest[1..].find(first)?;
                let inner = &rest[1..=end];
                if inner.contains('\\') {
                    return None;
                }
                tokens.push(Token::Text(inner.to_owned()));
                end + 2
            }
            '=' if rest.starts_with("==") => {
                tokens.push(Token::Equal);
                2
            }
            '!' if rest.starts_with("!=") => {
                tokens.push(Token::NotEqual);
                2
            }
            '(' | ')' | '[' | ']' | '.' | ',' => {
                tokens.push(Token::Sign(first));
                1
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
                tokens.push(Token::Word(rest[..end].to_owned()));
                end
            }
            _ => return None,
        };
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

/// Recursive descent in Python's order of precedence. `None` means that the text is outside what larder knows.
struct Parser<'a> {
    tokens: &'a [Token],
    variables: &'a Variables,
    depth: usize,
}

impl Parser<'_> {
    fn take(&mut self, token: &Token) -> bool {
        let found = self.tokens.first() == Some(token);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.take(&Token::Word(word.to_owned()))
    }

    fn either(&mut self) -> Option<Value> {
        let mut value = self.both()?;
        while self.take_word("or") {
            let other = self.both()?;
            value = match (value.truth(), other.truth()) {
                (Some(true), _) => value,
                (Some(false), _) => other,
                (None, Some(true)) => Value::Flag(true),
                (None, _) => Value::Unknown,
            };
        }
        Some(value)
    }

    fn both(&mut self) -> Option<Value> {
        let mut value = self.negation()?;
        while self.take_word("and") {
            let other = self.negation()?;
            value = match (value.truth(), other.truth()) {
                (Some(false), _) => value,
                (Some(true), _) => other,
                (None, Some(false)) => Value::Flag(false),
                (None, _) => Value::Unknown,
            };
        }
        Some(value)
    }

    fn negation(&mut self) -> Option<Value> {
        let mut negated = false;
        let mut any = false;
        while self.take_word("not") {
            negated = !negated;
            any = true;
        }
        let value = self.comparison()?;
        Some(if any { Value::of(value.truth().map(|truth| truth != negated)) } else { value })
    }

    fn comparison(&mut self) -> Option<Value> {
        let left = self.operand()?;
        let known = |left: &Value, right: &Value| *left != Value::Unknown && *right != Value::Unknown;
        if self.take(&Token::Equal) {
            let right = self.operand()?;
            return Some(Value::of(known(&left, &right).then(|| left == right)));
        }
        if self.take(&Token::NotEqual) {
            let right = self.operand()?;
            return Some(Value::of(known(&left, &right).then(|| left != right)));
        }
        let negated = self.take_word("not");
        if self.take_word("in") {
            let right = self.operand()?;
            return Some(Value::of(self.contains(&right, &left).map(|found| found != negated)));
        }
        (!negated).then_some(left)
    }

    fn contains(&self, right: &Value, left: &Value) -> Option<bool> {
        match (right, left) {
            (Value::Environment, Value::Text(name)) => Some(self.variables.get(name).is_some()),
            (Value::Text(whole), Value::Text(part)) => Some(whole.contains(part.as_str())),
            _ => None,
        }
    }

    fn operand(&mut self) -> Option<Value> {
        self.depth += 1;
        let value = if self.depth > MAX_DEPTH { None } else { self.operand_with_suffixes() };
        self.depth -= 1;
        value
    }

    fn operand_with_suffixes(&mut self) -> Option<Value> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        let mut value = match first {
            Token::Text(text) => Value::Text(text.clone()),
            Token::Word(word) => match word.as_str() {
                "True" => Value::Flag(true),
                "False" => Value::Flag(false),
                "None" => Value::Nothing,
                "env" => Value::Environment,
                "platform" => Value::Text(platform().to_owned()),
                "hostname" => hostname().map_or(Value::Unknown, Value::Text),
                "os" | "target" | "arch" | "architecture" | "arch_str" => Value::Unknown,
                _ => return None,
            },
            Token::Sign('(') => {
                let value = self.either()?;
                self.take(&Token::Sign(')')).then_some(value)?
            }
            _ => return None,
        };
        loop {
            if self.take(&Token::Sign('[')) {
                let name = self.text()?;
                self.take(&Token::Sign(']')).then_some(())?;
                // Where the variable is not set, Spack stops with an error.
                value = self.variable(&value, &name, Value::Unknown)?;
            } else if self.take(&Token::Sign('.')) {
                value = self.method(&value)?;
            } else {
                return Some(value);
            }
        }
    }

    fn method(&mut self, value: &Value) -> Option<Value> {
        let (Token::Word(method), rest) = self.tokens.split_first()? else { return None };
        self.tokens = rest;
        self.take(&Token::Sign('(')).then_some(())?;
        let argument = self.text()?;
        let result = match (method.as_str(), value) {
            ("get", _) => {
                let default = if self.take(&Token::Sign(',')) { self.operand()? } else { Value::Nothing };
                self.variable(value, &argument, default)?
            }
            ("startswith", Value::Text(text)) => Value::Flag(text.starts_with(&argument)),
            ("endswith", Value::Text(text)) => Value::Flag(text.ends_with(&argument)),
            ("startswith" | "endswith", Value::Unknown) => Value::Unknown,
            _ => return None,
        };
        self.take(&Token::Sign(')')).then_some(result)
    }

    /// A variable of `env`, or what stands for one that is not set. `None` where `value` is not `env`.
    fn variable(&self, value: &Value, name: &str, unset: Value) -> Option<Value> {
        let found = self.variables.get(name).map(|text| Value::Text(text.to_owned()));
        (*value == Value::Environment).then(|| found.unwrap_or(unset))
    }

    fn text(&mut self) -> Option<String> {
        let (Token::Text(text), rest) = self.tokens.split_first()? else { return None };
        self.tokens = rest;
        Some(text.clone())
    }
}

fn hostname() -> Option<String> {
    let name = fs_err::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim_end().to_owned())
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
    fn conditions_that_people_write_have_an_outcome() {
        for yes in [
            "'CI' in env",
            r#""SPACK_DISABLE_LOCAL_CONFIG" not in env"#,
            r#"env["SITE"] == "north""#,
            "env.get('SITE', '') != 'south'",
            "env.get('UNSET') == None",
            "not env.get('EMPTY')",
            "env['SITE'].startswith('nor') and 'CI' in env",
            "('X' in env or 'CI' in env) and True",
            "'ort' in env['SITE']",
        ] {
            assert_eq!(outcome(yes), Some(true), "{yes}");
        }
        for no in ["'X' in env", "False", "platform == 'plan9'", "not 'CI' in env", "env.get('UNSET', 'x') == 'y'"] {
            assert_eq!(outcome(no), Some(false), "{no}");
        }
    }

    #[test]
    fn an_unknown_part_counts_only_where_the_outcome_depends_on_it() {
        assert_eq!(outcome("target == 'zen4' or 'CI' in env"), Some(true));
        assert_eq!(outcome("'X' in env and os.startswith('rhel')"), Some(false));
        for unknown in ["os == 'rhel8'", "re.match('a', hostname)", "env['UNSET'] == 'x'", "1 < 2", "'CI' in", ")", ""]
        {
            assert_eq!(outcome(unknown), None, "{unknown}");
        }
    }

    proptest! {
        #[test]
        fn no_condition_panics(condition in r#"([()\[\].,]|and |or |not |in |env|'CI'|==|platform|é|"x"){0,40}|.*"#) {
            let _ = outcome(&condition);
        }
    }

    #[test]
    fn deep_nesting_is_bounded() {
        assert_eq!(outcome(&"(".repeat(100_000)), None);
        assert_eq!(outcome(&"env.get('X', ".repeat(100_000)), None);
        assert_eq!(outcome(&format!("{}True", "not ".repeat(100_000))), Some(true));
    }
}
