//! Reports for the tests of this folder.

use crate::cli::console::{Console, Verbosity};
use crate::cli::palette::Palette;
use larder::report::{BlobReport, CacheReport, Report, SpecReport, Status};
use larder::types::{BlobRole, Request};
use larder::types::{DagHash, Sha256Digest};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

/// Progress of so many MiB.
pub(crate) fn mib(number: i64) -> i64 {
    number << 20
}

/// A console without a terminal.
pub(crate) fn console(palette: Palette) -> Console {
    Console { out: palette, err: palette, width: None, verbosity: Verbosity::Normal }
}

/// A hash that starts with `tag`.
pub(crate) fn hash(tag: &str) -> DagHash {
    format!("{tag:a<32}").parse().unwrap()
}

/// A digest of one repeated byte.
pub(crate) fn digest(byte: u8) -> Sha256Digest {
    Sha256Digest::from_bytes([byte; 32])
}

/// A spec whose hash starts with its name's letters.
pub(crate) fn spec(name: &str, version: &str, status: Status, bytes: Option<u64>) -> SpecReport {
    let letters: String = name.chars().filter(char::is_ascii_lowercase).collect();
    let from_mirror = matches!(status, Status::Cached | Status::Fetch | Status::Fetched);
    SpecReport {
        name: name.parse().unwrap(),
        version: version.parse().unwrap(),
        hash: hash(&letters),
        build_spec: None,
        status,
        reason: None,
        mirror: from_mirror.then(|| "develop".to_owned()),
        groups: Vec::new(),
        collected: false,
        cache: from_mirror.then(|| "shared".to_owned()),
        digest: from_mirror.then(|| digest(1)),
        bytes,
    }
}

/// A cache of the report.
pub(crate) fn cache(name: &str, blobs: u64, bytes: u64) -> CacheReport {
    CacheReport { name: name.to_owned(), path: format!(".larder/{name}"), blobs, bytes, ..CacheReport::default() }
}

/// A blob that answers a request for the spec of that name.
pub(crate) fn blob(byte: u8, name: &str, role: BlobRole, bytes: u64, last_used: &str) -> BlobReport {
    let request = Request {
        name: name.parse().unwrap(),
        version: "1.2".parse().unwrap(),
        hash: hash(name),
        mirror: "https://binaries.example.org/develop".to_owned(),
        role,
    };
    BlobReport {
        digest: digest(byte),
        bytes,
        intact: None,
        last_used: last_used.parse().unwrap(),
        requests: vec![request],
        indexes: Vec::new(),
    }
}

/// What `prepare` says on a cache that holds most of what is needed.
pub(crate) fn prepared() -> Report {
    let mut report = Report::new("prepare");
    report.specs = vec![
        spec("app", "2.0", Status::Fetched, Some(60 * MIB)),
        spec("glibc", "2.36", Status::External, None),
        spec("hdf", "1.14.3", Status::Cached, Some(GIB)),
        spec("libbase", "1.0", Status::Cached, Some(900 * MIB)),
        spec("mpich", "4.2", Status::Installed, None),
        spec("perl", "5.38", Status::External, None),
        spec("py-tool", "0.4", Status::Fetched, Some(40 * MIB)),
        spec("zlib", "1.3", Status::Cached, Some(24 * MIB)),
    ];
    report.caches = vec![cache("shared", 10, 2 * GIB)];
    report.totals.bytes_needed = 2 * GIB;
    report.totals.bytes_reused = 2 * GIB - 100 * MIB;
    report.totals.bytes_fetched = 100 * MIB;
    report.totals.metadata_bytes = 28_774;
    report.totals.requests = 31;
    report.totals.seconds = 4.21;
    report
}
