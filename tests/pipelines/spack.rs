//! Real Spack in the jobs of a pipeline: `spack` on their `PATH`, with a small world of packages to concretize from.
//!
//! With all of Spack's own packages, one concretization takes half a minute of computing; with the few that are here, a second,
//! and the specs are the same.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixtures::fixture;
use crate::requirement::Requirement;

/// What the fixture packages want of Spack's own ones.
const STAND_INS: &[(&str, &str)] = &[
    (
        "gcc",
        r#"class Gcc(Package):
    """The compiler, always external."""

    has_code = False
    tags = ["compiler"]
    version("12.2.0")
    variant("languages", default="c,c++", values=("c", "c++"), multi=True, description="languages")
    provides("c", when="languages=c")
    provides("cxx", when="languages=c++")
    supported_languages = ["c", "cxx"]
    compiler_wrapper_link_paths = {"c": "gcc/gcc", "cxx": "gcc/g++"}
    cc, cxx, fortran = "/usr/bin/gcc", "/usr/bin/g++", None
    verbose_flags = "-v"
    disable_new_dtags = "--disable-new-dtags"

    def standard_flag(self, *, language, standard):
        return ""
"#,
    ),
    (
        "glibc",
        r#"class Glibc(Package):
    """The C library, always external."""

    has_code = False
    tags = ["runtime"]
    version("2.36")
    provides("libc")
"#,
    ),
    (
        "compiler_wrapper",
        r#"class CompilerWrapper(Package):
    """What compilers are called through."""

    has_code = False
    tags = ["runtime"]
    version("1.0")

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
"#,
    ),
];

/// A Spack that `LARDER_TEST_SPACK` names.
pub struct Spack {
    program: PathBuf,
    packages: tempfile::TempDir,
}

impl Spack {
    pub fn all() -> Vec<Self> {
        let named = env::var_os("LARDER_TEST_SPACK").unwrap_or_default();
        let found: Vec<_> = env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()).collect();
        let missing = || "LARDER_TEST_SPACK names no Spack with the fixture packages".to_owned();
        let found = Requirement::Spack.met((!found.is_empty()).then_some(found).ok_or_else(missing));
        found.unwrap_or_default().into_iter().map(Self::with_few_packages).collect()
    }

    fn with_few_packages(program: PathBuf) -> Self {
        let spack = Self { program, packages: tempfile::tempdir().unwrap() };
        let mut python = Command::new("python3");
        python.arg(fixture("spack/packages.py")).args([spack.repository("fixture"), spack.packages.path().join("old")]);
        assert!(python.status().unwrap().success());
        let [new, old] = [spack.repository("small"), spack.packages.path().join("old-small")];
        for (root, header) in
            [(&new, "repo:\n  namespace: small\n  api: v2.0\n"), (&old, "repo:\n  namespace: small\n")]
        {
            for (name, class) in STAND_INS {
                let folder = root.join("packages").join(name);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("package.py"), format!("from spack.package import *\n\n\n{class}")).unwrap();
            }
            fs::write(root.join("repo.yaml"), header).unwrap();
        }
        let repos = if spack.is_new() {
            let [fixture, small] = ["fixture", "small"].map(|name| spack.repository(name).display().to_string());
            format!("repos::\n  fixture: {fixture}\n  small: {small}\n")
        } else {
            format!("repos::\n- {}\n- {}\n", spack.packages.path().join("old").display(), old.display())
        };
        fs::create_dir(spack.packages.path().join("scope")).unwrap();
        fs::write(spack.packages.path().join("scope/repos.yaml"), repos).unwrap();
        spack
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.packages.path().join("spack_repo").join(name)
    }

    pub fn is_new(&self) -> bool {
        let output = Command::new(&self.program).arg("--version").output().unwrap();
        !String::from_utf8_lossy(&output.stdout).starts_with("0.")
    }

    /// The program as jobs call it. Each job has a cache of Spack's own that is empty at first, as in a fresh container, and notes
    /// its calls in `calls`.
    pub fn script(&self, calls: &Path) -> String {
        let (program, scope) = (self.program.display(), self.packages.path().join("scope"));
        format!(
            "#!/bin/sh\necho \"$CI_JOB_NAME: $*\" >> '{}'\nexport CACHE=\"$CI_PROJECT_DIR/.larder/spack-cache\"\n\
             exec '{program}' -C '{}' \"$@\"\n",
            calls.display(),
            scope.display()
        )
    }
}
