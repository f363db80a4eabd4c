//! What the templates are made of, without running them.

use std::fs;

use serde_yaml::Value;

use crate::template::{self, Template};
use crate::tools;

/// Values that differ from every default.
const OTHER_VALUES: &[(&str, &str)] = &[
    ("image", "registry.example.org/spack-with-larder:1"),
    ("download_url", "https://example.org/larder"),
    ("download_sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("config", "ci/larder.yaml"),
    ("environments", "envs/app envs/docs"),
    ("key_prefix", "spack-v2"),
    ("branch_key", "$CI_MERGE_REQUEST_IID"),
    ("fallback_branch_key", "develop"),
    ("shared_key", "shared-$CI_RUNNER_EXECUTABLE_ARCH"),
    ("branch_path", "caches/branch"),
    ("shared_path", "caches/shared"),
    ("built_key", "$CI_COMMIT_REF_SLUG-$CI_JOB_NAME_SLUG"),
    ("fallback_built_key", "$CI_DEFAULT_BRANCH-$CI_JOB_NAME_SLUG"),
    ("built_path", "caches/built"),
    ("unprotect", "true"),
    ("save_when", "on_success"),
    ("save_policy", "$LARDER_POLICY"),
    ("stage", "warm"),
    ("name", ".spack-binaries"),
    ("warm_job", "binaries"),
    ("prepare_arguments", "--require-all"),
    ("finish_arguments", "--dry-run"),
    ("collect_arguments", "--spack /opt/spack/bin/spack"),
    ("warm_arguments", "--build-deps all"),
];

#[test]
fn gitlab_s_schema_accepts_the_template_with_default_and_with_other_values() {
    let Some(check) = tools::schema_check() else { return };
    let scratch = tempfile::tempdir().unwrap();
    for (name, values) in [("defaults", &[][..]), ("others", OTHER_VALUES)] {
        let file = scratch.path().join(format!("{name}.yml"));
        // A file of hidden jobs alone is no pipeline: what a project adds makes it one.
        let own = "\nbuild:\n  extends: .larder\n  script: [make]\n";
        fs::write(&file, Template::read("larder.yml").fill_in(values) + own).unwrap();
        let output = check(&file);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
    let wrong = scratch.path().join("wrong.yml");
    fs::write(&wrong, "build:\n  script: [make]\n  cache: { when: sometimes }\n").unwrap();
    let output = check(&wrong);
    assert!(!output.status.success(), "the check accepts anything");
}

#[test]
fn the_readmes_lines_are_a_pipeline_as_they_stand() {
    let readme = fs::read_to_string(template::file("../README.md")).unwrap();
    let (_, section) = readme.split_once("## In a pipeline").unwrap();
    let (_, block) = section.split_once("```yaml\n").unwrap();
    let (snippet, _) = block.split_once("```").unwrap();
    assert!(snippet.lines().filter(|line| !line.is_empty()).count() <= 10, "{snippet}");
    let lines: Value = serde_yaml::from_str(snippet).unwrap();
    let include = &lines["include"][0];
    assert!(template::file("..").join(include["local"].as_str().unwrap()).is_file());
    let inputs = include["inputs"].as_mapping().unwrap();
    let inputs: Vec<_> = inputs.iter().map(|(key, value)| (key.as_str().unwrap(), value.as_str().unwrap())).collect();
    let template = Template::read("larder.yml");
    let pipeline = template.pipeline(&inputs);
    assert!(pipeline.get(lines["build"]["extends"].as_str().unwrap()).is_some());
    if let Some(check) = tools::schema_check() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("whole.yml");
        let own = snippet.split_once("build:").unwrap().1;
        fs::write(&file, format!("{}\nbuild:{own}", template.fill_in(&inputs))).unwrap();
        let output = check(&file);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn every_input_is_described_and_used_and_documented() {
    let template = Template::read("larder.yml");
    let readme = fs::read_to_string(template::file("README.md")).unwrap();
    let text = fs::read_to_string(template::file("larder.yml")).unwrap();
    for (name, input) in template.inputs() {
        assert!(input["description"].as_str().is_some_and(|text| text.len() > 20), "{name} is not described");
        assert!(input.get("default").is_some(), "{name} has no default, so that nobody can include the file as it is");
        assert!(text.contains(&format!("$[[ inputs.{name} ]]")), "{name} does nothing");
        assert!(readme.contains(&format!("`{name}`")), "README.md does not tell of {name}");
    }
    assert_eq!(template.inputs().count(), OTHER_VALUES.len(), "every input is tried with another value");
}

#[test]
fn an_including_pipeline_gets_jobs_and_nothing_else() {
    let pipeline = Template::read("larder.yml").pipeline(&[]);
    let names: Vec<_> = pipeline.as_mapping().unwrap().keys().map(|key| key.as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            ".larder-install",
            ".larder-prepare",
            ".larder-finish",
            ".larder",
            ".larder-save",
            ".larder-collect",
            ".larder-built",
            "larder-warm"
        ]
    );
}

#[test]
fn one_job_saves_and_all_others_restore_from_the_same_keys() {
    let pipeline = Template::read("larder.yml").pipeline(&[]);
    let caches = |job: &str| pipeline[job]["cache"].as_sequence().unwrap().clone();
    let of = |job: &str, key: &str| caches(job).iter().map(|cache| cache[key].clone()).collect::<Vec<Value>>();
    for job in [".larder", ".larder-save", "larder-warm"] {
        assert_eq!(of(job, "key"), ["larder-branch-$CI_COMMIT_REF_SLUG", "larder-shared"], "{job}");
        let fallback = &caches(job)[0]["fallback_keys"];
        assert_eq!(fallback.as_sequence().unwrap(), &["larder-branch-$CI_DEFAULT_BRANCH"], "{job}");
        assert_eq!(pipeline[job]["variables"]["FF_USE_FASTZIP"], "true", "{job}");
        assert_eq!(pipeline[job]["variables"]["CACHE_COMPRESSION_LEVEL"], "fastest", "{job}");
    }
    assert_eq!(of(".larder", "policy"), ["pull", "pull"]);
    for job in [".larder-save", "larder-warm"] {
        assert_eq!(of(job, "policy"), ["pull-push", "pull-push"], "{job}");
        assert_eq!(of(job, "when"), ["always", "always"], "{job}");
    }
}

#[test]
fn the_job_that_builds_saves_what_it_built_and_no_other_job_does() {
    let pipeline = Template::read("larder.yml").pipeline(&[]);
    let of = |job: &str, key: &str| {
        let caches = pipeline[job]["cache"].as_sequence().unwrap().clone();
        caches.iter().map(|cache| cache[key].clone()).collect::<Vec<Value>>()
    };
    let keys = ["larder-built-$CI_COMMIT_REF_SLUG", "larder-branch-$CI_COMMIT_REF_SLUG", "larder-shared"];
    for job in [".larder-collect", ".larder-built"] {
        assert_eq!(of(job, "key"), keys, "{job}");
        let fallback = &pipeline[job]["cache"][0]["fallback_keys"];
        assert_eq!(fallback.as_sequence().unwrap(), &["larder-built-$CI_DEFAULT_BRANCH"], "{job}");
        // So that `larder finish` says the truth about uploads.
        assert_eq!(pipeline[job]["variables"]["LARDER_COLLECT_POLICY"], of(job, "policy")[0], "{job}");
        assert_eq!(pipeline[job]["variables"]["LARDER_CACHE_POLICY"], "pull", "{job}");
    }
    assert_eq!(of(".larder-collect", "policy"), ["pull-push", "pull", "pull"]);
    assert_eq!(of(".larder-built", "policy"), ["pull", "pull", "pull"]);
    let last = pipeline[".larder-collect"]["after_script"].as_sequence().unwrap().last().unwrap();
    assert!(last.as_str().unwrap().starts_with("larder finish --collect"));
    for job in [".larder", ".larder-save", "larder-warm"] {
        assert!(!of(job, "paths").iter().any(|paths| paths[0] == ".larder/built"), "{job}");
    }
}

#[test]
fn jobs_of_spack_ci_restore_from_the_keys_that_the_template_saves() {
    let text = fs::read_to_string(template::file("spack-ci.yaml")).unwrap();
    let fragment: Value = serde_yaml::from_str(&text).unwrap();
    let sections = fragment["ci"]["pipeline-gen"].as_sequence().unwrap();
    let job = &sections[0]["build-job"];
    let mut caches = Template::read("larder.yml").pipeline(&[])[".larder"]["cache"].clone();
    for cache in caches.as_sequence_mut().unwrap() {
        // The default, which Spack's file need not spell out.
        cache.as_mapping_mut().unwrap().remove("unprotect");
    }
    assert_eq!(job["cache"], caches);
    assert_eq!(job["variables"], Template::read("larder.yml").pipeline(&[])[".larder"]["variables"]);
}
