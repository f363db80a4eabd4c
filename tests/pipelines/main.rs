//! The CI templates in pipelines that really run, and in the checks that GitLab's own schema makes.
//!
//! `gitlab-ci-local` runs the pipelines and `check-jsonschema` knows the schema. Both are looked for in the folders of
//! `LARDER_TEST_CI_TOOLS` (a list separated by `:`), then on the `PATH`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test that can't go on fails"
)]
#![allow(dead_code, reason = "the server and the fixtures are those of the tests of the command line")]

#[path = "../cli/authority.rs"]
mod authority;
#[path = "../cli/fixtures.rs"]
mod fixtures;
#[path = "../cli/requirement.rs"]
mod requirement;
#[path = "../cli/server.rs"]
mod server;

mod collect;
mod inputs;
mod project;
mod runs;
mod schema;
mod spack;
mod template;
mod tools;
mod without_lockfile;
