//! What an error looks like.

use miette::{Diagnostic, NamedSource, SourceSpan};
use thiserror::Error;

use super::*;

#[derive(Debug, Error)]
#[error("{text}")]
struct Cause {
    text: &'static str,
    source: Option<Box<Cause>>,
}

/// A chain of causes, outermost first.
fn causes_of(texts: &[&'static str]) -> Option<Box<Cause>> {
    let (text, rest) = texts.split_first()?;
    Some(Box::new(Cause { text, source: causes_of(rest) }))
}

#[derive(Debug, Error, Diagnostic)]
#[error("{text}")]
#[diagnostic(help("check `SSL_CERT_FILE`\nand the proxy"))]
struct Failure {
    text: &'static str,
    source: Option<Box<Cause>>,
}

#[derive(Debug, Error, Diagnostic)]
#[error("unknown key `mirors`")]
struct UnknownKey {
    #[source_code]
    file: NamedSource<String>,
    #[label("did you mean `mirrors`?")]
    at: SourceSpan,
}

#[derive(Debug, Error, Diagnostic)]
#[error("can't read the configuration")]
struct Wrapper {
    #[source]
    #[diagnostic_source]
    inner: UnknownKey,
}

#[derive(Debug, Error, Diagnostic)]
#[error("2 environments can't be read")]
struct Several {
    #[related]
    errors: Vec<Failure>,
}

fn unknown_key(text: &str, at: (usize, usize)) -> UnknownKey {
    UnknownKey { file: NamedSource::new("larder.yaml", text.to_owned()), at: at.into() }
}

fn plain(error: &dyn Diagnostic) -> String {
    render(error, None, Palette::Plain)
}

#[test]
fn an_error_says_what_failed_why_and_what_to_do() {
    let error = Failure {
        text: "can't get `https://host/x`",
        source: causes_of(&["error sending request", "client error (Connect)", "connection refused"]),
    };
    insta::assert_snapshot!(plain(&error), @"
    error: can't get `https://host/x`
    Caused by:
      error sending request
        client error (Connect)
          connection refused
    hint: check `SSL_CERT_FILE`
          and the proxy
    ");
}

#[test]
fn a_cause_that_its_parent_tells_is_not_told_again() {
    let causes = causes_of(&["can't open `x`: No such file (os error 2)", "No such file (os error 2)", "deeper"]);
    let error = Failure { text: "can't read the lockfile", source: causes };
    insta::assert_snapshot!(plain(&error), @"
    error: can't read the lockfile
    Caused by:
      can't open `x`: No such file (os error 2)
        deeper
    hint: check `SSL_CERT_FILE`
          and the proxy
    ");

    let error = Failure { text: "can't read `x`: not found", source: causes_of(&["not found"]) };
    insta::assert_snapshot!(plain(&error), @"
    error: can't read `x`: not found
    hint: check `SSL_CERT_FILE`
          and the proxy
    ");
}

#[test]
fn an_error_in_a_file_shows_the_line() {
    insta::assert_snapshot!(plain(&unknown_key("environments: [.]\n\nmirors: []\ncaches: []\n", (19, 6))), @"
    error: unknown key `mirors`
     --> larder.yaml:3:1
      |
    3 | mirors: []
      | ^^^^^^ did you mean `mirrors`?
    ");
}

#[test]
fn the_first_and_the_last_line_can_be_shown() {
    insta::assert_snapshot!(plain(&unknown_key("mirors: []", (0, 6))), @"
    error: unknown key `mirors`
     --> larder.yaml:1:1
      |
    1 | mirors: []
      | ^^^^^^ did you mean `mirrors`?
    ");
    insta::assert_snapshot!(plain(&unknown_key("a: b\nmirors: []\n", (16, 0))), @"
    error: unknown key `mirors`
     --> larder.yaml:3:1
      |
    3 |
      | ^ did you mean `mirrors`?
    ");
    insta::assert_snapshot!(plain(&unknown_key("a: b\r\nmirors: []\r\nc: d\r\n", (6, 6))), @"
    error: unknown key `mirors`
     --> larder.yaml:2:1
      |
    2 | mirors: []
      | ^^^^^^ did you mean `mirrors`?
    ");
    // Beyond the end: nothing to show, and no panic.
    insta::assert_snapshot!(plain(&unknown_key("a", (90, 6))), @"error: unknown key `mirors`");
}

#[test]
fn a_very_long_line_is_cut_on_both_sides() {
    let text = format!("{}mirors{}", "x".repeat(500), "y".repeat(500));
    insta::assert_snapshot!(plain(&unknown_key(&text, (500, 6))), @"
    error: unknown key `mirors`
     --> larder.yaml:1:501
      |
    1 | …xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxmirorsyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…
      |                                          ^^^^^^ did you mean `mirrors`?
    ");
}

#[test]
fn the_line_is_shown_where_a_cause_knows_it() {
    insta::assert_snapshot!(plain(&Wrapper { inner: unknown_key("mirors: []\n", (0, 6)) }), @"
    error: can't read the configuration
     --> larder.yaml:1:1
      |
    1 | mirors: []
      | ^^^^^^ did you mean `mirrors`?
    Caused by:
      unknown key `mirors`
    ");
}

#[test]
fn several_errors_come_one_after_the_other() {
    let failure = |text| Failure { text, source: causes_of(&["why"]) };
    insta::assert_snapshot!(plain(&Several { errors: vec![failure("first"), failure("second")] }), @"
    error: 2 environments can't be read

    error: first
    Caused by:
      why
    hint: check `SSL_CERT_FILE`
          and the proxy

    error: second
    Caused by:
      why
    hint: check `SSL_CERT_FILE`
          and the proxy
    ");
}

#[test]
fn hostile_text_stays_text() {
    let error = Failure {
        text: "can't read `\u{1b}[2Jx\r`",
        source: causes_of(&["line one\nerror: forged\u{1b}[0Ksection_end:1:x\r"]),
    };
    insta::assert_snapshot!(plain(&error), @r"
    error: can't read `\u{1b}[2Jx\r`
    Caused by:
      line one
        error: forged\u{1b}[0Ksection_end:1:x
    hint: check `SSL_CERT_FILE`
          and the proxy
    ");
    insta::assert_snapshot!(plain(&unknown_key("\t\u{1b}[31mmirors: []\n", (6, 6))), @r"
    error: unknown key `mirors`
     --> larder.yaml:1:7
      |
    1 | \t\u{1b}[31mmirors: []
      |             ^^^^^^ did you mean `mirrors`?
    ");
}

#[test]
fn colours_are_those_of_rustc() {
    let error = Failure { text: "x", source: None };
    assert_eq!(
        render(&error, None, Palette::Coloured),
        "\u{1b}[1m\u{1b}[31merror\u{1b}[0m\u{1b}[1m:\u{1b}[0m \u{1b}[1mx\u{1b}[0m\n\u{1b}[1m\u{1b}[36mhint\u{1b}[0m: check \
         `SSL_CERT_FILE`\n      and the proxy\n"
    );
}
