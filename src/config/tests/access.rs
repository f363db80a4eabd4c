//! Credentials in `larder.yaml`: variables are named in it, and nothing secret is printed because of it.

use insta::assert_snapshot;

use super::{parse, render};
use crate::types::Access;

#[track_caller]
fn access(keys: &str) -> Access {
    let config = parse(&format!("mirrors: [{{ url: 'https://host/x', {keys} }}]\n")).unwrap();
    (*config.mirrors.unwrap()[0].access).clone()
}

#[track_caller]
fn refused(keys: &str) -> String {
    let text = render(&parse(&format!("mirrors:\n- url: https://host/x\n  {keys}\n")).unwrap_err());
    assert!(!text.contains("hunter2"), "{text}");
    text
}

#[test]
fn credentials_come_from_the_variables_that_the_entry_names() {
    let found = access("access-pair: { id: me, secret-variable: SECRET }, access-token-variable: SECRET");
    let pair = found.pair.unwrap();
    assert_eq!((pair.id.as_str(), pair.secret.expose()), ("me", "hunter2"));
    assert_eq!(found.token.unwrap().expose(), "hunter2");
    let found = access("access-pair: { id-variable: CI_MERGE_REQUEST_IID, secret-variable: SECRET }, profile: ci");
    assert_eq!((found.pair.unwrap().id.as_str(), found.profile.as_deref()), ("17", Some("ci")));
    let found = access("endpoint-url: 'http://127.0.0.1:9000'");
    assert_eq!(found.endpoint.unwrap().as_str(), "http://127.0.0.1:9000/");
    assert_eq!(access("signed: false"), Access::default());
}

#[test]
fn a_variable_that_is_not_set_is_remembered_by_its_name() {
    let found = access("access-pair: { id: me, secret-variable: NONE }, access-token-variable: EMPTY");
    assert_eq!((found.pair, found.token), (None, None));
    assert_eq!(found.unset_variables, ["NONE", "EMPTY"]);
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    assert_snapshot!(refused("access-token-variable: $hunter2"), @r"
    error: this is not the name of an environment variable
     --> larder.yaml:3:26
     3 |   access-token-variable: …
       |                          ^
    hint: write the name alone, such as `MIRROR_TOKEN`, without `$`; a secret itself has no place in the file
    ");
    assert_snapshot!(refused("access-token-variable: ${SECRET}"), @r"
    error: this is not the name of an environment variable
     --> larder.yaml:3:26
     3 |   access-token-variable: …
       |                          ^
    hint: write the name alone, such as `MIRROR_TOKEN`, without `$`; a secret itself has no place in the file
    ");
    assert_snapshot!(refused("access-pair: { id: x, secret: hunter2 }"), @r"
    error: unknown key `secret`
     --> larder.yaml:3:25
     3 |   access-pair: { id: x, secret: …
       |                         ^
    hint: expected one of `id`, `id-variable`, `secret-variable`
    ");
    assert_snapshot!(refused("access-pair: [x, hunter2]"), @r"
    error: expected a map with `id` or `id-variable`, and `secret-variable`, found a list
     --> larder.yaml:3:16
     3 |   access-pair: …
       |                ^
    ");
    assert_snapshot!(refused("access_token: hunter2"), @r"
    error: unknown key `access_token`
     --> larder.yaml:3:3
     3 |   access_token: …
       |   ^
    hint: expected one of `name`, `url`, `signed`, `insecure`, `access-pair`, `access-token-variable`, `profile`, `endpoint-url`, `optional`, `collect`, `path`, `push`, `signing-key`, `keep`
    ");
}

#[test]
fn spacks_spelling_leads_to_larders() {
    for (written, meant) in [
        ("access_pair: { id: x }", "access-pair"),
        ("access_token_variable: X", "access-token-variable"),
        ("endpoint_url: https://x", "endpoint-url"),
        ("access-pair: { id_variable: x }", "id-variable"),
        ("access-pair: { secret_variable: x }", "secret-variable"),
    ] {
        let said = refused(written);
        assert!(said.contains(&format!("did you mean `{meant}`?")), "{said}");
    }
}

#[test]
fn a_pair_must_be_whole_and_an_endpoint_must_be_protected() {
    for (keys, said) in [
        ("access-pair: { secret-variable: SECRET }", "the pair has no `id`"),
        ("access-pair: { id: x }", "the pair has no `secret-variable`"),
        ("access-pair: { id: x, id-variable: X, secret-variable: S }", "both `id` and `id-variable`"),
        ("endpoint-url: http://host:9000", "not protected by TLS"),
        ("endpoint-url: host:9000", "not the address of an object store"),
        ("endpoint-url: https://me:hunter2@host", "not the address of an object store"),
    ] {
        let text = refused(keys);
        assert!(text.contains(said), "{text}");
    }
}
