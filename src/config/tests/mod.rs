//! What `larder.yaml` may say.

mod access;
mod refused;
mod refused_caches;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use insta::assert_snapshot;
use miette::Diagnostic;
use proptest::prelude::*;

use super::file::{self, NAME};
use super::*;
use crate::transport::NetworkSettings;
use crate::types::{MaxAge, MirrorUrl, PlainHttp, Presence, Signatures, Variables};

const ROOT: &str = "/project";

fn variables() -> Variables {
    Variables::new(
        [("CI_MERGE_REQUEST_IID", "17"), ("EMPTY", ""), ("SECRET", "hunter2")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    )
}

fn parse(yaml: &str) -> Result<Config, ConfigError> {
    file::parse(yaml, Path::new(NAME), Path::new(ROOT), &variables())
}

/// An error as a person sees it.
fn render(error: &ConfigError) -> String {
    let excerpt = error.excerpt().map(|excerpt| format!("\n{excerpt}")).unwrap_or_default();
    let help = error.help().map(|help| format!("\nhint: {help}")).unwrap_or_default();
    format!("error: {error}{excerpt}{help}")
}

#[track_caller]
fn refused(yaml: &str) -> String {
    render(&parse(yaml).unwrap_err())
}

#[track_caller]
fn mirror(url: &str) -> MirrorUrl {
    url.parse().unwrap()
}

#[test]
fn the_example_of_the_documentation_is_understood() {
    let config = parse(
        r#"
environments: [., envs/tools]
mirrors:
  - { name: pr,      url: "https://ci-binaries.example/pr-${CI_MERGE_REQUEST_IID}", signed: false }
  - { name: develop, url: "https://binaries.spack.io/develop" }
  - http://127.0.0.1:8000/x/
  - ../mirror
caches:
  - { name: branch, prefix: "https://ci-binaries.example/pr-*", path: .larder/branch, keep: lockfile }
  - name: shared
    path: .larder/shared
    keep: { max-age: 30d, max-size: 20GiB }
jobs:
  "build:*": { specs: [app] }
  "docs":    { specs: plotter, hashes: [/abcd], build-deps: none }
  "tools":   { groups: compiler }
  "*":
build-deps: all
network: { retries: 2, idle-timeout: 500ms, connections: 16 }
"#,
    )
    .unwrap();
    assert_eq!(config.root, Path::new(ROOT));
    assert_eq!(config.file.as_deref(), Some(Path::new("larder.yaml")));
    assert_eq!(config.environments, [PathBuf::from("/project"), PathBuf::from("/project/envs/tools")]);

    let mirrors = config.mirrors.as_ref().unwrap();
    let shown: Vec<_> = mirrors.iter().map(|mirror| format!("{} {}", mirror.name, mirror.url)).collect();
    assert_eq!(
        shown,
        [
            "pr https://ci-binaries.example/pr-17",
            "develop https://binaries.spack.io/develop",
            "127.0.0.1:8000/x http://127.0.0.1:8000/x",
            "/mirror file:///mirror"
        ]
    );
    assert_eq!((mirrors[0].signatures, mirrors[1].signatures), (Signatures::NotRequired, Signatures::Required));
    assert!(mirrors.iter().all(|mirror| mirror.plain_http == PlainHttp::LoopbackOnly));

    assert_eq!(config.cache_for(&mirrors[0].url).unwrap().name.as_str(), "branch");
    assert_eq!(config.cache_for(&mirrors[1].url).unwrap().name.as_str(), "shared");
    assert_eq!(config.caches[0].keep, Keep::LOCKFILE);
    assert_eq!(config.caches[1].path, Path::new("/project/.larder/shared"));
    let (max_age, max_size) = (Some(MaxAge::days(30)), Some(Size(ByteSize::gib(20))));
    assert_eq!(config.caches[1].keep, Keep::Rules(KeepRules { max_age, max_size, ..KeepRules::default() }));

    assert_eq!(config.job_rule("build:linux 1/3").unwrap().specs, ["app"]);
    let docs = config.job_rule("docs").unwrap();
    assert_eq!(
        (&docs.specs, &docs.hashes, docs.build_deps),
        (&vec!["plotter".to_owned()], &vec!["abcd".parse().unwrap()], Some(BuildDeps::None))
    );
    assert_eq!(config.job_rule("tools").unwrap().groups, ["compiler"]);
    assert_eq!(config.job_rule("other").unwrap().pattern.glob(), "*");
    assert_eq!(config.build_deps, Some(BuildDeps::All));
    assert_eq!(config.network.retries, 2);
    assert_eq!(config.network.idle_timeout.as_millis(), 500);
    assert_eq!(config.network.connections, 16);
    assert_eq!(config.network.metadata_connections, NetworkSettings::default().metadata_connections);
}

#[test]
fn every_example_of_the_user_documentation_is_understood() {
    let documentation = include_str!("../../../docs/configuration.md");
    let examples: Vec<&str> =
        documentation.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 13);
    for example in &examples {
        parse(example).unwrap_or_else(|error| panic!("{}", render(&error)));
    }
    // Without a merge request, too.
    assert!(file::parse(examples[0], Path::new(NAME), Path::new(ROOT), &Variables::default()).is_ok());
}

/// The keys of a definition of the schema; those of the whole file without a name.
fn keys_of<'a>(schema: &'a serde_json::Value, names: &[&str]) -> BTreeSet<&'a str> {
    let definition = |name: &&str| if name.is_empty() { schema } else { &schema["$defs"][*name] };
    names
        .iter()
        .flat_map(|name| definition(name)["properties"].as_object().unwrap().keys().map(String::as_str))
        .collect()
}

#[test]
fn the_documentation_describes_the_keys_of_the_schema() {
    let schema = serde_json::to_value(schema()).unwrap();
    let documentation = include_str!("../../../docs/configuration.md");
    let sections: BTreeMap<&str, &str> =
        documentation.split("\n## `").skip(1).map(|section| section.split_once('`').unwrap()).collect();
    assert_eq!(sections.keys().copied().collect::<BTreeSet<_>>(), keys_of(&schema, &[""]));

    for (section, definitions) in [
        ("mirrors", &["MirrorSchema", "PairSchema"][..]),
        ("caches", &["CacheSchema", "KeepRules"]),
        ("jobs", &["JobSchema"]),
        ("network", &["NetworkSchema"]),
    ] {
        let tables = sections[section].split("\n| key |").skip(1).map(|table| table.split("\n\n").next().unwrap());
        let rows = tables.flat_map(|table| table.lines().skip(2));
        let keys: BTreeSet<&str> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
        assert_eq!(keys, keys_of(&schema, definitions), "{section}");
    }
}

#[test]
fn every_key_of_the_schema_has_a_description() {
    let schema = serde_json::to_value(schema()).unwrap();
    let definitions = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let mut count = 0;
    for (key, property) in definitions.filter_map(|definition| definition["properties"].as_object()).flatten() {
        assert!(property["description"].as_str().is_some_and(|text| !text.is_empty()), "{key}");
        count += 1;
    }
    assert_eq!(count, 53);
}

#[test]
fn a_file_that_says_nothing_is_the_default_configuration() {
    let default = Config { file: Some(PathBuf::from(NAME)), ..Config::without_file(Path::new(ROOT)) };
    for yaml in ["", "\n", "# nothing\n", "---\n", "{}", "~", "mirrors:\ncaches:\njobs:\nnetwork: {}\nbuild-deps: ~\n"]
    {
        assert_eq!(parse(yaml).unwrap(), default, "{yaml}");
    }
    assert_eq!(default.environments, [PathBuf::from(ROOT)]);
    assert_eq!(default.caches[0].path, Path::new("/project/.larder/shared"));
    assert_eq!(default.caches[0].keep, Keep::default());
    assert!(default.cache_for(&mirror("https://host/x")).is_some());
    assert!(default.job_rule("build").is_none());
}

#[test]
fn a_variable_may_stand_for_any_value() {
    let yaml = "
mirrors: [{ url: '${M:-https://host/x}', signed: '${S:-false}', name: 2024.10 }]
network: { retries: '${EMPTY:-1}' }
caches: [{ name: a, keep: '${K:-all}' }]
";
    let config = parse(yaml).unwrap();
    let mirrors = config.mirrors.unwrap();
    assert_eq!((mirrors[0].name.as_str(), mirrors[0].signatures), ("2024.10", Signatures::NotRequired));
    assert_eq!(config.network.retries, 1);
    assert_eq!(config.caches[0].keep, Keep::All);
}

#[test]
fn a_folder_collects_beside_mirrors_or_beside_those_of_spack() {
    let config = parse("mirrors: [{ path: .larder/built, collect: true }, 'https://host/x']\n").unwrap();
    assert_eq!(config.mirrors.unwrap().len(), 1);
    let collect = config.collect.unwrap();
    assert_eq!((collect.name.as_str(), collect.path.as_path()), ("built", Path::new("/project/.larder/built")));
    assert_eq!(
        (collect.signatures, collect.signing_key, collect.keep),
        (Signatures::NotRequired, None, Keep::LOCKFILE)
    );

    let entry = "path: b, name: mine, collect: true, signing-key: 0x12, keep: { max-size: 1GB, slack: 10% }";
    let config = parse(&format!("mirrors: [{{ {entry} }}]\n")).unwrap();
    assert_eq!(config.mirrors, None, "those of Spack");
    let collect = config.collect.unwrap();
    assert_eq!((collect.name.as_str(), collect.signatures), ("mine", Signatures::Required));
    assert_eq!(collect.signing_key.as_deref(), Some("0x12"));
    assert!(matches!(collect.keep, Keep::Rules(KeepRules { max_age: None, .. })));

    let text = "mirrors: [{ path: b, collect: true, signing-key: x, signed: false }]\n";
    assert_eq!(parse(text).unwrap().collect.unwrap().signatures, Signatures::NotRequired);
    assert_eq!(parse("mirrors: [{ url: 'https://host/x', collect: false }]\n").unwrap().collect, None);
}

#[test]
fn a_registry_collects_beside_a_folder_and_beside_the_mirrors_of_spack() {
    let folder = "{ path: .larder/built, collect: true }";
    let config =
        parse(&format!("mirrors: [{folder}, {{ name: all, url: 'oci://host.example/x', collect: true }}]\n")).unwrap();
    assert_eq!((config.mirrors, config.collect.unwrap().name.as_str()), (None, "built"));
    let entry = config.built_mirror.unwrap();
    assert_eq!((entry.mirror.name.as_str(), entry.push, entry.keep), ("all", PushRule::Protected, Keep::default()));
    assert_eq!((entry.mirror.signatures, entry.mirror.presence), (Signatures::NotRequired, Presence::Required));
    let keys = "collect: true, push: always, signing-key: 0x1, keep: all, optional: true";
    let entry = parse(&format!("mirrors: [{{ url: 's3://b/x', {keys} }}]\n")).unwrap().built_mirror.unwrap();
    assert_eq!((entry.push, entry.keep, entry.signing_key.as_deref()), (PushRule::Always, Keep::All, Some("0x1")));
    assert_eq!((entry.mirror.signatures, entry.mirror.presence), (Signatures::Required, Presence::Optional));
}

#[test]
fn a_list_of_mirrors_may_be_empty() {
    assert_eq!(parse("mirrors: []").unwrap().mirrors, Some(Vec::new()));
}

#[test]
fn waste_may_stay_up_to_a_share_and_archives_have_a_size() {
    let config = parse(
        "caches: [{ name: a, keep: { max-age: 7d, slack: 20% } }, { name: b, keep: { slack: 0.1 } }]\nmax-archive-size: 2GiB",
    );
    let config = config.unwrap();
    assert_eq!(config.caches[0].keep.slack(), "20%".parse().unwrap());
    let slack = Some("10%".parse().unwrap());
    assert_eq!(
        config.caches[1].keep,
        Keep::Rules(KeepRules { max_age: Some(MaxAge::days(30)), slack, ..KeepRules::default() })
    );
    assert_eq!(config.max_archive_size, ByteSize::gib(2));
    let config = parse("caches: [{ name: a, keep: lockfile }]").unwrap();
    assert_eq!((config.caches[0].keep.slack(), config.max_archive_size), (Slack::NONE, ByteSize::gb(5)));
}

#[test]
fn every_way_to_keep_blobs_is_understood() {
    let keep = |text: &str| parse(&format!("caches: [{{ name: a, keep: {text} }}]")).unwrap().caches[0].keep;
    let week = Some(MaxAge::days(7));
    assert_eq!(keep("all"), Keep::All);
    assert_eq!(keep("lockfile"), Keep::LOCKFILE);
    assert_eq!(keep("{ lockfile: true }"), Keep::LOCKFILE);
    let like_others = KeepRules { max_age: week, ..KeepRules::default() };
    assert_eq!(keep("{ max-age: 7d }"), Keep::Rules(like_others));
    assert_eq!(keep("{ max-age: 1w, lockfile: false, slack: ~ }"), Keep::Rules(like_others));
    let max_size = Some(Size(ByteSize(5)));
    let kept = KeepRules { max_age: week, max_size, lockfile: LockfileBlobs::Kept, ..KeepRules::default() };
    assert_eq!(keep("{ max-age: 7d, max-size: 5, lockfile: true }"), Keep::Rules(kept));
}

#[test]
fn anchors_and_aliases_work() {
    let config = parse("jobs:\n  a: &both { specs: [x, y] }\n  b: *both\n").unwrap();
    assert_eq!(config.job_rule("b").unwrap().specs, ["x", "y"]);
}

#[test]
fn the_file_is_found_by_its_name_or_by_the_option() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, none) = (folder.path(), Variables::default());
    let load = |explicit: Option<&str>| Config::load(explicit.map(Path::new), folder, &none);
    assert_eq!(load(None).unwrap(), Config::without_file(folder));

    fs_err::create_dir(folder.join("ci")).unwrap();
    fs_err::write(folder.join("ci/other.yaml"), "environments: env").unwrap();
    let config = load(Some("ci/other.yaml")).unwrap();
    assert_eq!((config.root.as_path(), config.environments), (&*folder.join("ci"), vec![folder.join("ci/env")]));
    assert_eq!(config.file.as_deref(), Some(Path::new("ci/other.yaml")));
    assert_snapshot!(render(&load(Some("none.yaml")).unwrap_err()), @r"
    error: there is no `none.yaml`
    hint: `--config` names a file in the format of `larder.yaml`; without it, `larder.yaml` is optional
    ");
    assert!(matches!(load(Some("ci")), Err(ConfigError::Unreadable { .. })));

    fs_err::write(folder.join("larder.yml"), "").unwrap();
    assert_snapshot!(render(&load(None).unwrap_err()), @r"
    error: `larder.yml` is not read: the configuration is named `larder.yaml`
    hint: rename it, or name it with `--config`
    ");
    fs_err::write(folder.join("larder.yaml"), "build-deps: all").unwrap();
    assert_eq!(load(None).unwrap().build_deps, Some(BuildDeps::All));
}

#[test]
fn a_file_that_is_no_configuration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let load = |bytes: &[u8]| {
        fs_err::write(folder.path().join(NAME), bytes).unwrap();
        Config::load(None, folder.path(), &Variables::default()).map_err(|error| error.to_string().replace('\\', "/"))
    };
    assert!(load(&b"#".repeat(1 << 20)).is_ok());
    assert!(load(&b"#".repeat((1 << 20) + 1)).unwrap_err().contains("larger than 1 MiB"));
    assert!(load(b"a: \xff").unwrap_err().contains("not UTF-8"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(yaml in ".*") {
        let _ = parse(&yaml).map_err(|error| render(&error));
    }

    #[test]
    fn no_text_of_familiar_pieces_makes_it_panic(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "mirrors", "caches", "jobs", "keep", "max-age", "environments", "network", "name", "url", "path", ": ",
                ":\n", "\n", "\n  ", "\n- ", "[", "]", "{", "}", ", ", "&a ", "*a", "!x ", "\"", "'", "${", "}", "${A:-", "x",
                "~", "1.5", "true", "|\n", "---\n", "...\n", "? ", "#", "é", "\t", "https://me:x@h/", "\u{feff}", "\u{1f}",
            ]),
            0..40,
        )
    ) {
        let _ = parse(&pieces.concat()).map_err(|error| render(&error));
    }

    #[test]
    fn no_shape_makes_it_panic(key in "mirrors|caches|jobs|network|environments", value in "[ -~é]{0,30}") {
        let _ = parse(&format!("{key}: {value}")).map_err(|error| render(&error));
        let _ = parse(&format!("{key}: [{{ name: {value} }}]")).map_err(|error| render(&error));
        let _ = parse(&format!("{key}:\n  - name: a\n    path: {value}\n")).map_err(|error| render(&error));
    }
}
