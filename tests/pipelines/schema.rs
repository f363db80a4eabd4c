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
    ("concretize", "true"),
    ("lockfiles", r#"["envs/*/spack.lock"]"#),
    ("caches", "branch,shared,built"),
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
    ("set_aside", "never"),
    ("reports", "false"),
    ("stage", "warm"),
    ("rules", r#"[{"if": "$CI_COMMIT_TAG"}, {"when": "on_success"}]"#),
    ("script_timeout", "1h30m"),
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
        fs::write(&file, Template::read("larder.yml").resolved(values) + own).unwrap();
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
        fs::write(&file, format!("{}\nbuild:{own}", template.resolved(&inputs))).unwrap();
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
        let is_text = input.get("type").is_none();
        let is_checked = input.get("regex").is_some() || input.get("options").is_some();
        assert!(is_checked || !is_text, "{name} takes any text");
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
            ".larder-caches",
            ".larder-reports-true",
            ".larder-reports-false",
            ".larder-lockfiles-true",
            ".larder-lockfiles-false",
            ".larder",
            ".larder-save",
            ".larder-collect",
            ".larder-built",
            ".larder-run",
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
fn a_project_has_only_the_caches_it_uses() {
    let template = Template::read("larder.yml");
    // The value of the input, and what is restored for it besides what the pipeline built.
    let table = [
        ("branch,shared", ".larder/branch .larder/shared"),
        ("shared", ".larder/shared"),
        ("built", ""),
        ("shared,built", ".larder/shared"),
        ("branch,shared,built", ".larder/branch .larder/shared"),
    ];
    let (_, input) = template.inputs().find(|(name, _)| *name == "caches").unwrap();
    assert_eq!(input["options"].as_sequence().unwrap(), &table.map(|(value, _)| Value::from(value)));
    for (value, of_mirrors) in table {
        let pipeline = template.pipeline(&[("caches", value)]);
        let folders = |job: &str, policy: &str| {
            let caches = pipeline[job]["cache"].as_sequence().unwrap().clone();
            let of_policy = caches.into_iter().filter(|cache| cache["policy"] == policy);
            of_policy.map(|cache| cache["paths"][0].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        let restored_and_saved = |job: &str| (folders(job, "pull"), folders(job, "pull-push"));
        let expected = |restored: &str, saved: &str| (restored.trim().to_owned(), saved.trim().to_owned());
        let named = value.split(',').map(|name| format!(".larder/{name}")).collect::<Vec<_>>().join(" ");
        assert_eq!(restored_and_saved(".larder"), expected(of_mirrors, ""), "{value}");
        assert_eq!(restored_and_saved(".larder-save"), expected("", of_mirrors), "{value}");
        assert_eq!(restored_and_saved("larder-warm"), expected("", of_mirrors), "{value}");
        assert_eq!(restored_and_saved(".larder-collect"), expected(of_mirrors, ".larder/built"), "{value}");
        assert_eq!(
            restored_and_saved(".larder-built"),
            expected(&format!(".larder/built {of_mirrors}"), ""),
            "{value}"
        );
        assert_eq!(restored_and_saved(".larder-run"), expected("", &named), "{value}");
    }
}

#[test]
fn what_the_saving_jobs_hand_on_is_what_the_inputs_say() {
    let template = Template::read("larder.yml");
    let artifacts = |job: &str, values: &[(&str, &str)]| template.pipeline(values)[job].get("artifacts").cloned();
    let neither = [("reports", "false"), ("concretize", "false")];
    for job in [".larder-save", ".larder-run", "larder-warm"] {
        assert_eq!(artifacts(job, &[]).unwrap()["reports"]["dotenv"], ".larder/job/larder.env", "{job}");
        assert_eq!(artifacts(job, &neither), None, "{job}: a job without artifacts has no such key");
    }
    for reports in ["true", "false"] {
        let made = artifacts("larder-warm", &[("reports", reports), ("concretize", "true")]).unwrap();
        assert_eq!((&made["paths"][0], &made["when"]), (&"**/spack.lock".into(), &"always".into()));
        assert_eq!(made.get("reports").is_some(), reports == "true");
        let of_save = artifacts(".larder-save", &[("reports", reports), ("concretize", "true")]);
        assert_eq!(of_save.is_some(), reports == "true", "only the warm-up job concretizes");
    }
    for job in [".larder", ".larder-collect", ".larder-built"] {
        assert_eq!(artifacts(job, &[("concretize", "true")]), None, "{job}");
    }
}

/// The runner shows only the first line of what it runs, and `#` and all behind it as well.
#[test]
fn the_first_line_of_each_step_says_what_it_does() {
    let pipeline = Template::read("larder.yml").pipeline(&[]);
    let mut steps = 0;
    for (_, job) in pipeline.as_mapping().unwrap() {
        for part in ["before_script", "script", "after_script"] {
            let lists = job.get(part).and_then(Value::as_sequence).into_iter().flatten();
            for step in lists.flat_map(|item| item.as_sequence().cloned().unwrap_or_else(|| vec![item.clone()])) {
                let first = step.as_str().unwrap().lines().next().unwrap().to_owned();
                let is_one_command = first.starts_with("larder ") && step.as_str().unwrap().lines().count() == 1;
                assert!(is_one_command || first.starts_with("# larder: "), "the log shows only {first:?}");
                steps += 1;
            }
        }
    }
    assert!(steps > 10, "{steps} steps");
}

#[test]
fn the_warm_up_job_is_in_merge_request_pipelines_where_rules_say_so() {
    let template = Template::read("larder.yml");
    let rules = template.pipeline(&[])["larder-warm"]["rules"].clone();
    let expected = "[{ if: $CI_MERGE_REQUEST_ID, when: never }, { when: on_success }]";
    assert_eq!(rules, serde_yaml::from_str::<Value>(expected).unwrap());
    let all = template.pipeline(&[("rules", r#"[{"when":"on_success"}]"#)])["larder-warm"]["rules"].clone();
    assert_eq!(all.as_sequence().unwrap().len(), 1);
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
