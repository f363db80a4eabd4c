//! What counts as a plain scalar: the one point in which Spack's reader of YAML and the standard differ for what people write.
//!
//! In a flow list or map, YAML 1.2 ends a plain scalar at a `:` before `,`, `[`, `]`, `{` or `}`: to it, `[gcc@12:]` is a list of a
//! map. Spack's reader (ruamel.yaml) ends it only at a `:` before a blank, so there it is the text `gcc@12:`, all versions from 12
//! on. Tried with Spack 0.23.1 and 1.1.0. The parser asks its input whether a character may go on a plain scalar, so an input
//! that answers as Spack would makes the difference, and places stay those of the text.

use saphyr_parser::input::is_flow;
use saphyr_parser::{Input, StrInput};

/// Whose rules a text is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// YAML 1.2, for larder's own file.
    Standard,
    /// Spack's reader.
    Spack,
}

/// A text, read by the rules of a dialect.
pub(super) struct DialectInput<'a> {
    text: StrInput<'a>,
    dialect: Dialect,
}

impl<'a> DialectInput<'a> {
    pub(super) fn new(text: &'a str, dialect: Dialect) -> Self {
        Self { text: StrInput::new(text), dialect }
    }
}

impl Input for DialectInput<'_> {
    fn next_can_be_plain_scalar(&self, in_flow: bool) -> bool {
        let next_is_spacks =
            in_flow && self.dialect == Dialect::Spack && self.peek() == ':' && is_flow(self.peek_nth(1));
        next_is_spacks || self.text.next_can_be_plain_scalar(in_flow)
    }

    // All else is the text's own.

    fn lookahead(&mut self, count: usize) {
        self.text.lookahead(count);
    }

    fn buflen(&self) -> usize {
        self.text.buflen()
    }

    fn bufmaxlen(&self) -> usize {
        self.text.bufmaxlen()
    }

    fn raw_read_ch(&mut self) -> char {
        self.text.raw_read_ch()
    }

    fn raw_read_non_breakz_ch(&mut self) -> Option<char> {
        self.text.raw_read_non_breakz_ch()
    }

    fn skip(&mut self) {
        self.text.skip();
    }

    fn skip_n(&mut self, count: usize) {
        self.text.skip_n(count);
    }

    fn peek(&self) -> char {
        self.text.peek()
    }

    fn peek_nth(&self, n: usize) -> char {
        self.text.peek_nth(n)
    }

    fn peek_opt(&self) -> Option<char> {
        self.text.peek_opt()
    }
}
