//! `larder-export.json`: larder's mark on an export, and what the folder holds, for the next run that adds to it.

use serde::{Deserialize, Serialize};

use crate::types::Signatures;

/// The version of the file.
const FORMAT: u64 = 1;

/// What an export holds, however many runs made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportRecord {
    version: u64,
    /// Its mirrors, in the order in which they are asked.
    pub mirrors: Vec<ExportedMirror>,
    /// Its environments: the names of their folders.
    pub environments: Vec<String>,
}

/// A mirror of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedMirror {
    /// Its name in configurations.
    pub name: String,
    /// Its folder.
    pub folder: String,
    /// Whether Spack is to insist on signatures.
    #[serde(rename = "signed")]
    pub signatures: Signatures,
}

impl Default for ExportRecord {
    fn default() -> Self {
        Self { version: FORMAT, mirrors: Vec::new(), environments: Vec::new() }
    }
}

impl ExportRecord {
    /// The mark's name.
    pub const FILE_NAME: &str = "larder-export.json";

    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if record.version != FORMAT {
            return Err(format!("it has format {}, and this larder knows format {FORMAT}", record.version));
        }
        // Names of folders, below which files are written: the mark came with the folder, from wherever it was.
        let folders = record.mirrors.iter().map(|mirror| &mirror.folder).chain(&record.environments);
        for name in folders {
            if crate::types::path_part(name) != *name {
                return Err(format!("`{}` is not the name of a folder", crate::types::shorten(name)));
            }
        }
        Ok(record)
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// The folder for specs that need signatures, or for those that need none; made known if there is none yet.
    ///
    /// The first kind gets `mirror/`, and a kind keeps its folder from run to run: `signed:` holds for a whole mirror.
    /// Signed ones are asked first.
    pub fn folder_for(&mut self, signatures: Signatures) -> String {
        if let Some(mirror) = self.mirrors.iter().find(|mirror| mirror.signatures == signatures) {
            return mirror.folder.clone();
        }
        let suffix = match (self.mirrors.is_empty(), signatures) {
            (true, _) => "",
            (false, Signatures::Required) => "-signed",
            (false, Signatures::NotRequired) => "-unsigned",
        };
        let (name, folder) = (format!("larder-export{suffix}"), format!("mirror{suffix}"));
        self.mirrors.push(ExportedMirror { name, folder: folder.clone(), signatures });
        self.mirrors.sort_by_key(|mirror| mirror.signatures);
        folder
    }

    /// Add the name of an environment.
    pub fn add_environment(&mut self, name: &str) {
        if !self.environments.iter().any(|known| known == name) {
            self.environments.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_mirror_keeps_its_folder_and_signed_ones_come_first() {
        let mut record = ExportRecord::default();
        assert_eq!(record.folder_for(Signatures::NotRequired), "mirror");
        assert_eq!(record.folder_for(Signatures::Required), "mirror-signed");
        assert_eq!(record.folder_for(Signatures::NotRequired), "mirror");
        assert_eq!(record.mirrors[0].signatures, Signatures::Required);
        let mut record = ExportRecord::default();
        assert_eq!(record.folder_for(Signatures::Required), "mirror");
        assert_eq!(record.folder_for(Signatures::NotRequired), "mirror-unsigned");
    }

    #[test]
    fn a_mark_that_leads_out_of_the_folder_is_refused() {
        let mut record = ExportRecord::default();
        record.add_environment("app");
        assert_eq!(ExportRecord::parse(&record.to_json()).unwrap(), record);
        record.add_environment("../app");
        assert!(ExportRecord::parse(&record.to_json()).is_err());
        assert!(ExportRecord::parse(br#"{"version": 2, "mirrors": [], "environments": []}"#).is_err());
    }
}
