//! The same of caches, of the folder that collects, and of what they keep.

use insta::assert_snapshot;

use super::{parse, refused};

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
fn a_registry_or_a_bucket_that_collects_says_what_is_wrong_with_its_entry() {
    let said = |entry: &str| {
        let said = refused(&format!("mirrors:\n  - {{ {entry} }}\n"));
        said.lines().next().unwrap().to_owned()
    };
    let lines: Vec<String> = [
        "collect: true, url: 'https://host/x'",
        "collect: true, url: /srv/mirror",
        "collect: true, url: 'oci://host.example/x', push: sometimes",
        "collect: true, url: 'oci://host.example/x', signing-key: 0x1",
        "collect: true, url: 's3://b/x', name: shared",
        "collect: true, url: 's3://b/x' }\n  - { collect: true, url: 'oci://host.example/x'",
        "url: 'https://host/x', push: always",
        "path: b, collect: true, push: always",
        "path: b, collect: true, optional: true",
        "path: b, collect: true, endpoint-url: 'https://host'",
    ]
    .map(said)
    .to_vec();
    assert_snapshot!(lines.join("\n"), @r"
    error: larder can't push to `https://host/x`
    error: larder can't push to `file:///srv/mirror`
    error: `sometimes` is not a choice of jobs that push; expected one of `protected`, `always`
    error: a registry has no signatures, so there is nothing to sign
    error: a cache has the name `shared`, too
    error: two mirrors with a `url` have `collect: true`
    error: `push` is for a mirror with `collect: true`
    error: a folder with `collect: true` has no `push`
    error: a folder with `collect: true` has no `optional`
    error: a folder with `collect: true` has no `endpoint-url`
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
    error: a mirror with `collect: true` needs a `path` or a `url`
    error: `maybe` is neither `true` nor `false`
    error: a mirror with `collect: true` has either `path` or `url`
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
        @"error: two folders have `collect: true`"
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
