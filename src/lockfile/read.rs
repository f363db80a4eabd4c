//! From a file to a [`Lockfile`].

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::error::LockfileError;
use super::format::Format;
use super::graph;
use super::model::{ConcreteSpec, Lockfile};
use super::node::RawNode;
use super::root::Root;
use crate::types::{Compiler, DagHash};

/// The most bytes a lockfile may have. The largest real ones, of environments with thousands of specs, have some ten
/// megabytes; the bound keeps a wrong file from filling the memory.
const MAX_BYTES: u64 = 512 << 20;

/// What tells a lockfile and its format.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "_meta")]
    meta: Option<Meta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    file_type: Option<String>,
    lockfile_version: Option<u32>,
}

/// An environment, the outermost or an included one.
#[derive(Deserialize)]
struct RawEnvironment {
    #[serde(default)]
    roots: Vec<Root>,
    concrete_specs: BTreeMap<DagHash, RawNode>,
    #[serde(default)]
    include_concrete: BTreeMap<String, RawEnvironment>,
}

impl Lockfile {
    /// Read and check a lockfile.
    pub fn read(path: &Path) -> Result<Self, LockfileError> {
        // It may be a link: one lockfile can serve several environments.
        match crate::fs::read_linked(path, MAX_BYTES) {
            Ok(Some(text)) => parse(path, &text),
            Ok(None) => Err(LockfileError::Missing { path: path.to_owned() }),
            Err(source) => Err(LockfileError::Unreadable { path: path.to_owned(), source }),
        }
    }
}

fn parse(path: &Path, text: &[u8]) -> Result<Lockfile, LockfileError> {
    let header: Header = json(path, text)?;
    let other = |found: &str| LockfileError::OtherFile { path: path.to_owned(), found: found.to_owned() };
    let meta = header.meta.ok_or_else(|| other("it has no `_meta`"))?;
    match meta.file_type.as_deref() {
        Some("spack-lockfile") => {}
        Some(kind) => return Err(other(&format!("its file type is `{}`", kind.escape_debug()))),
        None => return Err(other("its `_meta` has no `file-type`")),
    }
    let number = meta.lockfile_version.ok_or_else(|| other("its `_meta` has no `lockfile-version`"))?;
    match Format::of(number).ok_or_else(|| LockfileError::TooOld { path: path.to_owned(), found: number })? {
        format @ Format::Known(_) => environment(path, text, format),
        // Whatever does not fit is a difference of that format, and no damage.
        format @ Format::Newer(found) => environment(path, text, format)
            .and_then(|lockfile| graph::check_reach(&lockfile).map(|()| lockfile))
            .map_err(|error| LockfileError::TooNew { path: path.to_owned(), found, source: error.into() }),
    }
}

fn environment(path: &Path, text: &[u8], format: Format) -> Result<Lockfile, LockfileError> {
    let mut lockfile = Lockfile { path: path.to_owned(), format, roots: Vec::new(), specs: BTreeMap::new() };
    merge(&mut lockfile, json::<RawEnvironment>(path, text)?)
        .map_err(|reason| LockfileError::Malformed { path: path.to_owned(), reason })?;
    graph::check(&lockfile)?;
    name_compilers(&mut lockfile.specs);
    Ok(lockfile)
}

fn json<'a, T: Deserialize<'a>>(path: &Path, text: &'a [u8]) -> Result<T, LockfileError> {
    serde_json::from_slice(text)
        .map_err(|error| LockfileError::Malformed { path: path.to_owned(), reason: error.to_string() })
}

/// Add an environment and those that it includes. A spec that several hold is the same in each: its hash says so.
fn merge(lockfile: &mut Lockfile, raw: RawEnvironment) -> Result<(), String> {
    for root in raw.roots {
        if !lockfile.roots.contains(&root) {
            lockfile.roots.push(root);
        }
    }
    for (hash, node) in raw.concrete_specs {
        let spec = node.into_spec(hash)?;
        lockfile.specs.entry(hash).or_insert(spec);
    }
    raw.include_concrete.into_values().try_for_each(|included| merge(lockfile, included))
}

/// Layout v2 names files after a spec's compiler; in format 6 that is the dependency which provides a language.
fn name_compilers(specs: &mut BTreeMap<DagHash, ConcreteSpec>) {
    let provider = |spec: &ConcreteSpec, language: &str| {
        let edge = spec.dependencies.iter().find(|edge| edge.virtuals.iter().any(|name| name == language))?;
        let compiler = &specs.get(&edge.hash)?.id;
        Some(Compiler { name: compiler.name.clone(), version: compiler.version.clone() })
    };
    let compiler = |spec: &ConcreteSpec| ["c", "cxx", "fortran"].iter().find_map(|language| provider(spec, language));
    let nameless = specs.values().filter(|spec| spec.id.compiler.is_none());
    let found: Vec<_> = nameless.map(|spec| (spec.id.hash, compiler(spec))).collect();
    for (hash, compiler) in found {
        if let Some(spec) = specs.get_mut(&hash) {
            spec.id.compiler = compiler;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockfile::Origin;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn parse_value(value: &Value) -> Result<Lockfile, LockfileError> {
        parse(Path::new("spack.lock"), value.to_string().as_bytes())
    }

    fn hash(letter: char) -> String {
        letter.to_string().repeat(32)
    }

    fn node(name: &str, dependencies: &[char]) -> Value {
        json!({
            "name": name, "version": "1.0", "parameters": {},
            "arch": {"platform": "linux", "platform_os": "debian12", "target": "x86_64"},
            "dependencies": dependencies.iter().map(|to| json!({
                "name": "x", "hash": hash(*to), "parameters": {"deptypes": ["link"], "virtuals": []},
            })).collect::<Vec<_>>(),
        })
    }

    fn lockfile(specs: &[(char, Value)]) -> Value {
        let specs: serde_json::Map<_, _> = specs.iter().map(|(key, node)| (hash(*key), node.clone())).collect();
        json!({
            "_meta": {"file-type": "spack-lockfile", "lockfile-version": 6, "specfile-version": 5},
            "roots": [{"hash": hash('a'), "spec": "a"}],
            "concrete_specs": specs,
        })
    }

    #[test]
    fn an_older_format_names_both_versions() {
        let mut value = lockfile(&[('a', node("a", &[]))]);
        value["_meta"]["lockfile-version"] = json!(3);
        insta::assert_snapshot!(
            parse_value(&value).unwrap_err(),
            @"`spack.lock` has lockfile format 3; this larder understands formats 4 to 8"
        );
    }

    #[test]
    fn a_newer_format_of_known_shape_is_read_and_noted() {
        let mut value = lockfile(&[('a', node("a", &['b'])), ('b', node("b", &[]))]);
        assert_eq!(parse_value(&value).unwrap().format().note(), None);
        value["_meta"]["lockfile-version"] = json!(9);
        value["roots"][0]["of_the_future"] = json!({});
        let lockfile = parse_value(&value).unwrap();
        assert_eq!(lockfile.specs().count(), 2);
        let note = lockfile.format().note().unwrap();
        assert!(note.contains("format 9") && note.contains("knows is 8"), "{note}");
    }

    #[test]
    fn a_newer_format_of_another_shape_names_both_versions() {
        let mut value = lockfile(&[('a', node("a", &['b'])), ('b', node("b", &[]))]);
        value["_meta"]["lockfile-version"] = json!(9);
        let mut renamed = value.clone();
        // Read as if it were known, this would be a root without dependencies.
        let node = renamed["concrete_specs"][hash('a')].as_object_mut().unwrap();
        let edges = node.shift_remove("dependencies").unwrap();
        node.insert("edges".to_owned(), edges);
        let error = parse_value(&renamed).unwrap_err();
        insta::assert_snapshot!(
            error,
            @"`spack.lock` has lockfile format 9, which differs from formats 4 to 8 that this larder understands"
        );
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("nothing needs b@1.0"), "{cause}");
        value["concrete_specs"] = json!("of a shape yet unknown");
        let error = parse_value(&value).unwrap_err();
        assert!(matches!(error, LockfileError::TooNew { found: 9, .. }), "{error}");
    }

    #[test]
    fn roots_of_format_7_have_groups_and_those_of_others_the_default_one() {
        let mut value = lockfile(&[('a', node("a", &[]))]);
        value["_meta"]["lockfile-version"] = json!(7);
        value["roots"] = json!([
            {"hash": hash('a'), "spec": "a", "group": "tools"}, {"hash": hash('a'), "spec": "a", "group": "apps"},
            {"hash": hash('a'), "spec": "a@1"},
        ]);
        let lockfile = parse_value(&value).unwrap();
        assert_eq!(lockfile.roots().iter().map(Root::group).collect::<Vec<_>>(), ["tools", "apps", "default"]);
    }

    #[test]
    fn what_nodes_of_format_8_provide_is_passed_over() {
        let mut value = lockfile(&[('a', node("a", &[]))]);
        value["_meta"] = json!({"file-type": "spack-lockfile", "lockfile-version": 8, "specfile-version": 6});
        value["concrete_specs"][hash('a')]["provided_virtuals"] = json!(["zlib-api", "libgfortran@5"]);
        assert_eq!(parse_value(&value).unwrap().format(), Format::Known(8));
    }

    #[test]
    fn a_dependency_that_is_not_there_is_named() {
        let value = lockfile(&[('a', node("app", &['b']))]);
        insta::assert_snapshot!(
            parse_value(&value).unwrap_err(),
            @"`spack.lock` is incomplete: app@1.0/aaaaaaa needs x/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, which is not in it"
        );
    }

    #[test]
    fn a_root_and_a_build_spec_must_be_there_too() {
        let mut value = lockfile(&[('b', node("b", &[]))]);
        assert!(matches!(parse_value(&value), Err(LockfileError::MissingDependency { .. })));
        value = lockfile(&[('a', node("a", &[]))]);
        value["concrete_specs"][hash('a')]["build_spec"] = json!({"name": "a", "hash": hash('c')});
        assert!(matches!(parse_value(&value), Err(LockfileError::MissingDependency { .. })));
    }

    #[test]
    fn a_cycle_is_shown() {
        let value = lockfile(&[('a', node("app", &['b'])), ('b', node("lib", &['c'])), ('c', node("low", &['b']))]);
        insta::assert_snapshot!(
            parse_value(&value).unwrap_err(),
            @"`spack.lock` has a dependency cycle: lib@1.0/bbbbbbb → low@1.0/ccccccc → lib@1.0/bbbbbbb"
        );
    }

    #[test]
    fn a_chain_of_twenty_thousand_specs_does_not_exhaust_the_stack() {
        let digits: Vec<char> = "abcdefghijklmnopqrstuvwxyz234567".chars().collect();
        let name = |mut number: usize| {
            let mut text = vec!['a'; 32];
            for place in &mut text {
                *place = digits[number % 32];
                number /= 32;
            }
            String::from_iter(text)
        };
        let specs: serde_json::Map<_, _> = (0..20_000)
            .map(|number| {
                let mut value = node("x", &['a']);
                value["dependencies"][0]["hash"] = json!(name(number + 1));
                if number == 19_999 {
                    value["dependencies"] = json!([]);
                }
                (name(number), value)
            })
            .collect();
        let mut value = lockfile(&[]);
        value["concrete_specs"] = Value::Object(specs);
        assert_eq!(parse_value(&value).unwrap().specs().count(), 20_000);
    }

    #[test]
    fn names_that_would_leave_a_folder_are_refused_with_their_line() {
        let mut value = lockfile(&[('a', node("../../etc", &[]))]);
        assert!(matches!(parse_value(&value), Err(LockfileError::Malformed { .. })));
        value = lockfile(&[('a', node("a", &[]))]);
        value["concrete_specs"][hash('a')]["arch"]["target"] = json!("../x");
        let error = parse_value(&value).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }

    #[test]
    fn a_hash_that_contradicts_its_key_is_refused() {
        let mut value = lockfile(&[('a', node("a", &[]))]);
        value["concrete_specs"][hash('a')]["hash"] = json!(hash('b'));
        assert!(parse_value(&value).unwrap_err().to_string().contains("says that its hash is"));
    }

    #[test]
    fn some_other_json_file_is_recognised() {
        insta::assert_snapshot!(
            parse_value(&json!({"version": 3})).unwrap_err(),
            @"`spack.lock` is not a Spack lockfile: it has no `_meta`"
        );
    }

    #[test]
    fn externals_development_builds_targets_and_compilers_are_told() {
        let mut value = lockfile(&[('a', node("a", &['b'])), ('b', node("gcc", &[])), ('c', node("c", &[]))]);
        let specs = &mut value["concrete_specs"];
        specs[hash('a')]["parameters"]["dev_path"] = json!("/home/x");
        specs[hash('a')]["dependencies"][0]["parameters"]["virtuals"] = json!(["cxx", "c"]);
        specs[hash('b')]["external"] = json!({"path": "/usr", "module": null});
        specs[hash('b')]["arch"]["target"] = json!({"name": "zen4", "vendor": "AuthenticAMD"});
        specs[hash('c')]["annotations"] = json!({"original_specfile_version": 4, "compiler": "gcc@=12.2.0"});
        let lockfile = parse_value(&value).unwrap();
        let spec = |letter| lockfile.spec(hash(letter).parse().unwrap()).unwrap();
        assert_eq!(spec('a').origin, Origin::Development);
        assert_eq!(spec('a').id.compiler.as_ref().unwrap().name.as_str(), "gcc");
        assert_eq!(spec('b').origin, Origin::External);
        assert_eq!(spec('b').id.arch.target.as_str(), "zen4");
        assert_eq!(spec('b').id.compiler, None);
        assert_eq!(spec('c').id.compiler.as_ref().unwrap().version.as_str(), "12.2.0");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(Path::new("x"), &text);
        }

        #[test]
        fn no_change_of_one_byte_makes_it_panic(at in 0usize..900, byte: u8) {
            let mut text = lockfile(&[('a', node("a", &['b'])), ('b', node("b", &[]))]).to_string().into_bytes();
            let at = at % text.len();
            text[at] = byte;
            let _ = parse(Path::new("x"), &text);
        }
    }
}
