//! The text of `larder.yaml` that `init` writes. A test reads it again.

use std::fmt::Write as _;
use std::path::Path;

use super::environment::{EnvironmentMirrors, FoundEnvironment, has_no_mirror};
use super::mirrors::FoundMirror;

/// Where the mirrors come from.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Source {
    /// From Spack's configuration, where they stay.
    Spack,
    /// From the command line: only the file can keep them.
    CommandLine,
}

/// The cache of mirrors that are there for good. It stays below the 5 GB that object stores take in one request.
const SHARED: (&str, &str) = ("shared", "path: .larder/shared, keep: { max-age: 30d, max-size: 4GB, slack: 20% }");

/// The cache of mirrors of one branch or merge request.
const BRANCH: (&str, &str) = ("branch", "path: .larder/branch, keep: lockfile");

/// Which caches the configuration has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caches {
    /// One for all mirrors.
    Shared,
    /// Another for those of one branch or merge request.
    BranchAndShared,
}

impl Caches {
    /// Those of these mirrors.
    pub(super) fn of(mirrors: &[FoundMirror]) -> Self {
        let is_temporary = mirrors.iter().any(|mirror| mirror.temporary_prefix.is_some());
        if is_temporary { Self::BranchAndShared } else { Self::Shared }
    }
}

/// What keeps the outcome of a build where nothing can be downloaded.
const NO_MIRROR: &str = "\
# No environment names a mirror: what a pipeline builds is kept in a folder that GitLab caches, and the next one installs it.
# A mirror to read from stands in front of it, as in `- { name: develop, url: \"https://binaries.example.org/develop\" }`. Whoever
# can push to the branch can write the folder: where branches share it, add `signing-key:`.
mirrors:
  - { name: built, path: .larder/built, collect: true }
";

/// The same as an offer, where only some environments name a mirror.
const SOME_WITHOUT: &str = "\
# Not every environment names a mirror. This keeps what a pipeline builds for the next one, where the template's
# `caches` has `built` and the script says `larder run`:
# mirrors: [{ name: built, path: .larder/built, collect: true }]
";

/// The text of `larder.yaml`.
pub(super) fn configuration(
    root: &Path,
    environments: &[FoundEnvironment],
    mirrors: &[FoundMirror],
    source: Source,
) -> String {
    let mut out = "# Made by `larder init`. Every key is optional.\nenvironments:\n".to_owned();
    // Writing to a string can't fail.
    for environment in environments {
        let _ = writeln!(out, "  - {}", value(&relative(root, &environment.path)));
    }
    match (source, mirrors) {
        (Source::CommandLine, mirrors) => {
            out.push_str("mirrors:\n");
            for mirror in mirrors {
                // A variable in it is meant to be one in the file.
                let _ = writeln!(out, "  - {{ url: {}, signed: {} }}", json(&mirror.url), mirror.signed);
            }
        }
        (Source::Spack, []) if has_no_mirror(environments, mirrors) => out.push_str(NO_MIRROR),
        (Source::Spack, []) => out.push_str("# mirrors: [\"https://binaries.example.org/develop\"]\n"),
        (Source::Spack, mirrors) => {
            out.push_str("# Without `mirrors:`, those of Spack's own configuration are used:\n");
            for FoundMirror { name, url, .. } in mirrors {
                let _ = writeln!(out, "#   {} {}", comment(name), comment(url));
            }
            if environments.iter().any(|environment| environment.mirrors == EnvironmentMirrors::None) {
                out.push_str(SOME_WITHOUT);
            }
        }
    }
    out.push_str("caches:\n");
    out.push_str(&caches(mirrors));
    out
}

fn caches(mirrors: &[FoundMirror]) -> String {
    let mut prefixes: Vec<&str> = mirrors.iter().filter_map(|mirror| mirror.temporary_prefix.as_deref()).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    if Caches::of(mirrors) == Caches::Shared {
        return cache(SHARED, &[]);
    }
    let lasting: Vec<&str> =
        mirrors.iter().filter(|mirror| mirror.temporary_prefix.is_none()).map(|mirror| mirror.url.as_str()).collect();
    if lasting.iter().any(|url| prefixes.iter().any(|prefix| format!("{url}/").starts_with(prefix))) {
        // The first prefix that matches wins, and what the temporary ones have in common fits the others as well.
        return "  # For mirrors that are there for good.\n".to_owned()
            + &cache(SHARED, &lasting)
            + "  # For all other mirrors, those of one branch or merge request: what the lockfiles name.\n"
            + &cache(BRANCH, &[]);
    }
    "  # For mirrors of one branch or merge request: what the lockfiles name, and nothing else.\n".to_owned()
        + &cache(BRANCH, &prefixes)
        + "  # For all other mirrors.\n"
        + &cache(SHARED, &[])
}

/// A cache of the mirrors with these prefixes, or of all that are left.
fn cache((name, keys): (&str, &str), prefixes: &[&str]) -> String {
    let prefixes: Vec<_> = prefixes.iter().map(|prefix| value(prefix)).collect();
    let prefix = if prefixes.is_empty() { String::new() } else { format!("prefix: [{}], ", prefixes.join(", ")) };
    format!("  - {{ name: {name}, {prefix}{keys} }}\n")
}

/// A path as the configuration has it: from its folder, where it is below that.
pub(super) fn relative(root: &Path, path: &Path) -> String {
    match path.strip_prefix(root) {
        Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
        Ok(below) => below.to_string_lossy().into_owned(),
        Err(_) => path.to_string_lossy().into_owned(),
    }
}

/// A text as a value of `larder.yaml`, in which `${` would begin a variable.
fn value(text: &str) -> String {
    json(&text.replace("${", "$${"))
}

/// JSON texts are YAML as well.
pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text in a comment: it may not end the line.
pub(super) fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A word of a shell command.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "./_-+=@".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::init::environment::Origin;
    use crate::commands::init::git::LockfileState;
    use crate::config::{Config, Keep, KeepRules, LockfileBlobs};
    use crate::types::{MirrorUrl, Variables};

    fn load(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("larder.yaml"), text).unwrap();
        Config::load(None, folder.path(), &Variables::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn cache_of(config: &Config, url: &str) -> String {
        config.cache_for(&url.parse::<MirrorUrl>().unwrap()).unwrap().name.to_string()
    }

    fn written(mirrors: &[(&str, &str)], source: Source) -> String {
        let mirrors: Vec<_> = mirrors.iter().map(|(name, url)| FoundMirror::new(name, url, true)).collect();
        let environments = ["/p", "/p/envs/a ${X}: #b"].map(|path| FoundEnvironment {
            path: path.into(),
            origin: Origin::Repository,
            lockfile: LockfileState::Committed,
            lockfile_problem: None,
            mirrors: if mirrors.is_empty() { EnvironmentMirrors::None } else { EnvironmentMirrors::Named },
        });
        configuration(Path::new("/p"), &environments, &mirrors, source)
    }

    #[test]
    fn temporary_mirrors_get_a_cache_of_the_branch() {
        let text =
            written(&[("pr", "https://h.example/pr-17"), ("develop", "https://h.example/develop")], Source::Spack);
        insta::assert_snapshot!(text, @r##"
        # Made by `larder init`. Every key is optional.
        environments:
          - "."
          - "envs/a $${X}: #b"
        # Without `mirrors:`, those of Spack's own configuration are used:
        #   pr https://h.example/pr-17
        #   develop https://h.example/develop
        caches:
          # For mirrors of one branch or merge request: what the lockfiles name, and nothing else.
          - { name: branch, prefix: ["https://h.example/pr-"], path: .larder/branch, keep: lockfile }
          # For all other mirrors.
          - { name: shared, path: .larder/shared, keep: { max-age: 30d, max-size: 4GB, slack: 20% } }
        "##);
        let config = load(&text);
        let rules = KeepRules { lockfile: LockfileBlobs::Kept, ..KeepRules::default() };
        assert_eq!(config.caches[0].keep, Keep::Rules(rules));
        assert!(config.environments[1].ends_with("envs/a ${X}: #b"));
        assert_eq!(cache_of(&config, "https://h.example/pr-18"), "branch");
        assert_eq!(cache_of(&config, "https://h.example/develop"), "shared");
    }

    #[test]
    fn where_the_temporary_prefix_fits_all_mirrors_the_lasting_ones_come_first() {
        let text = written(
            &[("b", "https://h.example/${CI_COMMIT_REF_SLUG}"), ("develop", "https://h.example/develop")],
            Source::Spack,
        );
        let config = load(&text);
        assert_eq!(cache_of(&config, "https://h.example/topic"), "branch");
        assert_eq!(cache_of(&config, "https://h.example/develop"), "shared");
    }

    #[test]
    fn whatever_the_mirrors_are_the_file_is_read_again() {
        for source in [Source::Spack, Source::CommandLine] {
            for mirrors in [&[("develop\nx: y", "https://h.example/a")][..], &[("q", "https://h.example/a\"b'{c}%20")]]
            {
                let config = load(&written(mirrors, source));
                assert_eq!(config.mirrors.is_some(), source == Source::CommandLine);
                assert_eq!(config.caches.len(), 1);
            }
        }
        let without = load(&written(&[], Source::Spack));
        assert_eq!(without.mirrors, None, "those that Spack has where the job runs stay in force");
        assert_eq!(without.collect.unwrap().name, "built");
    }
}
