//! The files that an environment's lockfile is made from, as far as they come with the environment.

use std::path::{Path, PathBuf};

use super::error::Result;
use super::include::Includer;
use super::instance::Instance;
use super::scope::{Form, Generation, Scope, absolute};
use super::stack::Stack;
use super::substitute::Substitution;
use crate::types::Variables;

/// `spack.yaml` and whatever it includes that is on this machine; the scopes of the user, the site and the system do not count.
/// Where the includes can't be followed, `spack.yaml` alone: what is wrong is told when mirrors are looked for.
pub fn inputs(environment: &Path, vars: &Variables, home: Option<&Path>, job_folder: &Path) -> Vec<PathBuf> {
    let manifest = environment.join("spack.yaml");
    let mut files = vec![manifest.clone()];
    for scope in scopes(environment, vars, home, job_folder).unwrap_or_default() {
        match scope.form {
            Form::Folder => {
                let entries = crate::fs::entries(&crate::fs::without_links(&scope.path)).unwrap_or_default();
                files.extend(entries.into_iter().filter(|file| file.extension().is_some_and(|end| end == "yaml")));
            }
            Form::File => files.push(scope.path),
            Form::Manifest => {}
        }
    }
    files.sort();
    files.dedup();
    files
}

fn scopes(environment: &Path, vars: &Variables, home: Option<&Path>, job_folder: &Path) -> Result<Vec<Scope>> {
    let (environment, job_folder) = (absolute(environment)?, absolute(job_folder)?);
    let instance = Instance::find(vars);
    let generation = instance.as_ref().map_or(Generation::Unknown, |instance| instance.generation);
    let (spack, short_version) = instance.map(|instance| (instance.root, instance.short_version)).unzip();
    let (home, short_version) = (home.map(Path::to_owned), short_version.flatten());
    let substitution = Substitution { variables: vars.clone(), home, spack, short_version, environment: None };
    let mut below = Stack::new(Includer { generation, substitution, job_folder: &job_folder, notes: Vec::new() });
    let path = environment.join("spack.yaml");
    below.push(Scope { name: "env".to_owned(), path, form: Form::Manifest, permanent: false }, 0)?;
    Ok(below.scopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_made_from_its_own_file_and_from_what_that_includes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("env/spack.yaml", "spack:\n  include: [../site, more.yaml]\n  specs: [app]\n");
        write("env/more.yaml", "packages: {}\n");
        write("env/other.yaml", "packages: {}\n");
        write("site/packages.yaml", "packages: {}\n");
        write("site/README.md", "");
        let found = || inputs(&root.join("env"), &Variables::default(), None, &root.join(".larder/job"));
        let names = |files: Vec<PathBuf>| -> Vec<String> {
            files.iter().map(|file| file.strip_prefix(&root).unwrap().display().to_string()).collect()
        };
        assert_eq!(names(found()), ["env/more.yaml", "env/spack.yaml", "site/packages.yaml"]);
        std::fs::remove_file(root.join("env/more.yaml")).unwrap();
        assert_eq!(names(found()), ["env/spack.yaml"], "a broken include is for others to tell");
    }
}
