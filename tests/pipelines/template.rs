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
                other => panic!("input {name} has the default {other:?}"),
            });
            text = text.replace(&format!("$[[ inputs.{name} ]]"), &value);
        }
        assert!(!text.contains("$[["), "something is not filled in:\n{text}");
        text
    }

    /// The same, read.
    pub fn pipeline(&self, values: &[(&str, &str)]) -> Value {
        let mut pipeline: Value = serde_yaml::from_str(&self.fill_in(values)).unwrap();
        pipeline.apply_merge().unwrap();
        pipeline
    }
}
