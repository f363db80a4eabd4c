//! Whole layouts: folders as Spack reads them, and what comes out.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

/// A machine in a temporary folder: a Spack, a home, a system scope and an environment.
struct Machine {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Machine {
    /// A machine without Spack.
    fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = Self { folder, variables: Vec::new() };
        std::fs::create_dir_all(machine.path("env")).unwrap();
        machine.with_variable("SPACK_SYSTEM_CONFIG_PATH", "{}/system")
    }

    /// A machine with a Spack of this version, and the part of its `etc` that finds scopes.
    fn with_spack(version: &str) -> Self {
        let machine = Self::bare()
            .with_variable("SPACK_ROOT", "{}/spack")
            .file("spack/lib/spack/spack/__init__.py", &format!("__version__ = \"{version}\"\n"))
            .file("spack/etc/spack/defaults/config.yaml", "config: {install_tree: {root: $spack/opt/spack}}")
            .file("spack/etc/spack/defaults/mirrors.yaml", "mirrors: {public: {binary: false, url: 'https://p'}}");
        if version.starts_with("1.1") {
            machine.file(
                "spack/etc/spack/include.yaml",
                r#"include:
- {name: user, path_override_env_var: SPACK_USER_CONFIG_PATH, path: ~/.spack, optional: true, when: '"SPACK_DISABLE_LOCAL_CONFIG" not in env'}
- {name: site, path: $spack/etc/spack/site, optional: true}
- {name: system, path_override_env_var: SPACK_SYSTEM_CONFIG_PATH, path: /etc/spack, optional: true, when: '"SPACK_DISABLE_LOCAL_CONFIG" not in env'}
"#,
            )
        } else {
            machine
        }
    }

    fn with_variable(mut self, name: &str, value: &str) -> Self {
        let value = value.replace("{}", self.folder.path().to_str().unwrap());
        self.variables.push((name.to_owned(), value));
        self
    }

    fn file(self, path: &str, text: &str) -> Self {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(path)
    }

    fn discover(&self) -> Result<SpackConfig> {
        let variables = Variables::new(self.variables.clone());
        discover(Some(&self.path("env")), &variables, Some(&self.path("home")), &self.path("env/.larder/job"))
    }

    /// `name=url` of each mirror; the machine's folder is `{}`.
    fn mirrors(&self) -> Vec<String> {
        let config = self.discover().unwrap();
        let folder = self.path("").to_str().unwrap().trim_end_matches('/').to_owned();
        config.mirrors.iter().map(|mirror| format!("{}={}", mirror.name, mirror.url.replace(&folder, "{}"))).collect()
    }

    fn only_note(&self) -> String {
        let notes = self.discover().unwrap().notes;
        assert_eq!(notes.len(), 1, "{notes:?}");
        notes[0].clone()
    }
}

#[test]
fn every_form_of_a_mirror_is_read() {
    let machine = Machine::with_spack("1.1.0").file(
        "env/spack.yaml",
        r"spack:
  mirrors:
    text: https://a
    map: {url: https://b, signed: false}
    fetch: {fetch: https://c, push: s3://push}
    deep: {url: https://no, fetch: {url: 'https://d', profile: x}, push: {url: s3://push}}
    keys: {fetch: {profile: x}, url: https://e}
    source: {url: https://f, binary: false}
    both: {url: https://g, binary: true, source: true, signed: true, autopush: true}
    object: s3://bucket/x
    registry: oci://host/x
",
    );
    let config = machine.discover().unwrap();
    let shown: Vec<_> =
        config.mirrors.iter().map(|mirror| (mirror.name.as_str(), mirror.url.as_str(), mirror.signed)).collect();
    assert_eq!(
        shown,
        [
            ("text", "https://a", true),
            ("map", "https://b", false),
            ("fetch", "https://c", true),
            ("deep", "https://d", true),
            ("keys", "https://e", true),
            ("both", "https://g", true),
            ("object", "s3://bucket/x", true),
            ("registry", "oci://host/x", true),
        ]
    );
    assert_eq!(config.mirrors[0].declared_in, machine.path("env/spack.yaml"));
}

#[test]
fn a_mirror_that_is_only_pushed_to_is_left_out_with_a_note() {
    let machine = Machine::with_spack("1.1.0").file("env/spack.yaml", "spack: {mirrors: {x: {push: 's3://x'}}}");
    assert_eq!(machine.mirrors(), [""; 0]);
    assert!(machine.only_note().contains("`x` has no URL"), "{}", machine.only_note());
}

#[test]
fn scopes_of_spack_1_1_lie_in_this_order() {
    let machine = Machine::with_spack("1.1.0")
        .file("env/spack.yaml", "spack: {include: [first.yaml, second], mirrors: {env: a}}")
        .file("env/first.yaml", "mirrors: {first: a}")
        .file("env/second/mirrors.yaml", "mirrors: {second: a}")
        .file("spack/etc/spack/mirrors.yaml", "mirrors: {spack: a}")
        .file("home/.spack/mirrors.yaml", "mirrors: {user: a}")
        .file("home/.spack/linux/mirrors.yaml", "mirrors: {unread: a}")
        .file("spack/etc/spack/site/mirrors.yaml", "mirrors: {site: a}")
        .file("system/mirrors.yaml", "mirrors: {system: a}");
    assert_eq!(
        machine.mirrors(),
        [
            "env={}/env/a",
            "first={}/env/a",
            "second={}/env/second/a",
            "spack={}/spack/etc/spack/a",
            "user={}/home/.spack/a",
            "site={}/spack/etc/spack/site/a",
            "system={}/system/a"
        ]
    );
    let files = machine.discover().unwrap().files;
    assert_eq!(files[..3], ["env/spack.yaml", "env/first.yaml", "env/second/mirrors.yaml"].map(|x| machine.path(x)));
    assert_eq!(files.len(), 10, "{files:?}");
}

#[test]
fn scopes_of_spack_0_23_lie_in_this_order_each_below_its_platform() {
    let machine = Machine::with_spack("0.23.1")
        .file("env/spack.yaml", "spack: {include: [first.yaml, second], mirrors: {env: a}}")
        .file("env/first.yaml", "{include: [unread.yaml], mirrors: {first: a}}")
        .file("env/second/mirrors.yaml", "mirrors: {second: a}")
        .file("home/.spack/mirrors.yaml", "mirrors: {user: a}")
        .file(&format!("home/.spack/{}/mirrors.yaml", substitute::platform()), "mirrors: {platform: a}")
        .file("spack/etc/spack/mirrors.yaml", "mirrors: {site: a}")
        .file("spack/etc/spack/site/mirrors.yaml", "mirrors: {unread: a}")
        .file("system/mirrors.yaml", "mirrors: {system: a}");
    let names: Vec<_> = machine.discover().unwrap().mirrors.into_iter().map(|mirror| mirror.name).collect();
    assert_eq!(names, ["env", "first", "second", "platform", "user", "site", "system"]);
}

#[test]
fn without_a_spack_the_users_and_the_systems_scopes_count() {
    let machine = Machine::bare()
        .file("home/.spack/mirrors.yaml", "mirrors: {user: a}")
        .file("system/mirrors.yaml", "mirrors: {system: a}");
    assert_eq!(machine.mirrors(), ["user={}/home/.spack/a", "system={}/system/a"]);
    assert!(machine.discover().unwrap().notes.is_empty());
    assert!(machine.discover().unwrap().install_trees.is_empty());
    // Only where nothing names a mirror, the scopes that are not known may be why.
    assert!(Machine::bare().only_note().contains("no Spack was found"));
}

#[test]
fn variables_move_the_local_scopes_or_turn_them_off() {
    for version in ["0.23.1", "1.0.2", "1.1.0"] {
        let machine = || {
            Machine::with_spack(version)
                .file("home/.spack/mirrors.yaml", "mirrors: {home: a}")
                .file("elsewhere/mirrors.yaml", "mirrors: {user: a}")
                .file("system/mirrors.yaml", "mirrors: {system: a}")
        };
        let moved = machine().with_variable("SPACK_USER_CONFIG_PATH", "{}/elsewhere");
        assert_eq!(moved.mirrors(), ["user={}/elsewhere/a", "system={}/system/a"]);
        let empty = machine().with_variable("SPACK_USER_CONFIG_PATH", "");
        assert_eq!(empty.mirrors(), ["home={}/home/.spack/a", "system={}/system/a"]);
        let off = machine().with_variable("SPACK_DISABLE_LOCAL_CONFIG", "");
        assert_eq!(off.mirrors(), [""; 0], "{version}");
    }
}

#[test]
fn two_colons_end_the_search() {
    let machine = Machine::with_spack("1.1.0")
        .file("home/.spack/mirrors.yaml", "mirrors: {user: a}")
        .file("env/include.yaml", "mirrors:: {included: a}")
        .file("env/spack.yaml", "spack: {include: [include.yaml], mirrors: {env: a}}");
    assert_eq!(machine.mirrors(), ["env={}/env/a", "included={}/env/a"]);
}

#[test]
fn a_mirror_of_the_same_name_is_merged_over_the_scopes() {
    let machine = Machine::with_spack("1.1.0")
        .file("home/.spack/mirrors.yaml", "mirrors: {x: {url: https://low, signed: false}, y: {binary: false, url: a}}")
        .file("env/spack.yaml", "spack: {mirrors: {x: {url: rel}, y: {binary: true}}}");
    let config = machine.discover().unwrap();
    assert_eq!(machine.mirrors(), ["x={}/env/rel", "y={}/home/.spack/a"]);
    assert!(!config.mirrors[0].signed);
    assert_eq!(config.mirrors[1].declared_in, machine.path("home/.spack/mirrors.yaml"));
}

#[test]
fn include_with_two_colons_leaves_only_the_environment_and_the_defaults() {
    let machine = Machine::with_spack("1.1.0")
        .file("spack/etc/spack/defaults/mirrors.yaml", "mirrors: {default: https://d}")
        .file("home/.spack/mirrors.yaml", "mirrors: {user: a}")
        .file("env/x.yaml", "mirrors: {x: a}")
        .file("env/spack.yaml", "spack: {'include:': [x.yaml], mirrors: {env: a}}");
    assert_eq!(machine.mirrors(), ["env={}/env/a", "x={}/env/a", "default=https://d"]);
}

#[test]
fn includes_may_be_maps_with_conditions() {
    let machine = Machine::with_spack("1.1.0")
        .with_variable("SITE", "north")
        .file("env/yes.yaml", "mirrors: {yes: a}")
        .file("env/no.yaml", "mirrors: {no: a}")
        .file("env/moved.yaml", "mirrors: {moved: a}")
        .with_variable("WHERE", "moved.yaml")
        .file(
            "env/spack.yaml",
            r#"spack:
  include:
  - {path: missing.yaml, optional: true}
  - {path: yes.yaml, when: 'env["SITE"] == "north"'}
  - {path: no.yaml, when: 'env["SITE"] == "south"'}
  - {path: no.yaml, path_override_env_var: WHERE}
"#,
        );
    assert_eq!(machine.mirrors(), ["yes={}/env/a", "moved={}/env/a"]);
}

#[test]
fn what_larder_cannot_read_is_left_out_and_told() {
    for (include, told) in [
        ("'https://user:secret@host/x.yaml'", "`https://…@host/x.yaml`"),
        ("{path: 'https://host/x.yaml', sha256: abc}", "`https://host/x.yaml`"),
        ("{git: 'https://host/x.git', branch: main, paths: [x.yaml]}", "`https://host/x.git`"),
        ("{path: spack.yaml, when: 're.match(\"a\", hostname)'}", "can't evaluate"),
    ] {
        let machine = Machine::with_spack("1.1.0")
            .file("env/spack.yaml", &format!("spack: {{include: [{include}], mirrors: {{env: a}}}}"));
        assert_eq!(machine.mirrors(), ["env={}/env/a"]);
        assert!(machine.only_note().contains(told), "{}", machine.only_note());
        assert!(!machine.only_note().contains("secret"));
    }
}

#[test]
fn a_missing_include_is_an_error_that_names_both_files() {
    for version in ["0.23.1", "1.1.0"] {
        let machine = Machine::with_spack(version).file("env/spack.yaml", "spack: {include: [x/y.yaml]}");
        let error = machine.discover().unwrap_err().to_string();
        assert!(error.contains("env/spack.yaml` includes `x/y.yaml`"), "{error}");
        assert!(error.contains("env/x/y.yaml`"), "{error}");
    }
}

#[test]
fn a_cycle_of_includes_ends_in_an_error() {
    let machine = Machine::with_spack("1.1.0")
        .file("env/spack.yaml", "spack: {include: [a.yaml]}")
        .file("env/a.yaml", "include: [b.yaml]")
        .file("env/b.yaml", "include: [a.yaml]");
    assert!(matches!(machine.discover(), Err(SpackConfigError::IncludesTooDeep { .. })));
}

#[test]
fn includes_that_multiply_end_in_an_error() {
    let mut machine = Machine::with_spack("1.1.0").file("env/spack.yaml", "spack: {include: [a0.yaml]}");
    for level in 0..40 {
        let text = format!("include: [a{0}.yaml, b{0}.yaml]", level + 1);
        machine = machine.file(&format!("env/a{level}.yaml"), &text).file(&format!("env/b{level}.yaml"), &text);
    }
    machine = machine.file("env/a40.yaml", "").file("env/b40.yaml", "");
    assert!(matches!(machine.discover(), Err(SpackConfigError::TooManyIncludes { .. })));
}

#[test]
fn larders_own_mirror_and_scope_are_left_out() {
    let machine = Machine::with_spack("1.1.0")
        .file("env/.larder/job/spack/mirrors.yaml", "mirrors:: {larder: ../mirror}")
        .file("env/spack.yaml", "spack: {include: [.larder/job/spack], mirrors: {env: a, job: .larder/job/mirror}}")
        .file("home/.spack/mirrors.yaml", "mirrors: {user: 'a', job2: 'file://$X'}");
    assert_eq!(machine.mirrors(), ["env={}/env/a", "user={}/home/.spack/a", "job2=file://$X"]);
}

#[test]
fn before_the_first_prepare_larders_own_scope_need_not_exist() {
    let machine = Machine::with_spack("0.23.1")
        .file("env/spack.yaml", "spack: {include: [.larder/job/spack], mirrors: {env: a}}");
    assert_eq!(machine.mirrors(), ["env={}/env/a"]);
}

#[cfg(unix)]
#[test]
fn larders_own_mirror_and_scope_are_known_through_links() {
    for job in ["env/.larder/job/spack/mirrors.yaml", "env/unrelated"] {
        let machine = Machine::with_spack("1.1.0").file(job, "mirrors:: {larder: ../mirror}").file(
            "env/spack.yaml",
            "spack: {include: [.larder/job/spack], mirrors: {env: a, job: $HERE/env/.larder/job/mirror}}",
        );
        let machine = machine.with_variable("HERE", "{}");
        std::os::unix::fs::symlink(machine.path("env"), machine.path("link")).unwrap();
        let (link, variables) = (machine.path("link"), Variables::new(machine.variables.clone()));
        let config = discover(Some(&link), &variables, None, &link.join(".larder/job")).unwrap();
        assert_eq!(config.mirrors.iter().map(|mirror| mirror.name.as_str()).collect::<Vec<_>>(), ["env"], "{job}");
    }
}

#[cfg(unix)]
#[test]
fn paths_in_a_linked_include_count_from_where_that_generation_of_spack_says() {
    for (version, expected) in [("0.23.1", "x={}/shared/a"), ("1.1.0", "x={}/env/a")] {
        let machine = Machine::with_spack(version)
            .file("shared/x.yaml", "mirrors: {x: a}")
            .file("env/spack.yaml", "spack: {include: [x.yaml]}");
        std::os::unix::fs::symlink(machine.path("shared/x.yaml"), machine.path("env/x.yaml")).unwrap();
        assert_eq!(machine.mirrors(), [expected]);
    }
}

#[test]
fn paths_are_expanded_and_urls_are_not() {
    let machine = Machine::with_spack("1.1.0").with_variable("SUB", "deep").file(
        "env/spack.yaml",
        "spack: {mirrors: {a: $env/../x, b: '${SPACK}/$SUB/m', c: ~/m, d: 'https://h/$SUB', e: 'file:///$SUB', f: /x/$os}}",
    );
    assert_eq!(
        machine.mirrors(),
        ["a={}/x", "b={}/spack/deep/m", "c={}/home/m", "d=https://h/$SUB", "e=file:///$SUB", "f=/x/$os"]
    );
    assert!(machine.only_note().contains("does not know `$os`"));
}

#[test]
fn an_old_environment_and_one_that_is_empty_are_read() {
    let old = Machine::with_spack("0.23.1").file("env/spack.yaml", "env:\n  mirrors: {x: a}\n");
    assert_eq!(old.mirrors(), ["x={}/env/a"]);
    for empty in ["", "# nothing\n", "---\n", "spack:\n", "spack: {mirrors: }", "spack: {include: }"] {
        assert_eq!(Machine::with_spack("1.1.0").file("env/spack.yaml", empty).mirrors(), [""; 0], "{empty:?}");
    }
}

#[test]
fn anchors_and_merge_keys_are_understood() {
    let machine = Machine::with_spack("1.1.0").file(
        "env/spack.yaml",
        "spack:\n  mirrors:\n    a: &a {url: https://a, signed: false}\n    b: {<<: *a, url: https://b}\n    c: *a\n",
    );
    assert_eq!(machine.mirrors(), ["a=https://a", "b=https://b", "c=https://a"]);
    assert!(!machine.discover().unwrap().mirrors[1].signed);
}

#[test]
fn a_broken_file_is_an_error_with_file_and_line() {
    for (text, line) in [
        ("spack:\n  mirrors:\n    a: [\n", "line 4"),
        ("spack:\n  mirrors:\n    - a\n", "line 3"),
        ("spack:\n  mirrors:\n    a: https://a\n    b: {url: 5}\n", "line 4"),
        ("spack:\n  mirrors:\n    a: https://a\n    a: https://b\n", "line 4"),
        ("spack:\n  mirrors:\n    a: {url: https://a, signed: maybe}\n", "line 3"),
        ("spack:\n  include: x.yaml\n", "line 2"),
    ] {
        let error = Machine::with_spack("1.1.0").file("env/spack.yaml", text).discover().unwrap_err().to_string();
        assert!(error.contains("env/spack.yaml") && error.contains(line), "{text:?}: {error}");
    }
}

#[test]
fn what_larder_does_not_need_may_hold_anything() {
    for section in
        ["packages: {[a, b]: c}", "? {a: b}\n    : c", "x: !tag y", "x: {a: 1, a: 2}", "packages: 1\n  packages: 2"]
    {
        let text = format!("spack:\n  mirrors: {{x: a}}\n  view:\n    {section}\n");
        assert_eq!(Machine::with_spack("1.1.0").file("env/spack.yaml", &text).mirrors(), ["x={}/env/a"], "{section}");
    }
    let needed = Machine::with_spack("1.1.0").file("env/spack.yaml", "spack:\n  mirrors: {[a]: b}\n");
    let said = refusal(&needed);
    assert!(said.contains("line 2, column 13") && said.contains("a key must be a text"), "{said}");
}

#[test]
fn what_spack_writes_in_flow_lists_is_read_as_spack_reads_it() {
    let packages =
        "packages:\n  all:\n    prefer: [gcc@12:]\n  m4: {version: [:2.4.6], require: [m4@1:, 'x', y%gcc@12:]}\n";
    let machine = Machine::with_spack("1.1.0")
        .file(
            "env/spack.yaml",
            "spack:\n  include: [packages.yaml]\n  mirrors: {x: {url: 'https://x', signed: false}}\n",
        )
        .file("env/packages.yaml", packages);
    assert_eq!(machine.mirrors(), ["x=https://x"]);
    assert_eq!(machine.discover().unwrap().notes, [] as [String; 0]);
}

#[test]
fn a_file_that_names_nothing_that_larder_needs_never_stops_it() {
    for text in
        ["packages:\n  m4: {require: [%gcc@12:]}\n", "{% if x %}\npackages: {}\n{% endif %}\n", "- a\n- [\n", "\u{7}"]
    {
        let machine = Machine::with_spack("1.1.0")
            .file("env/spack.yaml", "spack:\n  include: [other.yaml]\n  mirrors: {x: https://x}\n")
            .file("env/other.yaml", text);
        assert_eq!(machine.mirrors(), ["x=https://x"], "{text}");
        let note = machine.only_note();
        assert!(note.contains("env/other.yaml") && note.contains("has nothing that larder needs"), "{note}");
    }
    let needed = Machine::with_spack("1.1.0")
        .file("env/spack.yaml", "spack:\n  include: [other.yaml]\n")
        .file("env/other.yaml", "packages: [%gcc]\nmirrors: {x: https://x}\n");
    assert!(refusal(&needed).contains("env/other.yaml`, line 1, column 12"), "{}", refusal(&needed));
}

/// What an error and its causes say.
fn refusal(machine: &Machine) -> String {
    let error = machine.discover().unwrap_err();
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}

#[test]
fn a_file_that_is_too_large_or_no_file_or_no_text_is_an_error() {
    let large = Machine::bare().file("env/spack.yaml", &"#".repeat(4 * 1024 * 1024 + 1));
    assert!(refusal(&large).contains("at most 4194304 are expected"), "{}", refusal(&large));
    let folder = Machine::bare().file("env/spack.yaml/x", "");
    assert!(refusal(&folder).contains("is not a regular file"), "{}", refusal(&folder));
    let machine = Machine::bare();
    std::fs::write(machine.path("env/spack.yaml"), [0xff, 0xfe]).unwrap();
    assert!(refusal(&machine).contains("utf-8"), "{}", refusal(&machine));
}

#[test]
fn install_trees_come_from_the_same_scopes() {
    let trees = |machine: &Machine| machine.discover().unwrap().install_trees;
    let defaults = Machine::with_spack("1.1.0");
    assert_eq!(trees(&defaults), [defaults.path("spack/opt/spack")]);
    let named = Machine::with_spack("1.1.0")
        .file("home/.spack/config.yaml", "config: {install_tree: {root: ~/low}}")
        .file("home/.spack/upstreams.yaml", "upstreams: {site: {install_tree: /site/opt}}")
        .file("env/spack.yaml", "spack: {config: {install_tree: {root: $env/tree/}}}");
    assert_eq!(trees(&named), [named.path("env/tree"), "/site/opt".into()]);
    let old = Machine::with_spack("0.23.1").file("home/.spack/config.yaml", "config: {install_tree: /old}");
    assert_eq!(trees(&old), [Path::new("/old")]);
}

#[test]
fn spack_is_found_on_the_path_through_links() {
    let machine = Machine::with_spack("1.1.0").file("spack/bin/spack", "").file("bin/other", "");
    #[cfg(unix)]
    std::os::unix::fs::symlink(machine.path("spack/bin/spack"), machine.path("bin/spack")).unwrap();
    let path = machine.path("bin").to_str().unwrap().to_owned();
    let instance = Instance::find(&Variables::new([("PATH".to_owned(), format!("/nowhere:{path}"))])).unwrap();
    assert_eq!(instance.root, machine.path("spack"));
    assert_eq!(instance.generation, Generation::Listed);
    assert_eq!(instance.short_version.as_deref(), Some("1.1"));
    assert!(Instance::find(&Variables::default()).is_none());
}

proptest! {
    #[test]
    fn no_text_panics(text in r#"(\PC|[ \n\-:{}\[\],&*!|>'"%<]|\n  |mirrors|include|config|url: |spack:|<<: |- ){0,60}"#) {
        let file = Path::new("/x/spack.yaml");
        for form in [Form::Manifest, Form::File] {
            if let Ok(below) = document::parse(&text, file, form) {
                let mut node = below.clone();
                merge::merge(below, &mut node);
                if let Some(section) = node.get("mirrors") {
                    let _ = mirrors::binary_mirrors(section, &Substitution::default(), Path::new("/job"), &mut Vec::new());
                }
            }
        }
    }

    #[test]
    fn no_environment_panics(section in r"(mirrors|include|config|upstreams)", text in r"(\PC|[\n\-:{}\[\]$~/]|a: |url: |root: ){0,40}") {
        let machine = Machine::with_spack("1.1.0").file("env/spack.yaml", &format!("spack:\n  {section}:\n    {text}"));
        let _ = machine.discover();
    }
}

#[test]
fn credentials_of_a_mirror_are_read_as_spack_reads_them() {
    let machine = Machine::with_spack("1.1.0").with_variable("USER", "me").with_variable("SECRET", "hunter2\n").file(
        "env/spack.yaml",
        r"spack:
  mirrors:
    pair: {url: https://a, access_pair: {id: you, secret_variable: SECRET}}
    variables: {url: https://b, access_pair: {id_variable: USER, secret_variable: SECRET}}
    list: {url: https://c, access_pair: [you, hunter2]}
    token: {url: https://d, access_token_variable: SECRET, access_token: ignored}
    unset: {url: https://e, access_token_variable: NONE, access_token: ignored, access_pair: {id: you, secret_variable: NO}}
    fetch: {url: https://f, access_token: above, fetch: {access_token: hunter2, profile: ci}, push: {profile: other}}
    text: {url: https://g, fetch: https://h, access_token: hunter2, endpoint_url: 'https://store'}
    empty: {url: https://i, access_pair: [null, null], profile: null, access_token_variable: ''}
",
    );
    let config = machine.discover().unwrap();
    let shown = |name: &str| {
        let access = &config.mirrors.iter().find(|mirror| mirror.name == name).unwrap().access;
        let pair = access.pair.as_ref().map(|pair| format!("{}:{}", pair.id, pair.secret.expose()));
        let token = access.token.as_ref().map(|token| token.expose().to_owned());
        let endpoint = access.endpoint.as_ref().map(url::Url::to_string);
        let unset = (!access.unset_variables.is_empty()).then(|| format!("{:?}", access.unset_variables));
        [pair, token, access.profile.clone(), endpoint, unset].into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(shown("pair"), "you:hunter2");
    assert_eq!(shown("variables"), "me:hunter2");
    assert_eq!(shown("list"), "you:hunter2");
    assert_eq!(shown("token"), "hunter2");
    assert_eq!(shown("unset"), r#"["NO", "NONE"]"#);
    assert_eq!(shown("fetch"), "hunter2 ci");
    assert_eq!(shown("text"), "hunter2 https://store/");
    assert_eq!(shown("empty"), "");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_secret_out_of_place_is_refused_and_not_repeated() {
    for entry in ["access_pair: hunter2", "access_pair: {id: [hunter2]}", "access_pair: 12345", "access_token: 12345"] {
        let text = format!("spack: {{mirrors: {{x: {{url: 'https://a', {entry}}}}}}}");
        let said = refusal(&Machine::with_spack("1.1.0").file("env/spack.yaml", &text));
        assert!(said.contains("expected") && !said.contains("hunter2") && !said.contains("12345"), "{said}");
    }
}
