//! `larder export`: environments and their binaries for a site without a network.

use std::path::PathBuf;

use clap::Args;
use larder::commands;
use larder::report::ExportReport;

use crate::cli::invocation::{Invocation, block_on};
use crate::cli::needed;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::printable::printable;
use crate::cli::selection::SelectionOptions;
use crate::cli::units::{size, sized};

/// Write the environments and their binaries to a folder for a site without a network
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Without `--build-deps`, and where larder.yaml says nothing, all build dependencies go along, as a plain `spack install` wants them. \
The folder has a README.txt for the other site.

Examples:
  larder export /mnt/stick/app
  larder export out -e envs/app -e envs/docs --require-all
  larder export out --spec app --build-deps none")]
pub(crate) struct ExportArgs {
    /// The folder: a new or empty one, or an earlier export, to which what is missing is added
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    selection: SelectionOptions,
}

impl ExportArgs {
    pub(super) fn run(&self, invocation: &Invocation<'_>) -> Result<Outcome, Failure> {
        let session = invocation.stoppable_session()?;
        let folder = invocation.here.join(&self.folder);
        let report = block_on(commands::export(&session, &self.selection.wanted(), &folder))?;
        let exported = report.export.as_ref().map(exported).unwrap_or_default();
        invocation.show_remarks(&report, &(needed::summary(&report, invocation.console.err) + &exported))?;
        Ok(self.selection.outcome(&report))
    }
}

/// What the folder holds.
fn exported(export: &ExportReport) -> String {
    let added = match export.added {
        0 => "all of them from before".to_owned(),
        added => format!("{added} of them new ({})", size(export.added_bytes)),
    };
    let holds = format!("`{}` holds {}, {added}\n", printable(&export.path), sized(export.blobs, "blob", export.bytes));
    let key = |key: &String| format!("with the public key {}\n", printable(key));
    let keys: String = export.keys.iter().map(key).collect();
    holds + &keys + "README.txt in it says how to install from it\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::samples::{GIB, MIB};

    #[test]
    fn an_export_says_what_it_holds_and_what_is_new() {
        let mut export = ExportReport {
            path: "/mnt/stick\u{7}".to_owned(),
            environments: vec!["app".to_owned()],
            blobs: 12,
            bytes: GIB,
            added: 3,
            added_bytes: 20 * MIB,
            keys: vec!["ABCD 1234".to_owned()],
        };
        insta::assert_snapshot!(exported(&export), @r"
        `/mnt/stick\u{7}` holds 12 blobs (1.0 GiB), 3 of them new (20.0 MiB)
        with the public key ABCD 1234
        README.txt in it says how to install from it
        ");
        export.added = 0;
        assert!(exported(&export).contains("holds 12 blobs (1.0 GiB), all of them from before\n"));
    }
}
