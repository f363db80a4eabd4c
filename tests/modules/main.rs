//! No file of `src/` uses another that uses it, directly or on the way over others, and folders depend in one direction.
//!
//! What counts is what the code names: `use` lines and paths inside expressions, wherever they begin with `crate`, `larder`,
//! `super`, `self`, a child, or a module that was imported. A name leads to the file of the longest module in it. What
//! `x/mod.rs` only exports again from `x/y.rs` leads to `x/mod.rs` from anywhere else, and to `x/y.rs` from the other files
//! of `x/`; so these may not use what `x/mod.rs` itself defines, if it exports or uses anything of theirs. A module that only
//! declares its children does not depend on them. Tests inside `src/` are left out.

#![allow(clippy::unwrap_used)] // Clippy takes helpers of integration tests for ordinary code.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use source::{Module, Named, read};

/// The folders and single files of `src/`, from top to bottom: each line depends on its own and on those below.
const ORDER: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["commands"],
    &["pipeline"],
    &["export", "job", "store", "runner", "archive", "plan", "spack"],
    &["mirror", "lockfile", "install_tree", "spack_config", "config"],
    &["transport"],
    &["verified"],
    &["fs", "yaml", "report", "reporter", "interrupt", "types", "lib"],
];

/// Folders with cycles between files that are still there. It only ever gets shorter.
const KNOWN_FILE_CYCLES: &[&str] = &[];

/// Folders in cycles that are still there. It only ever gets shorter.
const KNOWN_FOLDER_CYCLES: &[&str] = &[];

/// Who uses whom, with the first line that says so.
type Graph = BTreeMap<String, BTreeMap<String, usize>>;

/// The modules of a program and its library by their paths: `lib`, `main`, `store`, `store::folder`.
fn modules(sources: &BTreeMap<String, String>) -> BTreeMap<String, Module> {
    let mut modules = BTreeMap::new();
    let mut open = vec!["lib".to_owned(), "main".to_owned()];
    while let Some(name) = open.pop() {
        let base = if is_root(&name) { String::new() } else { name.replace("::", "/") };
        let places = if is_root(&name) {
            [format!("{name}.rs"), String::new()]
        } else {
            [format!("{base}.rs"), format!("{base}/mod.rs")]
        };
        let Some(file) = places.iter().find(|file| sources.contains_key(*file)) else { continue };
        let module = read(file, &sources[file]);
        open.extend(module.children.iter().map(|child| join(&name, child)));
        modules.insert(name, module);
    }
    modules
}

fn is_root(module: &str) -> bool {
    matches!(module, "lib" | "main")
}

fn join(module: &str, name: &str) -> String {
    if is_root(module) { name.to_owned() } else { format!("{module}::{name}") }
}

/// The module in which this one stands.
fn parent(module: &str, top: &str) -> String {
    module.rsplit_once("::").map_or(top.to_owned(), |(parent, _)| parent.to_owned())
}

/// Who uses whom, by files.
fn graph(modules: &BTreeMap<String, Module>) -> Graph {
    let mut graph = Graph::new();
    for (name, module) in modules {
        let of_program =
            name == "main" || modules.get("main").is_some_and(|main| main.children.contains(&top_of(name)));
        let top = if of_program { "main" } else { "lib" };
        // What a path leads to: a module, and whether all of the path was needed for it.
        let lead = |names: &[String], known: &BTreeMap<String, String>| -> Option<(String, bool)> {
            let (mut at, mut rest) = match names[0].as_str() {
                "crate" => (top.to_owned(), &names[1..]),
                "larder" => ("lib".to_owned(), &names[1..]),
                "self" => (name.clone(), &names[1..]),
                "super" => (name.clone(), names),
                first if module.children.iter().any(|child| child == first) => (name.clone(), names),
                first => (known.get(first)?.clone(), &names[1..]),
            };
            while rest.first().is_some_and(|first| first == "super") {
                (at, rest) = (parent(&at, top), &rest[1..]);
            }
            while let Some(first) = rest.first() {
                if modules.contains_key(&join(&at, first)) {
                    (at, rest) = (join(&at, first), &rest[1..]);
                } else if let Some(child) = exported(modules, &at, first).filter(|_| is_inside(name, &at)) {
                    at = child;
                    break;
                } else {
                    break;
                }
            }
            Some((at, rest.is_empty()))
        };
        let mut known = BTreeMap::new();
        let mut uses = BTreeMap::new();
        let mut add = |to: String, line: usize| {
            if to != *name {
                let first = uses.entry(modules[&to].file.clone()).or_insert(line);
                *first = line.min(*first);
            }
        };
        for (alias, path) in &module.imports {
            if let Some((to, is_module)) = lead(&path.names, &BTreeMap::new()) {
                if is_module {
                    known.insert(alias.clone(), to.clone());
                }
                add(to, path.line);
            }
        }
        for path in &module.paths {
            if let Some((to, _)) = lead(&path.names, &known) {
                add(to, path.line);
            }
        }
        graph.insert(module.file.clone(), uses);
    }
    graph
}

/// The child from which a module exports this name again.
fn exported(modules: &BTreeMap<String, Module>, module: &str, name: &str) -> Option<String> {
    let is_child = |path: &&Named| modules[module].children.contains(&path.names[usize::from(path.names[0] == "self")]);
    let imports = modules[module].imports.iter();
    let mut exports = imports.filter(|(alias, _)| alias == name).map(|(_, path)| path).filter(is_child);
    let path = exports.next()?;
    Some(join(module, &path.names[usize::from(path.names[0] == "self")]))
}

fn is_inside(module: &str, folder: &str) -> bool {
    module.strip_prefix(folder).is_some_and(|rest| rest.starts_with("::"))
}

fn top_of(module: &str) -> String {
    module.split("::").next().unwrap().to_owned()
}

/// The folder, or the single file, of `src/` that a file belongs to.
fn folder_of(file: &str) -> String {
    file.split('/').next().unwrap().trim_end_matches(".rs").to_owned()
}

fn folders(files: &Graph) -> Graph {
    let mut graph = Graph::new();
    for (file, uses) in files {
        let folder = graph.entry(folder_of(file)).or_default();
        folder.extend(uses.keys().map(|used| (folder_of(used), 0)).filter(|(used, _)| *used != folder_of(file)));
    }
    graph
}

fn reachable(graph: &Graph, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(next) = open.pop() {
        for used in graph.get(&next).into_iter().flat_map(BTreeMap::keys) {
            if seen.insert(used.clone()) {
                open.push(used.clone());
            }
        }
    }
    seen
}

/// The groups of which each member reaches each other one.
fn cycles(graph: &Graph) -> Vec<Vec<String>> {
    let reach: BTreeMap<_, _> = graph.keys().map(|node| (node, reachable(graph, node))).collect();
    let mut found = BTreeSet::new();
    for (node, reached) in reach.iter().filter(|(node, reached)| reached.contains(**node)) {
        let group: Vec<_> = reached.iter().filter(|other| reach[other].contains(*node)).cloned().collect();
        found.insert(group);
    }
    found.into_iter().collect()
}

/// A group with every use inside it, for people to see where to cut.
fn explain(graph: &Graph, group: &[String]) -> String {
    let mut text = String::new();
    for member in group {
        for (used, line) in graph[member].iter().filter(|(used, _)| group.contains(used)) {
            let place = if *line > 0 { format!("src/{member}:{line}") } else { member.clone() };
            writeln!(text, "  {place} uses {used}").unwrap();
        }
    }
    text
}

/// Fails with what is found and not known, and with what is known and not found any more.
fn assert_known(graph: &Graph, known: &[&str]) {
    let found = cycles(graph);
    let is_known = |group: &[String]| group.iter().all(|member| known.contains(&folder_of(member).as_str()));
    let new: Vec<_> = found.iter().filter(|group| !is_known(group)).collect();
    let explained: Vec<_> = new.iter().map(|group| format!("{group:?}\n{}", explain(graph, group))).collect();
    assert!(new.is_empty(), "these use each other in a circle:\n{}", explained.join("\n"));
    let is_found = |folder: &str| found.iter().flatten().any(|member| folder_of(member) == folder);
    let gone: Vec<_> = known.iter().filter(|folder| !is_found(folder)).collect();
    assert!(gone.is_empty(), "no cycle is left in {gone:?}: take it from the list in tests/modules/main.rs");
}

fn sources() -> BTreeMap<String, String> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    walk(&root, &root, &mut found);
    found
}

fn graph_of_src() -> Graph {
    let graph = graph(&modules(&sources()));
    let uses: usize = graph.values().map(BTreeMap::len).sum();
    assert!(graph.len() > 100 && uses > 300, "only {} files and {uses} uses were found", graph.len());
    graph
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    assert_known(&graph_of_src(), KNOWN_FILE_CYCLES);
}

#[test]
fn no_folders_use_each_other_in_a_circle() {
    assert_known(&folders(&graph_of_src()), KNOWN_FOLDER_CYCLES);
}

#[test]
fn folders_use_only_what_is_below_them() {
    let files = graph_of_src();
    let level = |folder: &str| {
        let found = ORDER.iter().position(|line| line.contains(&folder));
        found.unwrap_or_else(|| panic!("`{folder}` is not in the order of folders in tests/modules/main.rs"))
    };
    let mut upwards = BTreeMap::new();
    for (file, uses) in &files {
        for (used, line) in uses {
            let (from, to) = (folder_of(file), folder_of(used));
            if level(&from) > level(&to) {
                upwards.insert(format!("{from} -> {to}"), format!("src/{file}:{line} uses {used}"));
            }
        }
    }
    assert!(upwards.is_empty(), "uses against the order of folders: {upwards:#?}");
    let empty: Vec<_> =
        ORDER.iter().copied().flatten().filter(|it| !files.keys().any(|file| folder_of(file) == **it)).collect();
    assert!(empty.is_empty(), "{empty:?} are in the order of folders and not in src/");
}

fn cycles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let sources = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    cycles(&graph(&modules(&sources)))
}

#[test]
fn every_way_to_name_a_module_counts() {
    let a = |text: &'static str| {
        cycles_of(&[("lib.rs", "mod a; mod b; mod c;"), ("a.rs", text), ("b.rs", "use crate::a::A;"), ("c.rs", "")])
    };
    let cycle = [["a.rs", "b.rs"]];
    for text in [
        "use crate::b::B;",
        "use crate::{c::C, b::{self, B as D}};",
        "use super::b;",
        "pub(crate) use crate::b::*;",
        "fn f() { crate::b::f(); }",
        "fn f() -> Vec<super::b::B> { vec![] }",
        "fn f() { use crate::b; }",
        "fn f() -> impl Sized + use<> { crate::b::f() }",
        "use crate::c::C; const X: char = '\"'; fn f<'a>(x: &'a str) { crate::b::f(x) }",
        "#[cfg(test)] mod tests; use crate::b::B;",
    ] {
        assert_eq!(a(text), cycle, "{text}");
    }
    for text in [
        "// use crate::b::B;",
        "/* crate::b::f() */ use crate::c;",
        "const X: &str = \"crate::b::f()\"; const Y: &str = r#\"\" crate::b::f()\"#;",
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "#[cfg(test)] use crate::b::B;",
        "pub(in crate::b) fn f() {}",
        "use ::b::B; use b::C; fn f() { ::b::f(); b::g() }",
    ] {
        assert_eq!(a(text), [[""; 2]; 0], "{text}");
    }
}

#[test]
fn a_parent_that_exports_a_childs_names_must_not_be_used_by_it() {
    let x = |parent: &'static str, y: &'static str| {
        cycles_of(&[("lib.rs", "mod x;"), ("x/mod.rs", parent), ("x/y.rs", y), ("x/z.rs", "pub struct Z;")])
    };
    let cycle = [["x/mod.rs", "x/y.rs"]];
    let exports = "mod y; mod z; pub use y::Y; pub use z::Z;";
    assert_eq!(x(exports, "use super::W;"), cycle);
    assert_eq!(x("mod y; mod z; fn f() { y::f() }", "use crate::x::W;"), cycle);
    assert_eq!(x(exports, "use super::Z;"), [[""; 2]; 0]);
    assert_eq!(x(exports, "use super::z::Z;"), [[""; 2]; 0]);
    assert_eq!(x("mod y; mod z;", "use super::W;"), [[""; 2]; 0], "a declaration alone uses nothing");
    let outside = [
        ("lib.rs", "mod a; mod x;"),
        ("a.rs", "use crate::x::Y;"),
        ("x/mod.rs", "mod y; pub use y::Y; use crate::a::A;"),
        ("x/y.rs", ""),
    ];
    assert_eq!(cycles_of(&outside), [["a.rs", "x/mod.rs"]]);
}

#[test]
fn the_program_and_the_library_have_roots_of_their_own() {
    let sources = [
        ("lib.rs", "mod b; pub const VERSION: &str = \"\";"),
        ("main.rs", "mod cli; fn main() { cli::run() }"),
        ("b.rs", ""),
        ("cli/mod.rs", "mod c; pub fn run() { c::c() }"),
        ("cli/c.rs", "use larder::{VERSION, b};"),
    ];
    assert_eq!(cycles_of(&sources), [[""; 2]; 0]);
    let mut sources = sources;
    sources[4].1 = "use crate::cli::d;\nfn f() { super::run() }";
    assert_eq!(cycles_of(&sources), [["cli/c.rs", "cli/mod.rs"]]);
}

/// `Verifier::seal` believes its caller that the bytes it saw are those of the file. What is allowed to say so is read here.
#[test]
fn two_writers_vouch_for_a_file_and_nothing_else_does() {
    let sealing = sources().into_iter().filter(|(_, text)| text.contains(".seal(")).map(|(file, _)| file);
    assert_eq!(sealing.collect::<Vec<_>>(), ["transport/download/partial.rs", "verified.rs"]);
}
