//! What the documentation says is so: its YAML is YAML, its configurations load, its commands and options exist, and its
//! pipelines use inputs and jobs that the template has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_yaml::Value;

use crate::context::Project;
use crate::fixtures::walk;

/// A fenced block of a page.
struct Block {
    /// The page, and the line that the block begins in.
    place: String,
    /// The last line of text above it.
    above: String,
    language: String,
    text: String,
}

/// All pages that tell how larder is used. Decisions tell of what was, too.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = Vec::new();
    walk(&root.join("docs"), &mut |path| pages.push(path.to_owned()));
    pages.retain(|path| !path.starts_with(root.join("docs/adr")));
    pages.extend(["README.md", "CONTRIBUTING.md", "ci-templates/README.md"].map(|page| root.join(page)));
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    assert!(pages.len() > 12, "{pages:?}");
    pages
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let (mut blocks, mut open, mut above): (Vec<Block>, Option<Block>, String) = (Vec::new(), None, String::new());
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (fence, &mut open) {
            (Some(language), None) => {
                let place = format!("{}:{}", page.display(), index + 1);
                open = Some(Block { place, above: above.clone(), language: language.to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.extend([line, "\n"]),
            (None, None) if !line.trim().is_empty() => line.clone_into(&mut above),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: a block does not end", page.display());
    blocks
}

fn all_blocks() -> Vec<Block> {
    pages().iter().flat_map(|page| blocks(page)).collect()
}

#[test]
fn yaml_in_the_documentation_is_yaml() {
    let blocks: Vec<_> = all_blocks().into_iter().filter(|block| block.language == "yaml").collect();
    assert!(blocks.len() > 30, "{} blocks", blocks.len());
    for block in blocks {
        if let Err(error) = serde_yaml::from_str::<Value>(&block.text) {
            panic!("{}: {error}\n{}", block.place, block.text);
        }
    }
}

#[test]
fn configurations_of_the_recipes_load() {
    let is_configuration = |block: &Block| {
        block.place.contains("/recipes/") && block.language == "yaml" && block.above.starts_with("`larder.yaml`")
    };
    let blocks: Vec<_> = all_blocks().into_iter().filter(is_configuration).collect();
    assert!(blocks.len() >= 4, "{} blocks", blocks.len());
    for block in blocks {
        let project = Project::new("v3/env-demo");
        project.configure(&block.text);
        let run = project.larder(&["list", "--json"]);
        assert_eq!(run.code, Some(0), "{}: {run}", block.place);
    }
}

#[test]
fn pipelines_of_the_documentation_use_what_the_template_has() {
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/ci-templates/larder.yml");
    let (header, body) = fs::read_to_string(template)
        .map(|text| text.split_once("\n---\n").map(|(a, b)| (a.to_owned(), b.to_owned())))
        .unwrap()
        .unwrap();
    let header: Value = serde_yaml::from_str(&header).unwrap();
    let known = header["spec"]["inputs"].as_mapping().unwrap();
    let mut seen = 0;
    for block in all_blocks().into_iter().filter(|block| block.language == "yaml" && block.text.contains("include:")) {
        let yaml: Value = serde_yaml::from_str(&block.text).unwrap();
        for include in yaml["include"].as_sequence().into_iter().flatten() {
            for (input, _) in include["inputs"].as_mapping().into_iter().flatten() {
                assert!(known.contains_key(input), "{}: there is no input {input:?}", block.place);
                seen += 1;
            }
        }
        for (name, job) in yaml.as_mapping().into_iter().flatten() {
            let Some(rest) = job["extends"].as_str().and_then(|job| job.strip_prefix(".larder")) else { continue };
            let hidden = format!("\"$[[ inputs.name ]]{rest}\":");
            assert!(body.contains(&hidden), "{}: {name:?} extends what is not there", block.place);
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn commands_and_options_of_the_documentation_exist() {
    let project = Project::new("v3/env-demo");
    let top = project.larder(&["--help"]).succeeds().stdout;
    let (_, commands) = top.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let names = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let commands: BTreeSet<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 12, "{commands:?}");
    let mut help: BTreeMap<String, String> = BTreeMap::new();
    let mut seen = 0;
    for page in pages() {
        for (place, line) in command_lines(&page) {
            let words = words_of(&line);
            let Some(at) = words.iter().position(|word| commands.contains(word.as_str())) else {
                let is_command = words.first().is_some_and(|word| word.chars().all(|c| c.is_ascii_lowercase()));
                assert!(!is_command, "{place}: `larder {line}`: there is no such command");
                continue;
            };
            let name = words[at].clone();
            let help = help.entry(name.clone()).or_insert_with(|| project.larder(&[&name, "--help"]).succeeds().stdout);
            for option in words.iter().filter(|word| word.starts_with('-')) {
                let option = option.split('=').next().unwrap();
                let is_known = help.split([' ', ',', '\n', '=', '[', ']', '`']).any(|word| word == option);
                assert!(is_known, "{place}: `larder {name}` has no {option}: {line}");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

/// What stands behind `larder ` in the blocks of a page, up to the end of the command, and in its text between backticks.
fn command_lines(page: &Path) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let code = blocks(page).into_iter().filter(|block| block.language != "text");
    for block in code {
        for line in block.text.lines() {
            let line = line.split(" #").next().unwrap_or_default().trim_start_matches(['-', ' ']);
            for command in line.split(['&', ';', '|', '[', ']', '`']).map(str::trim) {
                let command = command.strip_prefix("script: ").unwrap_or(command);
                let command = command.strip_prefix("RUN ").unwrap_or(command);
                if let Some(rest) = command.strip_prefix("larder ") {
                    lines.push((block.place.clone(), rest.to_owned()));
                }
            }
        }
    }
    let text = fs::read_to_string(page).unwrap();
    for (index, line) in text.lines().enumerate() {
        let spans = line.split('`').skip(1).step_by(2);
        let commands = spans.filter_map(|span| span.strip_prefix("larder "));
        lines.extend(commands.map(|rest| (format!("{}:{}", page.display(), index + 1), rest.to_owned())));
    }
    lines
}

/// The words of larder's own command line: what follows `--` is another program's.
fn words_of(line: &str) -> Vec<String> {
    let words = line.split_whitespace().take_while(|word| *word != "--" && !word.starts_with(['\\', '>']));
    words.map(|word| word.trim_matches(['"', '\'', ',', ')']).to_owned()).collect()
}
