//! What an error looks like.

use miette::Diagnostic;
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
#[error("can't read the configuration")]
struct Wrapper {
    #[source]
    #[diagnostic_source]
    inner: Failure,
}

#[derive(Debug, Error, Diagnostic)]
#[error("2 environments can't be read")]
struct Several {
    #[related]
    errors: Vec<Failure>,
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
fn the_place_in_a_file_comes_before_the_causes() {
    let error = Failure { text: "unknown key `mirors`", source: causes_of(&["why"]) };
    let excerpt = " --> larder.yaml:1:1\n  |\n1 | mirors: \u{1b}[]\n  | ^\n";
    insta::assert_snapshot!(render(&error, Some(excerpt), Palette::Plain), @r"
    error: unknown key `mirors`
     --> larder.yaml:1:1
      |
    1 | mirors: \u{1b}[]
      | ^
    Caused by:
      why
    hint: check `SSL_CERT_FILE`
          and the proxy
    ");
}

#[test]
fn the_hint_of_a_cause_is_told() {
    let error = Wrapper { inner: Failure { text: "can't get `https://host/x`", source: None } };
    insta::assert_snapshot!(plain(&error), @"
    error: can't read the configuration
    Caused by:
      can't get `https://host/x`
    hint: check `SSL_CERT_FILE`
          and the proxy
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
