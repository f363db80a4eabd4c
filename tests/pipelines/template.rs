//! A template with its inputs filled in, as GitLab does it: the header is cut off, and the text of each value takes the
//! place of `$[[ inputs.NAME ]]` before the rest is read as YAML.

use std::fs;
use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

/// A template of this project.
pub struct Template {
    inputs: Mapping,
    body: String,
}

/// A file of `ci-templates`.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ci-templates").join(name)
}

impl Template {
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(file(name)).unwrap();
        let (header, body) = text.split_once("\n---\n").expect("a template has a header");
        let header: Value = serde_yaml::from_str(header).unwrap();
        let inputs = header["spec"]["inputs"].as_mapping().unwrap().clone();
        Self { inputs, body: body.to_owned() }
    }

    /// The inputs by their names.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.inputs.iter().map(|(name, input)| (name.as_str().unwrap(), input))
    }

    /// The pipeline's text with these values, and the defaults of all other inputs.
    pub fn fill_in(&self, values: &[(&str, &str)]) -> String {
        for (name, _) in values {
            assert!(self.inputs.contains_key(*name), "there is no input {name}");
        }
        let mut text = self.body.clone();
        for (name, input) in self.inputs() {
            let given = values.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
            let value = given.unwrap_or_else(|| match &input["default"] {
                Value::String(text) => text.clone(),
                Value::Bool(value) => value.to_string(),
                list @ Value::Sequence(_) => serde_json::to_string(list).unwrap(),
                other => panic!("input {name} has the default {other:?}"),
            });
            text = text.replace(&format!("$[[ inputs.{name} ]]"), &value);
        }
        assert!(!text.contains("$[["), "something is not filled in:\n{text}");
        text
    }

    /// The pipeline's text as it is once all of that is done.
    pub fn resolved(&self, values: &[(&str, &str)]) -> String {
        serde_yaml::to_string(&self.pipeline(values)).unwrap()
    }

    /// The pipeline, read, with what GitLab puts in the place of `extends` and `!reference`.
    pub fn pipeline(&self, values: &[(&str, &str)]) -> Value {
        let mut read: Value = serde_yaml::from_str(&self.fill_in(values)).unwrap();
        read.apply_merge().unwrap();
        let whole = referred(&read, &read);
        let jobs = whole.as_mapping().unwrap().iter().map(|(name, job)| (name.clone(), extended(&whole, job)));
        Value::Mapping(jobs.collect())
    }
}

/// A value with each `!reference [JOB, KEY…]` in it replaced by what it names.
fn referred(whole: &Value, value: &Value) -> Value {
    match value {
        Value::Tagged(tagged) if tagged.tag == "!reference" => {
            let steps = tagged.value.as_sequence().unwrap();
            let found = steps.iter().try_fold(whole, |found, step| found.get(step));
            referred(whole, found.unwrap_or_else(|| panic!("nothing is at {steps:?}")))
        }
        Value::Sequence(items) => items.iter().map(|item| referred(whole, item)).collect(),
        Value::Mapping(entries) => {
            Value::Mapping(entries.iter().map(|(key, value)| (key.clone(), referred(whole, value))).collect())
        }
        other => other.clone(),
    }
}

/// A job with what it extends below its own: mappings are joined, all else is replaced.
fn extended(whole: &Value, job: &Value) -> Value {
    let parents = match job.get("extends") {
        None => return job.clone(),
        Some(Value::Sequence(names)) => names.clone(),
        Some(name) => vec![name.clone()],
    };
    let mut result = Value::Mapping(Mapping::new());
    for parent in &parents {
        join(&mut result, extended(whole, whole.get(parent).unwrap_or_else(|| panic!("there is no job {parent:?}"))));
    }
    join(&mut result, job.clone());
    result.as_mapping_mut().unwrap().remove("extends");
    result
}

fn join(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Mapping(below), Value::Mapping(above)) => {
            for (key, value) in above {
                join(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}
