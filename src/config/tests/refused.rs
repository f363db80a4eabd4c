//! What is answered when `larder.yaml` says something that it may not say: keys, shapes, variables, mirrors, jobs.

use insta::assert_snapshot;

use super::{parse, refused};

#[test]
fn unknown_and_repeated_keys_are_shown_where_they_are() {
    assert_snapshot!(refused("\n# mirrors\nmirrorrs:\n"), @r"
    error: unknown key `mirrorrs`
     --> larder.yaml:3:1
     3 | mirrorrs:
       | ^
    hint: did you mean `mirrors`?
    ");
    assert_snapshot!(refused("stages: [build]\n"), @r"
    error: unknown key `stages`
     --> larder.yaml:1:1
     1 | stages: [build]
       | ^
    hint: expected one of `environments`, `mirrors`, `caches`, `jobs`, `build-deps`, `concretize`, `hand-over`, `network`, `max-archive-size`, `set-aside`
    ");
    assert_snapshot!(refused("caches:\n  - { name: a, keep: { max_age: 3d } }\n"), @r"
    error: unknown key `max_age`
     --> larder.yaml:2:24
     2 |   - { name: a, keep: { max_age: 3d } }
       |                        ^
    hint: did you mean `max-age`?
    ");
    assert_snapshot!(refused("mirrors: []\nmirrors: []\n"), @r"
    error: the key `mirrors` is here twice
     --> larder.yaml:2:1
     2 | mirrors: []
       | ^
    hint: remove one of them
    ");
    assert_snapshot!(refused("jobs:\n  a: {}\n  a: {}\n"), @r"
    error: the key `a` is here twice
     --> larder.yaml:3:3
     3 |   a: {}
       |   ^
    hint: remove one of them
    ");
}

#[test]
fn what_is_not_yaml_or_has_another_shape_is_shown_where_it_is() {
    assert_snapshot!(refused("mirrors: [\n"), @r"
    error: while parsing a node, did not find expected node content
     --> larder.yaml:2:1
     2 |
    ");
    assert_snapshot!(refused("a: b: c\n"), @r"
    error: mapping values are not allowed in this context
     --> larder.yaml:1:5
     1 | a: b: c
       |     ^
    ");
    assert_snapshot!(refused("- mirrors\n"), @r"
    error: expected a map with the keys of `larder.yaml`, found a list
     --> larder.yaml:1:1
     1 | - mirrors
       | ^
    ");
    assert_snapshot!(refused("mirrors: https://host/x\n"), @r"
    error: expected a list, found a text
     --> larder.yaml:1:10
     1 | mirrors: https://host/x
       |          ^
    ");
    assert_snapshot!(refused("mirrors:\n  pr: https://host/x\n"), @r"
    error: expected a list, found a map
     --> larder.yaml:2:3
     2 |   pr: https://host/x
       |   ^
    ");
    assert_snapshot!(refused("mirrors:\n  - url: [x]\n"), @r"
    error: expected a text, found a list
     --> larder.yaml:2:10
     2 |   - url: [x]
       |          ^
    ");
    assert_snapshot!(refused("caches:\n  - name: a\n    keep: 30\n"), @r"
    error: expected `all`, `lockfile`, or a map with `max-age`, `max-size`, `lockfile` or `slack`, found a number
     --> larder.yaml:3:11
     3 |     keep: 30
       |           ^
    ");
    assert_snapshot!(refused("mirrors:\n  - [a, b]\n"), @r"
    error: expected a URL, a map with `url`, or one with `collect: true` and `path`, found a list
     --> larder.yaml:2:5
     2 |   - [a, b]
       |     ^
    ");
    assert_snapshot!(refused("caches:\n  - name: a\n    keep: [all]\n"), @r"
    error: expected `all`, `lockfile`, or a map with `max-age`, `max-size`, `lockfile` or `slack`, found a list
     --> larder.yaml:3:11
     3 |     keep: [all]
       |           ^
    ");
    assert_snapshot!(refused("environments: 7\n"), @r"
    error: expected a list, found a number
     --> larder.yaml:1:15
     1 | environments: 7
       |               ^
    ");
    assert_snapshot!(refused("environments: !reference [x]\n"), @r"
    error: a tag (`!name`) has no meaning here
     --> larder.yaml:1:15
     1 | environments: !reference [x]
       |               ^
    hint: put the text in quotes if it begins with `!`; `!reference` is understood by GitLab only
    ");
    assert_snapshot!(refused("{}\n---\n{}\n"), @r"
    error: the file holds more than one YAML document (`---`)
     --> larder.yaml:2:1
     2 | ---
       | ^
    ");
    assert_snapshot!(refused("jobs: *nothing\n"), @r"
    error: while parsing node, found unknown anchor
     --> larder.yaml:1:7
     1 | jobs: *nothing
       |       ^
    ");
}

#[test]
fn variables_that_are_unset_or_misspelled_are_shown_where_they_are() {
    assert_snapshot!(refused("mirrors:\n  - https://host/a\n  - url: https://host/${NOT_SET}\n"), @r"
    error: the environment variable `NOT_SET` is not set
     --> larder.yaml:3:10
     3 |   - url: https://host/${NOT_SET}
       |          ^
    hint: set it, or say what to use without it: `${NOT_SET:-default}`
    ");
    assert_snapshot!(refused("environments: '${A'\n"), @r"
    error: `${A` can't be read as a variable
     --> larder.yaml:1:15
     1 | environments: '${A'
       |               ^
    hint: expected `${NAME}` or `${NAME:-default}`; a literal `${` is written `$${`
    ");
}

#[test]
fn mirrors_that_can_not_be_used_are_shown_where_they_are() {
    assert_snapshot!(refused("mirrors:\n  - name: a\n"), @r"
    error: a mirror needs a `url`
     --> larder.yaml:2:5
     2 |   - name: a
       |     ^
    ");
    assert_snapshot!(refused("mirrors: [ftp://bucket/x]\n"), @r"
    error: `ftp://` mirrors can't be read: expected `file://`, `https://`, `http://`, `oci://`, `s3://`, `gs://` or `az://` in `ftp://bucket/x`
     --> larder.yaml:1:11
     1 | mirrors: [ftp://bucket/x]
       |           ^
    ");
    assert_snapshot!(refused("mirrors:\n  - name: a\n    url: http://host/x\n"), @r"
    error: `http://host/x` is not protected by TLS: binaries and digests alike could be replaced on the way
     --> larder.yaml:3:10
     3 |     url: http://host/x
       |          ^
    hint: use `https://` or `oci://`; where you trust the network, add `insecure: true` to the mirror's entry
    ");
    assert_snapshot!(refused("mirrors: [{ url: 'https://me:pass@host/?x' }]\n"), @r"
    error: `https://…@host/?x` is not the URL of a mirror: a mirror's URL has neither `?` nor `#`
     --> larder.yaml:1:18
     1 | mirrors: [{ url: 'https://…@host/?x' }]
       |                  ^
    ");
    assert_snapshot!(refused("mirrors:\n- { name: a, url: /x }\n- { name: a, url: /y }\n"), @r"
    error: two mirrors have the name `a`
     --> larder.yaml:3:11
     3 | - { name: a, url: /y }
       |           ^
    hint: give each mirror a `name` of its own
    ");
    assert_snapshot!(refused("mirrors: [/x, /x]\n"), @r"
    error: two mirrors have the name `/x`
     --> larder.yaml:1:15
     1 | mirrors: [/x, /x]
       |               ^
    hint: give each mirror a `name` of its own
    ");
    assert_snapshot!(refused("mirrors: [{ url: /x, signed: yes }]\n"), @r"
    error: `yes` is neither `true` nor `false`
     --> larder.yaml:1:30
     1 | mirrors: [{ url: /x, signed: yes }]
       |                              ^
    ");
    assert_snapshot!(refused("mirrors: [{ url: '' }]\n"), @r"
    error: the text is empty
     --> larder.yaml:1:18
     1 | mirrors: [{ url: '' }]
       |                  ^
    ");
    assert!(parse("mirrors: [{ url: http://host/x, insecure: true }]").is_ok());
}

#[test]
fn jobs_and_settings_that_mean_nothing_are_shown_where_they_are() {
    assert_snapshot!(refused("jobs:\n  'deploy: [': {}\n"), @r"
    error: `deploy: [` is not a glob: unclosed character class; missing ']'
     --> larder.yaml:2:3
     2 |   'deploy: [': {}
       |   ^
    hint: a literal `*`, `?`, `[` or `{` is written in brackets, such as `[[]`
    ");
    assert_snapshot!(refused("jobs:\n  a:\n    specs: [b, '']\n"), @r"
    error: the text is empty
     --> larder.yaml:3:16
     3 |     specs: [b, '']
       |                ^
    ");
    assert_snapshot!(refused("jobs:\n  a: { hashes: [abc1] }\n"), @r"
    error: `abc1` is not a DAG hash
     --> larder.yaml:2:17
     2 |   a: { hashes: [abc1] }
       |                 ^
    hint: expected up to 32 characters out of a-z and 2-7, as `spack find --long` shows them
    ");
    assert_snapshot!(refused("jobs:\n  a: { build-deps: mising }\n"), @r"
    error: `mising` is not a choice of build dependencies; did you mean `missing`?
     --> larder.yaml:2:20
     2 |   a: { build-deps: mising }
       |                    ^
    ");
    assert_snapshot!(refused("build-deps: yes\n"), @r"
    error: `yes` is not a choice of build dependencies; expected one of `missing`, `all`, `none`
     --> larder.yaml:1:13
     1 | build-deps: yes
       |             ^
    ");
    assert_snapshot!(refused("network:\n  connections: 0\n"), @r"
    error: `0` is not a number from 1 to 256
     --> larder.yaml:2:16
     2 |   connections: 0
       |                ^
    ");
    assert_snapshot!(refused("network:\n  retries: 1000\n"), @r"
    error: `1000` is not a number from 0 to 20
     --> larder.yaml:2:12
     2 |   retries: 1000
       |            ^
    ");
    assert_snapshot!(refused("network:\n  retry-delay: 30\n"), @r"
    error: `30` is not a length of time
     --> larder.yaml:2:16
     2 |   retry-delay: 30
       |                ^
    hint: expected a number with a unit, such as `500ms`, `30s` or `1h`
    ");
    assert_snapshot!(refused("network:\n  idle-timeout: 0s\n"), @r"
    error: a timeout of zero lets nothing succeed
     --> larder.yaml:2:17
     2 |   idle-timeout: 0s
       |                 ^
    hint: leave the key out for the default, or give a long time, such as `1d`
    ");
    assert_snapshot!(refused("environments: []\n"), @r"
    error: there is no environment in the list
     --> larder.yaml:1:15
     1 | environments: []
       |               ^
    hint: leave the key out for the folder of larder.yaml
    ");
}

#[test]
fn the_value_of_a_variable_is_not_shown_with_the_line() {
    let shown = refused("mirrors:\n  - url: 'https://me:${SECRET}@host/?x'\n");
    assert!(!shown.contains("hunter2"), "{shown}");
    // A password that is written out is another mistake, and no reason to repeat it.
    for yaml in
        ["mirrors: https://me:hunter2@host/\n", "- https://me:hunter2@host/\n", "mirrors: ['s3://me:hunter2@host/']\n"]
    {
        let shown = refused(yaml);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
