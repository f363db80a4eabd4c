//! What larder proposes where no mirror is named: most environments name none, and then there is something to gain all the same.

use std::path::PathBuf;

/// What a run without mirrors says: it is no error, Spack builds everything, and larder can keep what it builds.
pub(crate) fn proposal(files: &[PathBuf]) -> String {
    let looked = match files {
        [] => "no configuration of Spack was found".to_owned(),
        files => {
            let names: Vec<_> = files.iter().map(|file| format!("`{}`", file.display())).collect();
            format!("Spack's configuration ({}) names none", names.join(", "))
        }
    };
    format!(
        "there is no mirror of binaries: Spack builds everything, in each pipeline again ({looked})\n\
         larder can keep what a pipeline builds. Add to larder.yaml one of:\n\
         \x20 mirrors: [{{ name: built, path: .larder/built, collect: true }}]\n\
         \x20 mirrors: [{{ name: built, url: \"oci://${{CI_REGISTRY_IMAGE}}/spack\", collect: true }}]\n\
         The first is a folder that GitLab caches for the branch, the second the project's own registry. In .gitlab-ci.yml, the job \
         that builds extends `.larder-collect`, or has:\n\
         \x20 after_script: [larder finish --collect]\n\
         A mirror that exists already is named with `--mirror URL`, or under `mirrors:` as well"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_mirrors_says_what_to_copy() {
        insta::assert_snapshot!(proposal(&["spack.yaml".into()]), @r#"
        there is no mirror of binaries: Spack builds everything, in each pipeline again (Spack's configuration (`spack.yaml`) names none)
        larder can keep what a pipeline builds. Add to larder.yaml one of:
          mirrors: [{ name: built, path: .larder/built, collect: true }]
          mirrors: [{ name: built, url: "oci://${CI_REGISTRY_IMAGE}/spack", collect: true }]
        The first is a folder that GitLab caches for the branch, the second the project's own registry. In .gitlab-ci.yml, the job that builds extends `.larder-collect`, or has:
          after_script: [larder finish --collect]
        A mirror that exists already is named with `--mirror URL`, or under `mirrors:` as well
        "#);
    }
}
