//! What `--hand-over` changes outside of the job folder is undone, whatever happens meanwhile. Scripts stand in for Spack here;
//! `real_spack` has the same with the real one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rstest::rstest;

use crate::context::{Project, Run};
use crate::fixtures::Mirror;
use crate::server::Server;

const ENVIRONMENT: &str =
    "# mine\nspack:\n  specs:\n  - app   # first\n  - plotter\n  mirrors: { own: 'https://host.example/x' }\n";

/// A project with an environment that was written long ago and is not for everybody's eyes.
fn project() -> (Project, Server) {
    let (project, server) = Project::with_server(Mirror::V3Unsigned);
    let file = project.write("spack.yaml", ENVIRONMENT);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    fs::File::open(&file)
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789))
        .unwrap();
    (project, server)
}

/// Everything about the environment's file that somebody could notice.
fn state(path: &Path) -> (String, SystemTime, u32) {
    let meta = fs::metadata(path).unwrap();
    (fs::read_to_string(path).unwrap(), meta.modified().unwrap(), meta.permissions().mode())
}

fn prepare(project: &Project, how: &str) -> Run {
    project.larder(&["prepare", "--hand-over", how]).succeeds()
}

fn script(path: &Path, text: &str) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

/// An instance of Spack as far as larder looks at it, that says how it was called.
fn instance(project: &Project) -> PathBuf {
    let root = project.outside().join("it's spack");
    fs::create_dir_all(root.join("lib/spack/spack")).unwrap();
    fs::create_dir_all(root.join("etc/spack")).unwrap();
    script(&root.join("bin/spack"), "#!/bin/sh\nfor argument; do echo \"<$argument>\"; done\n");
    root
}

fn shell(project: &Project, path: &str, text: &str) -> String {
    let mut command = Command::new("/bin/sh");
    command.args(["-euc", text]).current_dir(project.root()).env_clear().env("PATH", path);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}: {}\n{said}", output.status);
    said
}

#[rstest]
#[case::by_finish(&["finish"])]
#[case::by_the_next_prepare(&["prepare"])]
#[case::by_clean(&["clean"])]
fn the_environment_is_afterwards_what_it_was(#[case] undoing: &[&str]) {
    let (project, _server) = project();
    let file = project.path("spack.yaml");
    let before = state(&file);
    let run = prepare(&project, "environment");
    run.says(&["`spack.yaml` names the job mirror until `larder finish`"]);
    let edited = state(&file);
    assert!(edited.0.contains("mirrors: {larder: {url:"), "{}", edited.0);
    assert_eq!((edited.1, edited.2), (before.1, before.2));
    // The killed run: nothing but a later command of larder undoes it. A dry run changes nothing.
    project.larder(&["finish", "--dry-run"]).succeeds();
    assert_eq!(state(&file), edited);
    project.larder(undoing).succeeds();
    assert_eq!(state(&file), before);
    project.larder(&["finish"]).succeeds();
    assert_eq!(state(&file), before);
}

#[test]
fn a_second_prepare_hands_over_once() {
    let (project, _server) = project();
    let before = state(&project.path("spack.yaml"));
    prepare(&project, "environment");
    let once = state(&project.path("spack.yaml"));
    prepare(&project, "environment,flag");
    assert_eq!(state(&project.path("spack.yaml")), once);
    // The note is lost with the job folder, and what it was about is healed all the same.
    fs::remove_dir_all(project.path(".larder/job")).unwrap();
    prepare(&project, "environment");
    assert_eq!(state(&project.path("spack.yaml")), once);
    project.finish();
    assert_eq!(state(&project.path("spack.yaml")), before);
}

#[test]
fn what_a_script_wrote_meanwhile_stays() {
    let (project, _server) = project();
    let file = project.path("spack.yaml");
    prepare(&project, "environment");
    fs::write(&file, state(&file).0.replace("plotter", "rtdata") + "  view: false\n").unwrap();
    let changed = state(&file).1;
    project.larder(&["finish"]).succeeds().says(&["spack.yaml` was changed during the job"]);
    let expected = ENVIRONMENT.replace("plotter", "rtdata") + "  view: false\n";
    assert_eq!(state(&file).0, expected);
    assert_eq!(state(&file).1, changed, "it was the script that changed it last");

    prepare(&project, "environment");
    fs::write(&file, "spack: {specs: [app]}\n").unwrap();
    project.finish();
    assert_eq!(state(&file).0, "spack: {specs: [app]}\n");

    prepare(&project, "environment");
    fs::remove_file(&file).unwrap();
    project.finish();
    assert!(!file.exists());
}

#[test]
fn an_entry_that_can_t_be_taken_out_is_told_and_the_caches_are_pruned_all_the_same() {
    let (project, _server) = project();
    let file = project.path("spack.yaml");
    prepare(&project, "environment");
    fs::write(&file, state(&file).0 + "oops: [\n").unwrap();
    let broken = state(&file).0;
    project.larder(&["finish"]).succeeds().says(&["can't take the job mirror out of", "spack.yaml", "shared:"]);
    assert_eq!(state(&file).0, broken);
    fs::write(&file, broken.replace("oops: [\n", "")).unwrap();
    project.finish();
    assert_eq!(state(&file).0, ENVIRONMENT);
}

#[test]
fn an_environment_that_larder_can_t_edit_is_left_as_it_is() {
    let (project, _server) = project();
    let text = "spack:\n  specs: [app, plotter]\n  mirrors: &m\n    own: https://host.example/x\n  extra: *m\n";
    let file = project.write("spack.yaml", text);
    let run = project.larder(&["prepare", "--hand-over=environment"]);
    run.fails_saying(1, &["can't put the job mirror into", "spack.yaml", "--hand-over path"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    fs::remove_file(&file).unwrap();
    project.larder(&["prepare", "--hand-over=environment"]).fails_saying(1, &["there is no", "spack.yaml"]);
}

#[test]
fn a_note_that_somebody_planted_writes_nothing() {
    let (project, _server) = project();
    prepare(&project, "environment");
    let note = project.path(".larder/job/handed-over.json");
    let text = fs::read_to_string(&note).unwrap();
    let victim = project.outside().join("home/victim");
    fs::create_dir_all(victim.parent().unwrap()).unwrap();
    fs::write(&victim, "spack: {specs: [mine]}\n").unwrap();
    let file = project.path("spack.yaml");
    let planted = text.replace(file.to_str().unwrap(), victim.to_str().unwrap());
    assert_ne!(planted, text);
    fs::write(&note, &planted).unwrap();
    project.finish();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "spack: {specs: [mine]}\n");
    for hostile in ["{}".to_owned(), text.replace("/.larder/job/mirror", "/elsewhere/mirror")] {
        fs::write(&note, hostile).unwrap();
        project.larder(&["finish"]).succeeds().says(&["handed-over.json` is damaged"]);
        project.larder(&["prepare"]).fails_saying(1, &["handed-over.json` is damaged", "remove it"]);
    }
}

#[test]
fn the_instance_is_for_one_job_at_a_time() {
    let (project, _server) = project();
    let root = instance(&project);
    let spack = root.join("bin/spack");
    let how = ["prepare", "--hand-over=instance", "--spack", spack.to_str().unwrap()];
    let file = root.join("etc/spack/mirrors.yaml");
    project.larder(&how).succeeds().says(&["etc/spack/mirrors.yaml` names the job mirror until"]);
    let first = fs::read_to_string(&file).unwrap();

    let (other, _other_server) = self::project();
    other.larder(&how).fails_saying(1, &["which another job put there", "--hand-over path"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    project.finish();
    assert!(!file.exists(), "it was not there before");
    other.larder(&how).succeeds();
    // That job is gone, and nothing undid it.
    fs::remove_dir_all(other.path(".larder/job")).unwrap();
    project.larder(&how).succeeds();
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    project.finish();
    assert!(!file.exists());

    let wrapper = script(&project.outside().join("wrapper"), "#!/bin/sh\n");
    let how = ["prepare", "--hand-over=instance", "--spack", wrapper.to_str().unwrap()];
    project.larder(&how).fails_saying(1, &["found no Spack instance", "--spack PATH"]);
}

#[test]
fn spack_on_the_path_is_the_real_one_with_the_job_mirror() {
    let (project, _server) = project();
    let root = instance(&project);
    let bin = root.join("bin");
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let run = project.larder_with(&["prepare", "--hand-over=path"], &[("PATH", &path)]).succeeds();
    run.says(&["now run: . ./.larder/job/env.sh"]);
    let url = format!("file://{}", project.path(".larder/job/mirror").display());
    let call = ". ./.larder/job/env.sh; . ./.larder/job/env.sh; spack -C 'a b' -e . install '*'";
    let said = shell(&project, &path, call);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "<-c>", "{said}");
    assert!(lines[1].starts_with("<mirrors:larder:") && lines[1].contains(&url), "{said}");
    assert_eq!(lines[2..], ["<-C>", "<a b>", "<-e>", "<.>", "<install>", "<*>"], "{said}");

    // A shell that has sourced it: larder still finds the real one, not its own.
    let own = format!("{}:{path}", project.path(".larder/job/bin").display());
    project.larder_with(&["prepare", "--hand-over=path"], &[("PATH", &own)]).succeeds();
    assert!(shell(&project, &path, call).starts_with("<-c>\n"));
    // No Spack when it was prepared, as where the script fetches one.
    project.larder_with(&["prepare", "--hand-over=path"], &[("PATH", "/usr/bin:/bin")]).succeeds();
    assert!(shell(&project, &path, call).starts_with("<-c>\n"));
    let none = shell(&project, "/usr/bin:/bin", ". ./.larder/job/env.sh; spack || echo $?");
    assert!(none.contains("found no Spack") && none.contains("127"), "{none}");
    // The job folder is for another way now: Spack is called as if larder were not there.
    let before = ". ./.larder/job/env.sh; rm -r .larder/job/spack; spack find";
    assert_eq!(shell(&project, &path, before), "<find>\n");
}

#[test]
fn spack_by_path_starts_itself_with_the_job_mirror() {
    let (project, _server) = project();
    let root = project.outside().join("of the script");
    // As the first lines of Spack's own program do.
    let program = script(&root.join("bin/spack"), "#!/bin/sh\nexec \"$SPACK_PYTHON\" \"$0\" \"$@\"\n");
    let python =
        script(&project.outside().join("python"), "#!/bin/sh\nshift\nfor argument; do echo \"<$argument>\"; done\n");
    project.larder_with(&["prepare", "--hand-over=path"], &[("PATH", "/usr/bin:/bin")]).succeeds();
    let call = |text: &str| {
        let variables = format!("SPACK_PYTHON='{}'; by_path='{}'", python.display(), program.display());
        shell(&project, "/usr/bin:/bin", &format!("{variables}; . ./.larder/job/env.sh; {text}"))
    };
    let said = call("\"$by_path\" -e . install");
    let lines: Vec<_> = said.lines().collect();
    assert!(
        lines[0] == "<-c>" && lines[1].starts_with("<mirrors:larder") && lines[2..] == ["<-e>", "<.>", "<install>"],
        "{said}"
    );
    // Other programs that the variable is used for are not touched.
    assert_eq!(call("\"$SPACK_PYTHON\" x.py -c 1"), "<-c>\n<1>\n");
    // Twice through larder's programs, once with the mirror.
    let said = call("export SPACK_ROOT=\"${by_path%/bin/spack}\"; spack find");
    assert_eq!(said.matches("mirrors:larder").count(), 1, "{said}");
}

#[test]
fn larder_yaml_and_the_command_line_say_how() {
    let (project, _server) = project();
    let config = fs::read_to_string(project.path("larder.yaml")).unwrap();
    project.configure(&format!("{config}\nhand-over: [path, environment]\n"));
    let run = project.larder(&["prepare"]).succeeds();
    assert!(!run.stderr.contains("spack -C"), "{run}");
    run.says(&["env.sh", "`spack.yaml` names the job mirror"]);
    let run = project.larder(&["prepare", "--hand-over", "flag"]).succeeds();
    assert!(run.stderr.contains("spack -C") && !run.stderr.contains("env.sh"), "{run}");
    assert!(!project.path(".larder/job/env.sh").exists());
    assert_eq!(state(&project.path("spack.yaml")).0, ENVIRONMENT);
    project.larder(&["prepare", "--hand-over", "flags"]).fails_saying(2, &["flags"]);
    // The command sees it, and the job is finished behind it.
    let text = project.larder(&["run", "--", "cat", "spack.yaml"]).succeeds().stdout;
    assert!(text.contains("larder") && text.contains("own"), "{text}");
    assert_eq!(state(&project.path("spack.yaml")).0, ENVIRONMENT);
}
