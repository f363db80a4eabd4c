//! Writes a large mirror for measurements: real metadata, made-up binaries.
//!
//!     cargo run --release --example make_mirror -- LOCKFILE FOLDER SIZE_IN_MIB [v3|v2]
//!
//! Every spec of the lockfile that is not external gets a binary of bytes that do not compress, always the same for the
//! same lockfile and size. Sizes are spread as in real environments: a spec that needs many others is large, most are
//! small. Bytes go to the disk as they are made, so that a mirror of any size needs little memory.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a tool of developers")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

type Specs = BTreeMap<String, Value>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [lockfile, folder, mebibytes, layout @ ..] = arguments.as_slice() else {
        panic!("usage: make_mirror LOCKFILE FOLDER SIZE_IN_MIB [v3|v2]");
    };
    let lockfile: Value = serde_json::from_slice(&fs::read(lockfile).expect("a lockfile")).expect("JSON");
    let specs: Specs = serde_json::from_value(lockfile["concrete_specs"].clone()).expect("concrete_specs");
    let total = mebibytes.parse::<u64>().expect("a number of MiB") << 20;
    let folder = Path::new(folder);
    let is_v2 = layout.first().is_some_and(|layout| layout == "v2");

    let mut written = 0;
    let sizes = sizes(&specs, total);
    for (seed, (hash, size)) in (1..).zip(&sizes) {
        let binary = Blob::write(folder, |out| write_noise(out, seed, *size));
        if is_v2 {
            publish_v2(folder, &specs, hash, binary);
        } else {
            publish_v3(folder, &specs, hash, &binary);
        }
        written += size;
    }
    if !is_v2 {
        write(&folder.join("v3/layout.json"), br#"{"signing":"gpg"}"#);
    }
    println!("{} binaries, {} MiB", sizes.len(), written >> 20);
}

/// What each spec's binary weighs: the n-th largest has a share of 1/n^1.2, the largest is what needs most others.
fn sizes(specs: &Specs, total: u64) -> BTreeMap<String, u64> {
    let mut order: Vec<_> = specs
        .iter()
        .filter(|(_, spec)| spec["external"].is_null())
        .map(|(hash, _)| (std::cmp::Reverse(closure(specs, hash).len()), hash))
        .collect();
    order.sort();
    let share = |rank: usize| 1.0 / f64::from(u32::try_from(rank + 1).unwrap()).powf(1.2);
    let sum: f64 = (0..order.len()).map(share).sum();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let size = |rank| (total as f64 * share(rank) / sum) as u64;
    order.into_iter().enumerate().map(|(rank, (_, hash))| (hash.clone(), size(rank).max(1000))).collect()
}

/// A spec and its link and run dependencies, in the order in which Spack writes them.
fn closure(specs: &Specs, hash: &str) -> Vec<String> {
    let (mut found, mut seen) = (vec![hash.to_owned()], BTreeSet::from([hash.to_owned()]));
    let mut next = 0;
    while next < found.len() {
        let dependencies = specs[&found[next]]["dependencies"].as_array().cloned().unwrap_or_default();
        for dependency in dependencies {
            let types = dependency["parameters"]["deptypes"].as_array().or(dependency["type"].as_array());
            let runs = types.is_some_and(|types| types.iter().any(|kind| kind == "link" || kind == "run"));
            let hash = dependency["hash"].as_str().unwrap().to_owned();
            if runs && seen.insert(hash.clone()) {
                found.push(hash);
            }
        }
        next += 1;
    }
    found
}

fn spec_document(specs: &Specs, hash: &str, layout: u32) -> Value {
    let nodes: Vec<&Value> = closure(specs, hash).iter().map(|hash| &specs[hash]).collect();
    json!({ "spec": { "_meta": { "version": 5 }, "nodes": nodes }, "buildcache_layout_version": layout })
}

/// A file below `blobs/`, named by its digest.
struct Blob {
    digest: String,
    size: u64,
    path: PathBuf,
}

impl Blob {
    fn write(folder: &Path, fill: impl FnOnce(&mut Hashing)) -> Self {
        fs::create_dir_all(folder).unwrap();
        let temporary = folder.join("unfinished");
        let mut out = Hashing { file: File::create(&temporary).unwrap(), hasher: Sha256::new(), size: 0 };
        fill(&mut out);
        let digest = larder::types::Sha256Digest::from_bytes(out.hasher.finalize().into()).to_string();
        let path = folder.join("blobs/sha256").join(&digest[..2]).join(&digest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::rename(temporary, &path).unwrap();
        Self { digest, size: out.size, path }
    }

    fn record(&self, media_type: &str) -> Value {
        json!({
            "contentLength": self.size,
            "mediaType": media_type,
            "compression": "gzip",
            "checksumAlgorithm": "sha256",
            "checksum": self.digest,
        })
    }
}

struct Hashing {
    file: File,
    hasher: Sha256,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Bytes that no compression makes smaller: the generator is `splitmix64`.
fn write_noise(out: &mut Hashing, seed: u64, size: u64) {
    let mut state = seed << 32;
    let mut piece = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        for word in piece.chunks_exact_mut(8) {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut value = state;
            value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word.copy_from_slice(&(value ^ (value >> 31)).to_le_bytes());
        }
        let length = left.min(piece.len() as u64);
        out.write_all(&piece[..usize::try_from(length).unwrap()]).unwrap();
        left -= length;
    }
}

fn publish_v3(folder: &Path, specs: &Specs, hash: &str, binary: &Blob) {
    let spec = Blob::write(folder, |out| {
        let mut gzip = GzEncoder::new(out, Compression::default());
        serde_json::to_writer(&mut gzip, &spec_document(specs, hash, 3)).unwrap();
        gzip.finish().unwrap();
    });
    let records =
        [binary.record("application/vnd.spack.install.v2.tar+gzip"), spec.record("application/vnd.spack.spec.v5+json")];
    let manifest = json!({ "version": 3, "data": records });
    let (name, version) = (text(&specs[hash]["name"]), part(text(&specs[hash]["version"])));
    let file = format!("v3/manifests/spec/{name}/{name}-{version}-{hash}.spec.manifest.json");
    write(&folder.join(file), &serde_json::to_vec_pretty(&manifest).unwrap());
}

fn publish_v2(folder: &Path, specs: &Specs, hash: &str, binary: Blob) {
    let spec = &specs[hash];
    let (name, version) = (text(&spec["name"]), part(text(&spec["version"])));
    let arch = &spec["arch"];
    let target = arch["target"].as_str().unwrap_or_else(|| text(&arch["target"]["name"]));
    let arch = format!("{}-{}-{target}", text(&arch["platform"]), text(&arch["platform_os"]));
    let (compiler, compiler_version) = compiler(specs, spec);
    let stem = format!("{arch}-{compiler}-{compiler_version}-{name}-{version}-{hash}");
    let mut document = spec_document(specs, hash, 2);
    document["binary_cache_checksum"] = json!({ "hash_algorithm": "sha256", "hash": binary.digest });
    let folder = folder.join("build_cache");
    write(&folder.join(format!("{stem}.spec.json")), &serde_json::to_vec(&document).unwrap());
    let place = folder.join(format!("{arch}/{compiler}-{compiler_version}/{name}-{version}"));
    fs::create_dir_all(&place).unwrap();
    fs::rename(binary.path, place.join(format!("{stem}.spack"))).unwrap();
}

/// As Spack names it: an older format's compiler, else the dependency that provides the first language.
fn compiler(specs: &Specs, spec: &Value) -> (String, String) {
    if let (Some(name), Some(version)) = (spec["compiler"]["name"].as_str(), spec["compiler"]["version"].as_str()) {
        return (name.to_owned(), version.to_owned());
    }
    if let Some((name, version)) = spec["annotations"]["compiler"].as_str().and_then(|text| text.split_once('@')) {
        return (name.to_owned(), part(version.trim_start_matches('=')));
    }
    let dependencies = spec["dependencies"].as_array().cloned().unwrap_or_default();
    for language in ["c", "cxx", "fortran"] {
        let provides = |dependency: &&Value| {
            let virtuals = dependency["parameters"]["virtuals"].as_array();
            virtuals.is_some_and(|virtuals| virtuals.iter().any(|name| name == language))
        };
        if let Some(found) = dependencies.iter().find(provides) {
            let found = &specs[text(&found["hash"])];
            return (text(&found["name"]).to_owned(), part(text(&found["version"])));
        }
    }
    ("none".to_owned(), "none".to_owned())
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn part(text: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '.' | '-');
    text.chars().map(|c| if keep(c) { c } else { '_' }).collect()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
