//! What some tests need and not every machine has. Each is decided here, so that no test can pass without having run.
//!
//! A test whose requirement is missing is skipped: it says so on standard error, past the test runner, which would keep the
//! output of a test that passes, and adds a line to [`RECORD`], which `just test` prints at the end. Where
//! `LARDER_TEST_REQUIRE` names the requirement (a list separated by commas), the test fails instead.

use std::env;
use std::fs::File;
use std::io::Write as _;

/// The file with a line for each test that was skipped, since somebody removed it last.
const RECORD: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/skipped");

/// Something that is outside this repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The web server.
    Nginx,
    /// Debian's program of this name, a registry of images.
    DockerRegistry,
    /// The right to mount a small file system.
    Mount,
    /// `gitlab-ci-local` and what its pipelines call.
    Pipelines,
    /// `check-jsonschema`, which knows GitLab's schema.
    Schema,
    /// Spack that installs: `spack` on the `PATH`, or what `LARDER_TEST_SPACK` names.
    Spack,
    /// Spack that is asked how it reads its configuration: `spack` on the `PATH`, or what `LARDER_TEST_SPACK_CHECKOUT` names.
    SpackCheckout,
}

impl Requirement {
    const ALL: [Self; 7] = [
        Self::Nginx,
        Self::DockerRegistry,
        Self::Mount,
        Self::Pipelines,
        Self::Schema,
        Self::Spack,
        Self::SpackCheckout,
    ];

    /// As `LARDER_TEST_REQUIRE` names it.
    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::DockerRegistry => "docker-registry",
            Self::Mount => "mount",
            Self::Pipelines => "pipelines",
            Self::Schema => "schema",
            Self::Spack => "spack",
            Self::SpackCheckout => "spack-checkout",
        }
    }

    /// What was looked for, where it was found; otherwise the reason is told and `None` makes the test end.
    ///
    /// # Panics
    /// Where `LARDER_TEST_REQUIRE` names this requirement and it is missing, or names one that is unknown.
    #[track_caller]
    pub fn met<T>(self, found: Result<T, String>) -> Option<T> {
        let is_required = self.is_required();
        match found {
            Ok(found) => Some(found),
            Err(reason) if is_required => {
                panic!("{reason}; LARDER_TEST_REQUIRE names `{}`, so this test must not be skipped", self.name())
            }
            Err(reason) => {
                let thread = std::thread::current();
                let line = format!("skipped: {}: {}: {reason}\n", thread.name().unwrap_or("a test"), self.name());
                std::io::stderr().write_all(line.as_bytes()).unwrap();
                // One write at the end of the file: tests of several processes do so at the same time.
                let mut record = File::options().create(true).append(true).open(RECORD).unwrap();
                record.write_all(line.as_bytes()).unwrap();
                None
            }
        }
    }

    fn is_required(self) -> bool {
        required(&env::var("LARDER_TEST_REQUIRE").unwrap_or_default()).contains(&self)
    }
}

/// The requirements in a list separated by commas. A name that is misspelt would require nothing, so it is an error.
fn required(list: &str) -> Vec<Requirement> {
    let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
    let known = Requirement::ALL.map(Requirement::name);
    let one = |name| {
        let found = Requirement::ALL.into_iter().find(|requirement| requirement.name() == name);
        found.unwrap_or_else(|| panic!("LARDER_TEST_REQUIRE names `{name}`; known are {}", known.join(", ")))
    };
    names.map(one).collect()
}

#[test]
fn what_is_required_is_a_list_of_known_names() {
    assert_eq!(required("nginx, spack,"), [Requirement::Nginx, Requirement::Spack]);
    assert!(required("").is_empty());
    assert!(std::panic::catch_unwind(|| required("ngnix")).is_err());
    assert_eq!(required(&Requirement::ALL.map(Requirement::name).join(",")), Requirement::ALL);
    required(&env::var("LARDER_TEST_REQUIRE").unwrap_or_default());
}
