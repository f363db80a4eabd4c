//! What is answered when `larder.yaml` says something that it may not say.

use insta::assert_snapshot;

use super::{parse, render};

#[track_caller]
fn refused(yaml: &str) -> String {
    render(&parse(yaml).unwrap_err())
}

#[test]
fn a_cache_in_an_object_store_is_no_folder_and_no_web_page() {
    let of = |entry: &str| refused(&format!("caches: [{{ name: t, {entry} }}]\n"));
    for (entry, said) in [
        ("url: s3://b/x, path: y", "both a `path` and a `url`"),
        ("url: https://host/x", "a cache can't be at"),
        ("url: /srv/x", "a cache can't be at"),
        ("url: s3://b/x, keep: lockfile", "one project's lockfiles"),
        ("url: s3://b/x, keep: { max-age: 3d, slack: 10% }", "`slack` saves uploads"),
        ("path: y, insecure: true", "there is no `url`"),
        ("path: y, profile: team", "`profile` is about reaching an object store"),
        ("url: s3://b/x, access-pair: { id: x }", "no `secret-variable`"),
        ("url: s3://b/x, endpoint-url: http://store.example", "not protected by TLS"),
    ] {
        assert!(of(entry).contains(said), "{entry}: {}", of(entry));
    }
}

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
    hint: expected one of `environments`, `mirrors`, `caches`, `jobs`, `build-deps`, `network`, `max-archive-size`
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
fn caches_that_can_not_be_used_are_shown_where_they_are() {
    assert_snapshot!(refused("caches: []\n"), @r"
    error: there is no cache in `caches`
     --> larder.yaml:1:9
     1 | caches: []
       |         ^
    hint: leave the key out for the default, one cache in `.larder/shared`
    ");
    assert_snapshot!(refused("caches: [{ path: x }]\n"), @r"
    error: a cache needs a `name`
     --> larder.yaml:1:10
     1 | caches: [{ path: x }]
       |          ^
    hint: for example `name: shared`
    ");
    assert_snapshot!(refused("caches: [{ name: A }]\n"), @r"
    error: `A` is not the name of a cache: expected lowercase letters, digits, `.`, `_` and `-`, a letter or digit first, at most 64 of them, and no `.lock` at the end
     --> larder.yaml:1:18
     1 | caches: [{ name: A }]
       |                  ^
    ");
    assert_snapshot!(refused("caches:\n  - name: a\n  - name: a\n    path: b\n"), @r"
    error: two caches have the name `a`
     --> larder.yaml:3:11
     3 |   - name: a
       |           ^
    hint: give each cache a name of its own
    ");
    assert_snapshot!(refused("caches:\n  - { name: a, prefix: [] }\n"), @r"
    error: there is no prefix in the list, so the cache would be for no mirror
     --> larder.yaml:2:24
     2 |   - { name: a, prefix: [] }
       |                        ^
    hint: leave `prefix` out for a cache for all mirrors
    ");
    assert_snapshot!(refused("caches:\n  - { name: a, prefix: 'https://[' }\n"), @r"
    error: `https://[` is not a glob: unclosed character class; missing ']'
     --> larder.yaml:2:24
     2 |   - { name: a, prefix: 'https://[' }
       |                        ^
    hint: a literal `*`, `?`, `[` or `{` is written in brackets, such as `[[]`
    ");
    assert_snapshot!(refused("caches:\n  - { name: a, path: ~/cache }\n"), @r"
    error: `~` is not expanded in `~/cache`
     --> larder.yaml:2:22
     2 |   - { name: a, path: ~/cache }
       |                      ^
    hint: write `${HOME}`
    ");
}

#[test]
fn a_folder_that_collects_has_keys_and_a_place_of_its_own() {
    let said = |entry: &str| {
        let said = refused(&format!("mirrors:\n  - {{ {entry} }}\n"));
        said.lines().next().unwrap().to_owned()
    };
    let lines: Vec<String> = [
        "collect: true",
        "collect: maybe",
        "path: b, collect: true, url: 'https://x'",
        "path: b",
        "url: 'https://x', signing-key: 0x1",
        "url: 'https://x', keep: all",
        "path: b, collect: true, signing-key: --force",
        "path: ., collect: true",
        "path: /elsewhere, collect: true",
        "path: .larder/job/x, collect: true",
        "path: .larder/x.lock, collect: true",
        "path: .larder/shared/x, collect: true",
        "path: b, name: shared, collect: true",
    ]
    .map(said)
    .to_vec();
    assert_snapshot!(lines.join("\n"), @r"
    error: a mirror with `collect: true` needs a `path`
    error: `maybe` is neither `true` nor `false`
    error: a mirror with `collect: true` has no `url`
    error: `path` is for a mirror with `collect: true`
    error: `signing-key` is for a mirror with `collect: true`
    error: `keep` is for a mirror with `collect: true`
    error: `--force` is not the ID of a key
    error: the folder of the mirror `project` would hold the whole project
    error: the folder of the mirror `elsewhere` is outside of the project
    error: the folder of the mirror `x` overlaps with `/project/.larder/job`, which holds this job only
    error: the folder of the mirror `x.lock` is named like a lock of larder
    error: the folder of the mirror `x` is inside that of the cache `shared`
    error: a cache has the name `shared`, too
    ");
    assert_snapshot!(
        said("path: b, collect: true }\n  - { path: c, collect: true"),
        @"error: two mirrors have `collect: true`"
    );
    assert_snapshot!(
        said("path: b, collect: true }\n  - { name: b, url: 'https://x'"),
        @"error: two mirrors have the name `b`"
    );
    assert_snapshot!(refused("mirrors:\n  - { path: a/b, collect: true }\ncaches: [{ name: x, path: a }]\n"), @r"
    error: the folder of the mirror `b` is inside that of the cache `x`
     --> larder.yaml:2:13
     2 |   - { path: a/b, collect: true }
       |             ^
    hint: for example `path: .larder/built`
    ");
}

#[test]
fn caches_in_the_wrong_place_are_shown_where_they_are() {
    let second =
        |path: &str| refused(&format!("caches:\n  - {{ name: a, path: x/y }}\n  - {{ name: b, path: {path} }}\n"));
    assert_snapshot!(second("./x//y"), @r"
    error: the cache `a` and the cache `b` have the same folder
     --> larder.yaml:3:22
     3 |   - { name: b, path: ./x//y }
       |                      ^
    hint: for example `path: .larder/b`
    ");
    assert_snapshot!(second("x"), @r"
    error: the folder of the cache `a` is inside that of the cache `b`
     --> larder.yaml:3:22
     3 |   - { name: b, path: x }
       |                      ^
    hint: for example `path: .larder/b`
    ");
    assert_snapshot!(second("/project/x/y/z"), @r"
    error: the folder of the cache `b` is inside that of the cache `a`
     --> larder.yaml:3:22
     3 |   - { name: b, path: /project/x/y/z }
       |                      ^
    hint: for example `path: .larder/b`
    ");
    assert_snapshot!(second("."), @r"
    error: the folder of the cache `b` would hold the whole project
     --> larder.yaml:3:22
     3 |   - { name: b, path: . }
       |                      ^
    hint: for example `path: .larder/b`
    ");
    assert_snapshot!(second("/"), @r"
    error: the folder of the cache `b` would hold the whole project
     --> larder.yaml:3:22
     3 |   - { name: b, path: / }
       |                      ^
    hint: for example `path: .larder/b`
    ");
    assert_snapshot!(second(".larder"), @r"
    error: the folder of the cache `b` overlaps with `/project/.larder/job`, which holds this job only
     --> larder.yaml:3:22
     3 |   - { name: b, path: .larder }
       |                      ^
    hint: for example `path: .larder/b`
    ");
    assert_snapshot!(second(".larder/job/b"), @r"
    error: the folder of the cache `b` overlaps with `/project/.larder/job`, which holds this job only
     --> larder.yaml:3:22
     3 |   - { name: b, path: .larder/job/b }
       |                      ^
    hint: for example `path: .larder/b`
    ");
    assert_snapshot!(second(".larder/a.lock"), @r"
    error: the folder of the cache `b` is named like a lock of larder
     --> larder.yaml:3:22
     3 |   - { name: b, path: .larder/a.lock }
       |                      ^
    hint: for example `path: .larder/b`
    ");
    assert_snapshot!(refused("caches: [{ name: job }]\n"), @r"
    error: the folder of the cache `job` overlaps with `/project/.larder/job`, which holds this job only
     --> larder.yaml:1:10
     1 | caches: [{ name: job }]
       |          ^
    hint: give it a name other than `job`, or a `path` of its own
    ");
    assert_snapshot!(refused("environments: envs/a\ncaches: [{ name: a, path: envs }]\n"), @r"
    error: the folder of the cache `a` would hold the environment `/project/envs/a`
     --> larder.yaml:2:27
     2 | caches: [{ name: a, path: envs }]
       |                           ^
    hint: for example `path: .larder/a`
    ");
    assert!(parse("caches: [{ name: a, path: x }, { name: b, path: xy }, { name: c, path: /cache }]").is_ok());
}

#[test]
fn a_way_to_keep_that_means_nothing_is_shown_where_it_is() {
    let keep = |text: &str| refused(&format!("caches:\n  - name: a\n    keep: {text}\n"));
    assert_snapshot!(keep("lockfiles"), @r"
    error: `lockfiles` is not a way to keep blobs
     --> larder.yaml:3:11
     3 |     keep: lockfiles
       |           ^
    hint: did you mean `lockfile`? (a map such as `{ max-age: 30d, max-size: 20GiB }` will do, too)
    ");
    assert_snapshot!(keep("never"), @r"
    error: `never` is not a way to keep blobs
     --> larder.yaml:3:11
     3 |     keep: never
       |           ^
    hint: expected one of `all`, `lockfile` (a map such as `{ max-age: 30d, max-size: 20GiB }` will do, too)
    ");
    assert_snapshot!(keep("30d"), @r"
    error: `30d` is not a way to keep blobs
     --> larder.yaml:3:11
     3 |     keep: 30d
       |           ^
    hint: write `keep: { max-age: 30d }`
    ");
    assert_snapshot!(keep("20GiB"), @r"
    error: `20GiB` is not a way to keep blobs
     --> larder.yaml:3:11
     3 |     keep: 20GiB
       |           ^
    hint: write `keep: { max-size: 20GiB }`
    ");
    assert_snapshot!(keep("{}"), @r"
    error: `keep` says nothing: it has neither `max-age` nor `max-size`
     --> larder.yaml:3:11
     3 |     keep: {}
       |           ^
    hint: `keep: all` keeps everything; without `keep`, what was used in the last 30 days is kept
    ");
    assert_snapshot!(keep("{ max-age: 1 month }"), @r"
    error: `1 month` is not a length of time: expected a number with a unit, such as `30d`, `12h` or `2w`
     --> larder.yaml:3:22
     3 |     keep: { max-age: 1 month }
       |                      ^
    ");
    assert_snapshot!(keep("{ max-size: large }"), @r"
    error: `large` is not a size
     --> larder.yaml:3:23
     3 |     keep: { max-size: large }
       |                       ^
    hint: expected a number with a unit, such as `20GiB`, `500MB` or `1.5TiB`
    ");
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
