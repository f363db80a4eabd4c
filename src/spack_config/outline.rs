//! Whether a file that can't be read names anything that larder needs.
//!
//! A site's `packages.yaml`, a template, or what ruamel.yaml reads and no other parser: as long as no section at the top is one of
//! those that larder needs, what is wrong with the file is Spack's to say. The lines are looked at as they stand, and in doubt the
//! answer is yes: mirrors must not be overlooked.

use super::scope::SECTIONS;

/// How lines begin that belong to no map: comments, markers of documents, directives of YAML, and tags of templates.
const NO_CONTENT: [&str; 6] = ["#", "---", "...", "%", "{%", "{#"];

/// Whether one of the sections that larder needs may stand at the top.
pub(super) fn may_name_sections(text: &str) -> bool {
    // UTF-16, or another coding in which no name of a section looks like itself.
    if text.contains('\0') || text.starts_with(char::REPLACEMENT_CHARACTER) {
        return true;
    }
    let lines = || text.trim_start_matches('\u{feff}').lines().map(|line| (indentation(line), line.trim_start()));
    let contents =
        || lines().filter(|(_, line)| !line.is_empty() && !NO_CONTENT.iter().any(|start| line.starts_with(start)));
    let Some(top) = contents().map(|(indentation, _)| indentation).min() else { return false };
    contents().filter(|(indentation, _)| *indentation == top).any(|(_, line)| may_name_section(line))
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn may_name_section(line: &str) -> bool {
    // A map in braces may name anything further on, and so may a merged or complex key.
    if line.starts_with(['{', '?', '&', '!', '*']) || line.starts_with("<<") {
        return true;
    }
    let key = line.split(':').next().unwrap_or_default().trim_end().trim_matches(['"', '\'']);
    line.contains(':') && (SECTIONS.contains(&key) || ["spack", "env"].contains(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_at_the_top_are_told_from_what_stands_below() {
        for text in [
            "packages:\n  all: [%gcc]\n",
            "packages:\n  mirrors: x\n  spack:\n    config: [%gcc]\n",
            "{% if x %}\npackages: {a: [}\n{% endif %}\n",
            "# mirrors: x\n---\ncompilers:\n- spec: [",
            "- a\n- mirrors\n",
            "\u{1}\u{2}",
            "",
        ] {
            assert!(!may_name_sections(text), "{text}");
        }
        for text in [
            "packages: [\nmirrors:\n  a: b\n",
            "packages: [\n'config':: x\n",
            "\u{feff}\"include\" : [%x]\n",
            "{% if x %}\nspack:\n{% endif %}\n",
            "  upstreams: [%]\n  packages:\n",
            "{packages: [%], mirrors: {}}\n",
            "<<: *x\n",
            "env:\n",
            "m\0i\0r\0",
        ] {
            assert!(may_name_sections(text), "{text}");
        }
    }
}
