//! Environments in the shapes that public repositories have: `plan` and `init` answer usefully on every one.
//!
//! They are small and written for this test; the shapes are those that real ones were seen to have.

use std::fs;

use rstest::rstest;

use crate::context::{Project, Run, names_with};
use crate::fixtures::{Mirror, fixture};
use crate::server::Server;

const MIRROR: Mirror = Mirror::V3Unsigned;

/// The entry of a mirror that is there, in `mirrors:`; its URL stands for `{url}`.
const DEMO: &str = "demo: {url: \"{url}\", signed: false}";

/// A repository with these files.
struct Repository {
    project: Project,
    server: Server,
}

impl Repository {
    /// `{demo}` in a text is the entry of a mirror.
    fn new(files: &[(&str, &str)]) -> Self {
        let server = Server::start(&MIRROR.folder());
        let project = Project::new("v3/env-demo");
        for file in ["spack.yaml", "spack.lock"] {
            fs::remove_file(project.path(file)).unwrap();
        }
        let demo = DEMO.replace("{url}", &server.url());
        for (path, text) in files {
            project.write(path, text.replace("{demo}", &demo));
        }
        Self { project, server }
    }

    /// The same with the demo's lockfile beside an environment.
    fn locked(files: &[(&str, &str)], environment: &str) -> Self {
        let repository = Self::new(files);
        let lockfile = fs::read(fixture("v3/env-demo/spack.lock")).unwrap();
        repository.project.write(&format!("{environment}/spack.lock"), lockfile);
        repository
    }

    fn plan(&self, environment: &str) -> Run {
        self.project.larder(&["plan", "--json", "-e", environment])
    }

    /// The plan of the demo's lockfile, with all that its mirror has.
    fn plans_all(&self, environment: &str) -> Run {
        let run = self.plan(environment).succeeds();
        let report = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(names_with(&report, "fetch"), MIRROR.needed(), "{run}");
        run
    }

    /// What `init` writes for this environment.
    fn init_names(&self, environment: &str) -> Run {
        let run = self.project.larder(&["init"]).succeeds();
        let text = fs::read_to_string(self.project.path("larder.yaml")).unwrap();
        assert!(text.contains(environment), "{run}\n{text}");
        run
    }
}

const PLAIN: &str = "spack:\n  specs: [app, plotter]\n  mirrors:\n    {demo}\n";

#[rstest]
#[case::gitlab(".gitlab/spack")]
#[case::github(".github/env")]
#[case::ci(".ci")]
#[case::spack(".spack-ci/dev")]
fn environments_in_hidden_folders_are_found(#[case] folder: &str) {
    let repository = Repository::locked(&[(&format!("{folder}/spack.yaml"), PLAIN)], folder);
    repository.plans_all(folder);
    repository.init_names(folder);
}

#[rstest]
#[case::two_colons("spack:\n  specs: [app]\n  mirrors::\n    {demo}\n")]
#[case::flow_lists(
    "spack:\n  specs: [app]\n  packages:\n    all: {prefer: [gcc@12:]}\n    m4: {version: [:2.4.6]}\n  mirrors:\n    {demo}\n"
)]
#[case::definitions_matrices_and_views(
    "spack:\n  definitions:\n  - compilers: [gcc@12:]\n  - mpis: [openmpi@4:, mpich]\n  specs:\n  - matrix:\n    - [hdf5, app]\n    - [$^mpis]\n    - [$%compilers]\n    exclude: ['hdf5 ^mpich']\n  view: {default: {root: ./view, select: [^openmpi]}}\n  mirrors:\n    {demo}\n"
)]
#[case::groups(
    "spack:\n  specs:\n  - group: tools\n    specs: [cmake@3:]\n  - group: apps\n    needs: [tools]\n    specs: [app]\n  mirrors:\n    {demo}\n"
)]
#[case::other_environments("spack:\n  include_concrete: [../base]\n  specs: [app]\n  mirrors:\n    {demo}\n")]
#[case::keys_twice_where_larder_needs_none(
    "spack:\n  specs: [app]\n  view: false\n  view: true\n  mirrors:\n    {demo}\n"
)]
#[case::a_source_mirror("spack:\n  specs: [app]\n  mirrors:\n    src: {url: /site/src, binary: false}\n    {demo}\n")]
fn what_environments_hold_beside_mirrors_stops_nothing(#[case] text: &str) {
    let repository = Repository::locked(&[("envs/dev/spack.yaml", text)], "envs/dev");
    let run = repository.plans_all("envs/dev");
    assert!(!run.stderr.contains("make sense"), "{run}");
    repository.init_names("envs/dev");
}

#[test]
fn a_sites_packages_are_read_as_spack_reads_them_and_never_stop_larder() {
    let including = "spack:\n  include: [../site/packages.yaml]\n  specs: [app]\n  mirrors:\n    {demo}\n";
    let packages =
        "packages:\n  all:\n    require: [target=x86_64_v3]\n  gcc: {require: [gcc@12:], version: [:13.2]}\n";
    let of = |packages| Repository::locked(&[("env/spack.yaml", including), ("site/packages.yaml", packages)], "env");
    let run = of(packages).plans_all("env");
    assert!(!run.stderr.contains("packages.yaml"), "{run}");
    let broken = of("packages:\n  gcc: {require: [%gcc@12:]}\n");
    broken.plans_all("env").says(&["site/packages.yaml", "line 2", "nothing that larder needs"]);
    broken.init_names("env");
}

#[test]
fn includes_that_are_optional_or_remote_are_gone_without() {
    let text = "spack:\n  include:\n  - {path: site.yaml, optional: true}\n  - https://site.example/packages.yaml\n  specs: [app]\n  mirrors:\n    {demo}\n";
    let repository = Repository::locked(&[("spack.yaml", text)], ".");
    repository.plans_all(".").says(&["`https://site.example/packages.yaml`", "which Spack fetches and larder doesn't"]);
    repository.project.larder(&["init"]).succeeds();
}

/// What Spack refuses as well: the file, the place and the cause are named, and `init` goes on with what is left.
#[rstest]
#[case::a_missing_include("spack:\n  include: [site.yaml]\n  specs: [app]\n", &["includes `site.yaml`", "optional: true"])]
#[case::a_key_twice("spack:\n  mirrors:\n    {demo}\n  mirrors: {}\n", &["bad/spack.yaml", "line 4", "`mirrors` is here twice"])]
#[case::a_template("spack:\n{% if gpu %}\n  specs: [app]\n{% endif %}\n  mirrors:\n    {demo}\n", &["bad/spack.yaml", "line 2"])]
fn a_broken_environment_is_named_and_does_not_hide_the_others(#[case] text: &str, #[case] said: &[&str]) {
    let repository = Repository::locked(&[("bad/spack.yaml", text), ("good/spack.yaml", PLAIN)], "bad");
    repository.plan("bad").fails_saying(2, said);
    repository.init_names("good").says(&["bad"]);
}

#[test]
fn without_a_lockfile_the_next_step_is_said() {
    let repository = Repository::new(&[("env/spack.yaml", PLAIN)]);
    repository.plan("env").succeeds().says(&["no lockfile yet in `env`", "`larder run -- COMMAND`"]);
    assert!(repository.server.log().is_empty(), "nothing is asked of a mirror");
    repository.init_names("env").says(&["lock"]);
}

#[test]
fn a_facilitys_folder_that_is_not_here_is_told_and_gone_without() {
    let text = "spack:\n  specs: [app]\n  mirrors:\n    site: /facility/not/here\n    {demo}\n";
    let repository = Repository::locked(&[("env/spack.yaml", text)], "env");
    repository.plans_all("env").says(&["mirror `site`", "/facility/not/here"]);
    repository.init_names("env");
}

#[test]
fn without_a_mirror_it_is_said_how_to_keep_what_the_pipeline_builds() {
    let repository = Repository::locked(&[("env/spack.yaml", "spack: {specs: [app]}\n")], "env");
    let run = repository.plan("env");
    run.says(&["mirror", "collect: true"]);
    let run = repository.init_names("env");
    let text = fs::read_to_string(repository.project.path("larder.yaml")).unwrap();
    assert!(text.contains("collect: true"), "{run}\n{text}");
}

#[rstest]
#[case::spack_0_18("lockfiles/demo-format4.lock", 4)]
#[case::spack_0_21("lockfiles/demo-format5.lock", 5)]
#[case::spack_1_0("v3/env-demo/spack.lock", 6)]
#[case::spack_1_0_with_included_environments("v3/env-stacked/spack.lock", 6)]
fn lockfiles_of_every_spack_are_planned(#[case] file: &str, #[case] format: u32) {
    let text = fs::read_to_string(fixture(file)).unwrap();
    let lockfile: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(lockfile["_meta"]["lockfile-version"], format, "the fixture's own number");
    let repository = Repository::new(&[("env/spack.yaml", PLAIN)]);
    repository.project.write("env/spack.lock", text);
    let report = repository.plan("env").report();
    assert!(report["specs"].as_array().unwrap().len() > 3, "{report:#}");
    repository.init_names("env");
}
