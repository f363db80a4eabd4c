//! What users type as inputs arrives as they typed it, or is refused before a job begins.

use regex::Regex;
use serde_yaml::Value;

use crate::project::Repository;
use crate::template::Template;
use crate::tools;

/// Texts that broke the YAML once, or would in a plain scalar, and that somebody means.
const MEANT: &[(&str, &str)] = &[
    ("prepare_arguments", "--header 'A: b' # why"),
    ("finish_arguments", r#"--config "a: {b}" --key 'x'"#),
    ("collect_arguments", r"--spack /opt/my\ spack/bin/spack --installed '#1'"),
    ("warm_arguments", "- --spec: x"),
    ("branch_path", "caches/a: b #1/$CI_JOB_NAME_SLUG"),
    ("shared_path", "größe, {x}: &y"),
    ("built_path", "!important: yes"),
    ("config", "ci/it's: larder.yaml"),
    ("environments", "$CI_PROJECT_DIR/envs/a: envs/b /dev/shm/x"),
    ("stage", "before: all # of them"),
    ("warm_job", "binaries: [all] of 'it'"),
    ("image", "registry.example.org:5000/a/b@sha256:0123"),
    ("download_url", "https://example.org/larder?a=b:%20c&d=#e"),
    ("script_timeout", "$LIMIT"),
];

/// Texts that would become something else than the author meant.
const REFUSED: &[(&str, &[&str])] = &[
    ("branch_path", &["", "a\"b", "/tmp/x", "~/x", " a", "a\nb", "a*", "it's", r"a\b", "`id`", "a;b", "a=b"]),
    ("shared_path", &["a\"b", "a[1]"]),
    ("built_path", &["a\"b", "a?"]),
    ("prepare_arguments", &["--header 'A: b", "a\"", "a\nb", "it's", r"end\"]),
    ("finish_arguments", &["a\nb", "\"'"]),
    ("collect_arguments", &["'a"]),
    ("warm_arguments", &["\"a"]),
    ("environments", &["a; b", "a\nb", "'a b'", "a # b"]),
    ("config", &["a\"b", "`id`"]),
    ("stage", &["", "a\"b"]),
    ("warm_job", &["", "a\"b", r"a\b"]),
    ("image", &["", "a b", "a: b"]),
    ("download_url", &["http://example.org/x", "https://example.org/a b", "https://x/\"", "ftp://x"]),
    ("script_timeout", &["50", "1 hour", "-5m"]),
];

fn regex(template: &Template, name: &str) -> Regex {
    let (_, input) = template.inputs().find(|(found, _)| *found == name).unwrap();
    Regex::new(input["regex"].as_str().unwrap_or_else(|| panic!("{name} is not checked"))).unwrap()
}

#[test]
fn text_that_looks_like_yaml_arrives_as_it_was_typed() {
    let template = Template::read("larder.yml");
    for (name, value) in MEANT {
        assert!(regex(&template, name).is_match(value), "{name} does not take {value:?}");
    }
    let pipeline = template.pipeline(MEANT);
    let meant = |name: &str| MEANT.iter().find(|(found, _)| *found == name).unwrap().1;
    let warm = &pipeline[meant("warm_job")];
    let script = |job: &str| pipeline[job]["script"][0].as_str().unwrap().to_owned();
    assert_eq!(
        script(".larder-prepare"),
        format!("larder prepare $larder_environments {}", meant("prepare_arguments"))
    );
    assert_eq!(
        script(".larder-finish"),
        format!("larder finish $larder_set_aside $larder_environments {}", meant("finish_arguments"))
    );
    assert!(warm["script"][0].as_str().unwrap().ends_with(meant("warm_arguments")));
    let collect = pipeline[".larder-collect"]["after_script"][1].as_str().unwrap();
    assert!(collect.contains(meant("collect_arguments")), "{collect}");
    let paths = |job: &str| {
        let caches = pipeline[job]["cache"].as_sequence().unwrap().clone();
        caches.iter().map(|cache| cache["paths"][0].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(paths(".larder"), [meant("branch_path"), meant("shared_path")]);
    assert_eq!(paths(".larder-collect")[0], meant("built_path"));
    assert_eq!((&warm["stage"], &warm["image"]), (&meant("stage").into(), &meant("image").into()));
    let install = script(".larder-install");
    for name in ["config", "environments", "download_url"] {
        assert!(install.contains(meant(name)), "{name}: {install}");
    }
}

#[test]
fn text_that_would_become_something_else_is_refused() {
    let template = Template::read("larder.yml");
    for (name, values) in REFUSED {
        for value in *values {
            assert!(!regex(&template, name).is_match(value), "{name} takes {value:?}");
        }
    }
}

#[test]
fn every_default_and_every_example_of_the_readme_is_taken() {
    let template = Template::read("larder.yml");
    for (name, input) in template.inputs().filter(|(_, input)| input.get("regex").is_some()) {
        let default = input["default"].as_str().unwrap();
        assert!(regex(&template, name).is_match(default), "{name} does not take its default, {default:?}");
    }
}

#[test]
fn a_pipeline_with_an_input_that_is_refused_does_not_begin() {
    if !tools::can_run_pipelines() {
        return;
    }
    let repository = Repository::new(r#"branch_path: "a\"b""#, "");
    let pipeline = repository.run().fails().says("branch_path").says("does not match required regex");
    assert!(!pipeline.to_string().contains("larder-warm"), "{pipeline}");

    // The argument in quotes is one word: `--spec 'a: b'` would otherwise look for `a:`.
    let repository = Repository::new(r#"warm_arguments: "--spec 'a: b' # colon and hash""#, "");
    repository.run().fails().says("a: b");
}
