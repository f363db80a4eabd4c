//! What a file of Rust declares, imports and names: as much of the language as that takes, and no more.

/// A word or a sign of the source, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

/// A file of the source, as far as it names others.
#[derive(Debug)]
pub struct Module {
    /// In `src/`.
    pub file: String,
    /// The children that it declares, those for tests left out.
    pub children: Vec<String>,
    /// What `use` imports: the name that it gets here, and the path.
    pub imports: Vec<(String, Named)>,
    /// Paths inside expressions and types.
    pub paths: Vec<Named>,
}

/// A path of at least one name, with its line.
#[derive(Clone, Debug)]
pub struct Named {
    pub names: Vec<String>,
    pub line: usize,
}

/// Cut a text into words and signs, without comments, strings, characters and numbers.
fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            string_end(rest)
        } else if first == '\'' {
            character_end(rest)
        } else if let Some(end) = raw_string_end(rest) {
            end
        } else if word > 0 {
            if !first.is_numeric() {
                found.push(Token { text: rest[..word].to_owned(), line });
            }
            word
        } else {
            if !first.is_whitespace() {
                found.push(Token { text: first.to_string(), line });
            }
            first.len_utf8()
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// A character, or the tick of a lifetime.
fn character_end(text: &str) -> usize {
    let mut inside = text[1..].char_indices().map(|(at, c)| (at + 1, c));
    match (inside.next(), inside.next()) {
        (Some((_, '\\')), Some(_)) => text[3..].find('\'').map_or(text.len(), |at| at + 4),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// `r"…"`, `br#"…"#` and the like.
fn raw_string_end(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let quoted = inner.trim_start_matches('#');
    let end = format!("\"{}", "#".repeat(inner.len() - quoted.len()));
    let body = quoted.strip_prefix('"')?;
    let head = text.len() - body.len();
    Some(body.find(&end).map_or(text.len(), |at| head + at + end.len()))
}

/// Reads the tokens of one file from left to right.
struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl Reader<'_> {
    fn text(&self, offset: usize) -> &str {
        self.tokens.get(self.at + offset).map_or("", |token| &token.text)
    }

    fn sees(&self, text: &str) -> bool {
        tokens(text).iter().enumerate().all(|(offset, token)| self.text(offset) == token.text)
    }

    fn is_name(&self) -> bool {
        self.text(0).starts_with(|c: char| c.is_alphabetic() || c == '_')
    }

    fn skip_attribute(&mut self) {
        while !self.sees("]") {
            self.at += 1;
        }
        self.at += 1;
    }

    /// The item behind an attribute: up to its semicolon, or to the end of its braces.
    fn skip_item(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.tokens.len() {
            match self.text(0) {
                "{" | "(" | "[" => depth += 1,
                ")" | "]" => depth -= 1,
                "}" => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return;
                    }
                }
                ";" if depth == 0 => {
                    self.at += 1;
                    return;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// `a::b::c`, from where a name is.
    fn path(&mut self) -> Named {
        let mut path = Named { names: Vec::new(), line: self.tokens[self.at].line };
        loop {
            path.names.push(self.text(0).to_owned());
            self.at += 1;
            let goes_on = self.sees("::") && self.text(2).starts_with(|c: char| c.is_alphabetic() || c == '_');
            if !goes_on {
                return path;
            }
            self.at += 2;
        }
    }

    /// What follows `use`, with its braces opened up.
    fn tree(&mut self, before: &[String], found: &mut Vec<(String, Named)>) {
        let line = self.tokens[self.at].line;
        let mut names = before.to_vec();
        if names.is_empty() && self.sees("::") {
            // Another crate's: no module has such a name.
            names.push("::".to_owned());
            self.at += 2;
        }
        if self.is_name() {
            names.extend(self.path().names);
        }
        if self.sees("::") {
            self.at += 2;
        }
        if self.sees("{") {
            self.at += 1;
            while !self.sees("}") {
                self.tree(&names, found);
                if self.sees(",") {
                    self.at += 1;
                }
            }
            self.at += 1;
            return;
        }
        if self.sees("*") {
            self.at += 1;
        }
        let mut name = names.last().cloned().unwrap_or_default();
        if name == "self" && names.len() > 1 {
            names.pop();
            name = names.last().cloned().unwrap_or_default();
        }
        if self.sees("as") {
            self.text(1).clone_into(&mut name);
            self.at += 2;
        }
        found.push((name, Named { names, line }));
    }
}

/// What a file declares, imports and names.
pub fn read(file: &str, text: &str) -> Module {
    let tokens = tokens(text);
    let mut module = Module { file: file.to_owned(), children: Vec::new(), imports: Vec::new(), paths: Vec::new() };
    let mut reader = Reader { tokens: &tokens, at: 0 };
    while reader.at < tokens.len() {
        if reader.sees("#[cfg(test)]") {
            reader.skip_attribute();
            reader.skip_item();
        } else if reader.sees("use") && reader.text(1) != "<" {
            reader.at += 1;
            reader.tree(&[], &mut module.imports);
        } else if reader.sees("mod") && reader.text(2) == ";" {
            module.children.push(reader.text(1).to_owned());
            reader.at += 3;
        } else if reader.sees("(in") {
            // The visibility `pub(in crate::x)` names a parent, and uses nothing of it.
            reader.at += 2;
            reader.path();
        } else if reader.sees("::") {
            // Of another crate, or of a type.
            reader.at += 2;
            if reader.is_name() {
                reader.path();
            }
        } else if reader.is_name() {
            let path = reader.path();
            if path.names.len() > 1 {
                module.paths.push(path);
            }
        } else {
            reader.at += 1;
        }
    }
    module
}
