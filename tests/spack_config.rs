//! Compares larder's reading of Spack's configuration with a real Spack: over many layouts, `spack mirror list` and
//! `spack config get config` must say what [`larder::spack_config::discover`] says.
//!
//! The Spack is the program that `LARDER_TEST_SPACK_CHECKOUT` names (several, separated by `:`), else the `spack` on `PATH`. It has to
//! be `bin/spack` of a Spack instance.

#![allow(clippy::unwrap_used, clippy::print_stderr)] // Clippy takes helpers of integration tests for ordinary code.

#[path = "cli/requirement.rs"]
mod requirement;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use larder::spack_config::{SpackConfig, discover};
use larder::types::Variables;

use requirement::Requirement;

/// A layout: files in a scratch folder that has `env/`, `home/`, `system/` and `other/`.
#[derive(Clone, Default)]
struct Layout {
    files: BTreeMap<String, String>,
    variables: BTreeMap<String, String>,
    /// Whether Spack refuses it. Told in advance, so that a slip in a layout does not pass for agreement.
    refused: bool,
}

impl Layout {
    fn of(files: &[(&str, &str)]) -> Self {
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        Self { files: files.iter().map(own).collect(), ..Self::default() }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn refused(files: &[(&str, &str)]) -> Self {
        Self { refused: true, ..Self::of(files) }
    }
}

/// The layouts that are written by hand: one per rule.
fn handmade() -> Vec<Layout> {
    let user = ("home/.spack/mirrors.yaml", "mirrors:\n  u: home\n  a: {url: shadowed, signed: false}\n");
    let system = ("system/mirrors.yaml", "mirrors: {s: sys, u: {url: 'https://s', binary: false}}");
    vec![
        Layout::of(&[("env/spack.yaml", "spack: {specs: []}"), user, system]),
        Layout::of(&[
            ("env/spack.yaml", "spack: {mirrors: {a: rel/x, b: $env/../y, c: ~/m, d: $spack/m}}"),
            user,
            system,
        ]),
        Layout::of(&[("env/spack.yaml", "spack:\n  mirrors::\n    a: rel\n"), user, system]),
        Layout::of(&[("env/spack.yaml", "spack:\n  mirrors:\n    a:: {url: rel}\n    z: q\n"), user, system]),
        Layout::of(&[("env/spack.yaml", "spack:\n  mirrors:\n    a+: rel\n    b-: q\n"), user]),
        Layout::of(&[
            ("env/spack.yaml", "spack: {mirrors: {a: {url: x, binary: false}, u: {url: v, binary: true}}}"),
            user,
        ]),
        Layout::of(&[(
            "env/spack.yaml",
            "spack: {mirrors: {a: {url: x, fetch: f, push: p}, b: {url: y, fetch: {url: g}}}}",
        )]),
        Layout::of(&[("env/spack.yaml", "spack: {mirrors: {a: 's3://x/$V', b: 'oci://h/x', c: 'HTTPS://H/x'}}")]),
        Layout::of(&[(
            "env/spack.yaml",
            "spack: {mirrors: {a: '$V/x', b: '${V}/x', c: '/q/$UNSET/${v}', d: $tempdir/$date}}",
        )])
        .with("V", "/abs"),
        Layout::of(&[(
            "env/spack.yaml",
            "spack: {mirrors: {a: /$platform/$target_family/$spack_short_version/$user_cache_path}}",
        )]),
        Layout::of(&[(
            "env/spack.yaml",
            "spack:\n  mirrors:\n    a: &a {url: x, signed: false}\n    b: {<<: *a, url: y}\n",
        )]),
        Layout::of(&[
            ("env/spack.yaml", "spack: {include: [one.yaml, folder, ../other/two.yaml], mirrors: {e: a}}"),
            ("env/one.yaml", "mirrors: {one: a, x: n1}"),
            ("env/folder/mirrors.yaml", "mirrors: {folder: a, x: n2}"),
            ("other/two.yaml", "mirrors: {two: a, x: n3}"),
            user,
        ]),
        Layout::of(&[
            ("env/spack.yaml", "spack: {include: [a/cfg, b/cfg], mirrors: {e: a}}"),
            ("env/a/cfg/mirrors.yaml", "mirrors: {a: a, x: n1}"),
            ("env/b/cfg/mirrors.yaml", "mirrors: {b: a, x: n2}"),
        ]),
        Layout::of(&[
            ("env/spack.yaml", "spack: {include: [one.yaml]}"),
            ("env/one.yaml", "mirrors:: {one: ../q}"),
            user,
        ]),
        Layout::of(&[
            ("env/spack.yaml", "spack: {include: ['$DIR/one.yaml', 'file://${HOME}/x.yaml']}"),
            ("other/one.yaml", "mirrors: {one: a}"),
            ("home/x.yaml", "mirrors: {x: b}"),
        ])
        .with("DIR", "../other"),
        Layout::of(&[
            ("env/spack.yaml", "spack: {specs: []}"),
            ("home/.spack/linux/mirrors.yaml", "mirrors: {p: a}"),
            user,
        ]),
        Layout::of(&[
            ("env/spack.yaml", "spack: {specs: []}"),
            ("other/mirrors.yaml", "mirrors: {o: a}"),
            user,
            system,
        ])
        .with("SPACK_USER_CONFIG_PATH", "{}/other"),
        Layout::of(&[("env/spack.yaml", "spack: {mirrors: {e: a}}"), user, system])
            .with("SPACK_DISABLE_LOCAL_CONFIG", "1"),
        Layout::of(&[
            ("env/spack.yaml", "spack: {config: {install_tree: {root: $env/t, padded_length: 128}}}"),
            ("home/.spack/config.yaml", "config: {install_tree: {root: ~/low}}"),
        ]),
        Layout::of(&[
            ("env/spack.yaml", "spack: {specs: []}"),
            ("home/.spack/config.yaml", "config: {install_tree: {root: rel/low}}"),
        ]),
        Layout::of(&[("env/spack.yaml", "spack: {mirrors: {a: ''}}")]),
        Layout::refused(&[("env/spack.yaml", "spack: {mirrors: {a: [1]}}")]),
        Layout::refused(&[("env/spack.yaml", "spack: {include: [missing.yaml]}")]),
        Layout::refused(&[("env/spack.yaml", "spack: {mirrors: {a: x, a: y}}")]),
        Layout::refused(&[("env/spack.yaml", "spack:\n  mirrors: {a: x")]),
    ]
}

/// Layouts for Spack 1, where includes are maps and nest.
fn newer() -> Vec<Layout> {
    let nested = [
        (
            "env/spack.yaml",
            "spack: {include: [one.yaml, {path: two, optional: true}, {path: no, optional: true}], mirrors: {e: a}}",
        ),
        ("env/one.yaml", "{include: [deep/x.yaml, {path: deep/y.yaml}], mirrors: {one: a, z: n1}}"),
        ("env/deep/x.yaml", "{include: [y.yaml], mirrors: {x: a, z: n2}}"),
        ("env/deep/y.yaml", "mirrors: {y: ../a, z: n3}"),
        ("env/two/include.yaml", "include: [three.yaml]"),
        ("env/two/three.yaml", "mirrors: {three: a, z: n4}"),
        ("home/.spack/include.yaml", "include: [more, {path: even.yaml}]"),
        ("home/.spack/more/mirrors.yaml", "mirrors: {more: a, z: n5}"),
        ("home/.spack/even.yaml", "mirrors: {even: a, z: n6}"),
        ("home/.spack/mirrors.yaml", "mirrors: {user: a, z: n7}"),
        ("system/mirrors.yaml", "mirrors: {system: a}"),
    ];
    let conditional = r#"spack:
  include:
  - {path: a.yaml, when: 'env["SITE"] == "north"'}
  - {path: b.yaml, when: '"SITE" not in env or platform == "plan9"'}
  - {path: c.yaml, when: 'platform == "linux" and env.get("SITE", "") != "south"'}
  - {path: b.yaml, path_override_env_var: WHERE, name: named}
"#;
    let files = [
        ("env/spack.yaml", conditional),
        ("env/a.yaml", "mirrors: {a: a}"),
        ("env/b.yaml", "mirrors: {b: a}"),
        ("env/c.yaml", "mirrors: {c: a}"),
        ("env/d.yaml", "mirrors: {d: a}"),
    ];
    let named = |include: &str| {
        Layout::of(&[
            ("env/spack.yaml", include),
            ("env/a.yaml", "mirrors: {a: a}"),
            ("env/b.yaml", "{include: [{path: c.yaml, name: user}], mirrors: {b: a}}"),
            ("env/c.yaml", "mirrors: {c: a}"),
            ("home/.spack/mirrors.yaml", "mirrors: {user: a}"),
            ("system/mirrors.yaml", "mirrors: {system: a}"),
        ])
    };
    vec![
        Layout::of(&nested),
        Layout::of(&files).with("SITE", "north").with("WHERE", "d.yaml"),
        named("spack: {include: [{path: a.yaml, name: user}], mirrors: {e: a}}"),
        named("spack: {include: [a.yaml, ./a.yaml, b.yaml], mirrors: {e: a}}"),
        named("spack:\n  include:: [b.yaml]\n  mirrors: {e: a}\n"),
        named("spack:\n  include:: []\n  mirrors: {e: a}\n"),
        Layout { refused: true, ..named("spack: {include: ['$env/a.yaml']}") },
        named("spack: {include: [{path: '$env/a.yaml', optional: true}, b.yaml]}"),
    ]
}

/// Layouts by chance: which scopes name which mirrors, in which form, replacing what is below or not.
fn generated(count: u64) -> Vec<Layout> {
    let places = [
        ("env/spack.yaml", "spack:\n  include: [inc.yaml, dir]\n", "  "),
        ("env/inc.yaml", "", ""),
        ("env/dir/mirrors.yaml", "", ""),
        ("home/.spack/mirrors.yaml", "", ""),
        ("system/mirrors.yaml", "", ""),
    ];
    let forms =
        ["rel/p", "https://h/p", "{url: p, signed: false}", "{url: /q, binary: false}", "{url: ../r, fetch: f}"];
    (0..count)
        .map(|seed| {
            // A small generator is enough, and the same numbers come on every machine.
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut below = move |limit: usize| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                usize::try_from((state >> 33) % limit as u64).unwrap()
            };
            let mut layout = Layout::default();
            for (path, head, indent) in places {
                let colon = if below(6) == 0 { "::" } else { ":" };
                let mut text = format!("{head}{indent}mirrors{colon}\n");
                for name in ["a", "b", "c", "d"] {
                    if below(2) == 0 {
                        let colon = if below(6) == 0 { "::" } else { ":" };
                        writeln!(text, "{indent}  {name}{colon} {}", forms[below(forms.len())]).unwrap();
                    }
                }
                if text.ends_with(&format!("mirrors{colon}\n")) {
                    text = format!("{head}{indent}mirrors{colon} {{}}\n");
                }
                layout.files.insert(path.to_owned(), text);
            }
            layout
        })
        .collect()
}

/// What is compared: mirrors as `name url`, and the install tree. `None` where the layout is refused.
type Answer = Option<(Vec<String>, PathBuf)>;

struct Scratch {
    folder: tempfile::TempDir,
    root: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Scratch {
    fn new(layout: &Layout, spack: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for (path, text) in &layout.files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let place = |path: &str| root.join(path).to_str().unwrap().to_owned();
        let mut variables = BTreeMap::from([
            ("PATH".to_owned(), format!("{}:/usr/bin:/bin", spack.parent().unwrap().display())),
            ("HOME".to_owned(), place("home")),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            // Spack 1 would clone its packages, which have no part in this.
            ("GIT_ALLOW_PROTOCOL".to_owned(), "none".to_owned()),
            ("SPACK_USER_CACHE_PATH".to_owned(), place("cache")),
            ("SPACK_SYSTEM_CONFIG_PATH".to_owned(), place("system")),
        ]);
        if let Ok(python) = std::env::var("SPACK_PYTHON") {
            variables.insert("SPACK_PYTHON".to_owned(), python);
        }
        let set = |(name, value): (&String, &String)| (name.clone(), value.replace("{}", root.to_str().unwrap()));
        variables.extend(layout.variables.iter().map(set));
        std::fs::create_dir_all(root.join("home")).unwrap();
        Self { folder, root, variables }
    }

    fn run(&self, spack: &Path, script: &str) -> Output {
        let environment = self.root.join("env");
        let file = self.root.join("script.py");
        std::fs::write(&file, script).unwrap();
        let mut command = Command::new(spack);
        command.env_clear().envs(&self.variables).current_dir(self.folder.path());
        command.arg("-e").arg(environment).arg("python").arg(file).output().unwrap()
    }

    fn spacks(&self, spack: &Path) -> Answer {
        const SCRIPT: &str = r"
import spack.config, spack.store
try:
    from spack.mirrors.mirror import MirrorCollection
except ImportError:
    from spack.mirror import MirrorCollection
for m in MirrorCollection(binary=True).values():
    # Spack 1.2 says of a registry that it has no signatures, older ones only act so.
    print('M', m.name, m.fetch_url, 'signed' if m.signed or m.fetch_url.startswith('oci') else 'unsigned')
print('T', spack.store.parse_install_tree(spack.config.get('config'))[0])
print('done')
";
        let output = self.run(spack, SCRIPT);
        if !output.stdout.ends_with(b"done\n") {
            eprintln!("refused: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default());
            return None;
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let lines =
            |kind: &'static str| text.lines().filter_map(move |line| line.strip_prefix(kind).map(str::to_owned));
        Some((lines("M ").collect(), PathBuf::from(lines("T ").next().unwrap())))
    }

    fn larders(&self) -> Answer {
        let config: SpackConfig = discover(
            Some(&self.root.join("env")),
            &Variables::new(self.variables.clone()),
            Some(&self.root.join("home")),
            &self.root.join("env/.larder/job"),
        )
        .ok()?;
        let mirrors = config.mirrors.iter().map(|mirror| {
            let signed = if mirror.signed { "signed" } else { "unsigned" };
            // Spack shows a path as a URL.
            let url = if mirror.url.starts_with('/') {
                url::Url::from_file_path(&mirror.url).unwrap().to_string()
            } else {
                mirror.url.clone()
            };
            // Spack writes characters as escapes that larder's library does not, and the other way round.
            format!("{} {} {signed}", mirror.name, url.replace('$', "%24").replace('{', "%7B").replace('}', "%7D"))
        });
        Some((mirrors.collect(), config.install_trees[0].clone()))
    }
}

/// The programs to compare with, with links resolved: what counts is the instance that they belong to.
fn spacks() -> Vec<PathBuf> {
    let named = std::env::var("LARDER_TEST_SPACK_CHECKOUT").ok();
    let candidates: Vec<PathBuf> = match &named {
        Some(list) => std::env::split_paths(list).collect(),
        None => std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|folder| folder.join("spack"))
            .filter(|program| program.is_file())
            .take(1)
            .collect(),
    };
    let real: Vec<PathBuf> = candidates.iter().filter_map(|program| program.canonicalize().ok()).collect();
    let found: Vec<PathBuf> =
        real.into_iter().filter(|program| program.parent().unwrap().join("../lib/spack").is_dir()).collect();
    assert!(
        named.is_none() || !found.is_empty(),
        "LARDER_TEST_SPACK_CHECKOUT names no `bin/spack` of a Spack instance"
    );
    found
}

#[test]
fn larder_reads_the_configuration_as_spack_does() {
    let missing =
        || "there is no `spack` of a checkout on the PATH, and LARDER_TEST_SPACK_CHECKOUT is not set".to_owned();
    let found = spacks();
    let found = (!found.is_empty()).then_some(found).ok_or_else(missing);
    let spacks = Requirement::SpackCheckout.met(found).unwrap_or_default();
    let count = std::env::var("LARDER_TEST_LAYOUTS").ok().and_then(|count| count.parse().ok()).unwrap_or(10);
    for spack in spacks {
        let old = Command::new(&spack).arg("--version").output().unwrap().stdout.starts_with(b"0.");
        let mut layouts = handmade();
        layouts.extend(if old { Vec::new() } else { newer() });
        layouts.extend(generated(count));
        let mut different = Vec::new();
        for layout in &layouts {
            let scratch = Scratch::new(layout, &spack);
            let expected = scratch.spacks(&spack).map(|(mirrors, tree)| {
                // `$` and braces are escaped in one of two ways.
                let escaped = |line: &String| line.replace('$', "%24").replace('{', "%7B").replace('}', "%7D");
                (mirrors.iter().map(escaped).collect::<Vec<_>>(), tree)
            });
            let found = scratch.larders();
            if found != expected || expected.is_none() != layout.refused {
                let files: Vec<_> = layout.files.iter().map(|(path, text)| format!("--- {path}\n{text}")).collect();
                different.push(format!("{}\nspack:  {expected:#?}\nlarder: {found:#?}", files.join("\n")));
            }
        }
        eprintln!("{}: {} layouts compared", spack.display(), layouts.len());
        assert!(different.is_empty(), "{}: {} differ\n{}", spack.display(), different.len(), different.join("\n\n"));
    }
}
