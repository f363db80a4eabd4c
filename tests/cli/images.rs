//! A fixture mirror as images, pushed the way Spack pushes them, and Debian's `docker-registry` to push them to.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::authority::Authority;
use crate::fixtures::{Mirror, sha256};
use crate::requirement::Requirement;

/// What a registry holds of one spec.
pub struct Image {
    pub tag: String,
    pub manifest: Vec<u8>,
    /// The layers, the binary last, and the configuration.
    pub blobs: Vec<Vec<u8>>,
}

/// The images of a v3 mirror, as `_oci_put_manifest` of Spack 1.1.0 makes them: the spec's JSON is the configuration, with
/// what makes it an image beside it, and the binaries of dependencies are layers, too.
pub fn images(mirror: Mirror) -> Vec<Image> {
    let binary = |name: &str| fs::read(mirror.folder().join(&mirror.published(name).blobs[0].path[1..])).unwrap();
    let dependency = binary("libbase");
    let image = |name: &&str| {
        let published = mirror.published(name);
        let packed = fs::read(mirror.folder().join(&published.blobs[1].path[1..])).unwrap();
        let mut spec = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut spec).unwrap();
        let mut config = json!({
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", "0".repeat(64))]},
            "config": {"Env": ["PATH=/bin:/usr/bin"]},
        });
        config
            .as_object_mut()
            .unwrap()
            .extend(serde_json::from_str::<Value>(&spec).unwrap().as_object().unwrap().clone());
        let blobs = vec![dependency.clone(), binary(name), config.to_string().into_bytes()];
        let describe = |blob: &Vec<u8>, media_type: &str| json!({"mediaType": media_type, "digest": digest(blob), "size": blob.len()});
        let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
        let manifest = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "schemaVersion": 2,
            "config": describe(&blobs[2], "application/vnd.oci.image.config.v1+json"),
            "layers": [describe(&blobs[0], layer), describe(&blobs[1], layer)],
        });
        Image { tag: tag(mirror, name), manifest: manifest.to_string().into_bytes(), blobs }
    };
    mirror.needed().iter().map(image).collect()
}

/// The images, with a large binary for `app`; and its digest.
pub fn images_with_a_large_one(mirror: Mirror, bytes: usize) -> (Vec<Image>, String) {
    // Bytes that differ from place to place, so that a stretch in a wrong place is noticed.
    let content: Vec<u8> = (0..bytes / 4).flat_map(|number| u32::try_from(number).unwrap().to_le_bytes()).collect();
    let mut images = images(mirror);
    let app = images.iter_mut().find(|image| image.tag.starts_with("app-")).unwrap();
    let mut manifest: Value = serde_json::from_slice(&app.manifest).unwrap();
    manifest["layers"][1]["digest"] = digest(&content).into();
    manifest["layers"][1]["size"] = content.len().into();
    app.manifest = manifest.to_string().into_bytes();
    let digest = sha256(&content);
    app.blobs[1] = content;
    (images, digest)
}

/// Have an image say when Spack pushed it, as `_oci_push` does.
pub fn pushed_at(image: &mut Image, time: jiff::Timestamp) {
    let mut config: Value = serde_json::from_slice(image.blobs.last().unwrap()).unwrap();
    config["archive_timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%S.250000+00:00").to_string().into();
    let config = config.to_string().into_bytes();
    let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["config"]["digest"] = digest(&config).into();
    manifest["config"]["size"] = config.len().into();
    image.manifest = manifest.to_string().into_bytes();
    *image.blobs.last_mut().unwrap() = config;
}

/// The tag under which Spack pushes this package.
pub fn tag(mirror: Mirror, name: &str) -> String {
    let file = mirror.published(name).metadata;
    format!("{}.spack", file.rsplit('/').next().unwrap().trim_end_matches(".spec.manifest.json"))
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

/// The images as files, at the paths of a registry's interface, for [`crate::server::Server`].
pub fn registry_folder(mirror: Mirror, repository: &str) -> TempDir {
    folder_of(images(mirror), repository)
}

/// These images as files, likewise.
pub fn folder_of(images: Vec<Image>, repository: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("v2").join(repository);
    fs::create_dir_all(below.join("manifests")).unwrap();
    fs::create_dir_all(below.join("blobs")).unwrap();
    for image in images {
        fs::write(below.join("manifests").join(image.tag), image.manifest).unwrap();
        for blob in image.blobs {
            fs::write(below.join("blobs").join(digest(&blob)), blob).unwrap();
        }
    }
    folder
}

/// `docker-registry`, ended when it is dropped.
pub struct DockerRegistry {
    child: Child,
    address: String,
    has_tls: bool,
    _folder: TempDir,
}

/// `me` and `gitlab-ci-token`, both with the password `hunter2-hunter2`; made by `htpasswd -nbB`.
const HTPASSWD: &str = "\
me:$2y$04$s/5rPl1eO.7XeMho8EniTusT2HshklNjveuSZxrmDZED5vhidcyZS
gitlab-ci-token:$2y$04$nQvlNWTQ9cInQNzsSznPfO/Npv0.Wee6FLWX80Gcg7ENjws3Y9uzS
";

impl DockerRegistry {
    /// Start it; `None` where this machine has none and none is required. With a password, it lets in two users.
    pub fn start(with_password: bool) -> Option<Self> {
        Self::start_with(with_password, true)
    }

    /// The same, and whether it deletes images.
    pub fn start_with(with_password: bool, deletes: bool) -> Option<Self> {
        Self::launch(with_password, deletes, None)
    }

    /// With a password, and TLS with a certificate of this authority.
    pub fn start_tls(authority: &Authority) -> Option<Self> {
        Self::launch(true, true, Some(authority))
    }

    fn launch(with_password: bool, deletes: bool, authority: Option<&Authority>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("htpasswd"), HTPASSWD).unwrap();
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", path("htpasswd"));
        let tls = authority.map(|authority| {
            let (certificate, key) = (path("certificate.pem"), path("key.pem"));
            authority.write_for_localhost(certificate.as_ref(), key.as_ref());
            format!(", tls: {{certificate: {certificate}, key: {key}}}")
        });
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: {deletes}}}}}\nhttp: {{addr: '127.0.0.1:0'{}}}\n{}",
            path("storage"),
            tls.as_deref().unwrap_or_default(),
            if with_password { &auth } else { "" }
        );
        fs::write(path("config.yml"), config).unwrap();
        let child = Command::new("docker-registry")
            .args(["serve", &path("config.yml")])
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let missing = |error| format!("can't start `docker-registry` (Debian's package of that name): {error}");
        let mut child = Requirement::DockerRegistry.met(child.map_err(missing))?;
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address: String = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "docker-registry ended before it listened");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
            }
        };
        // Somebody has to read what it says, or it would stop saying it.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        // That is the name in the certificate.
        let address = if tls.is_some() { address.replace("127.0.0.1", "localhost") } else { address };
        Some(Self { child, address, has_tls: tls.is_some(), _folder: folder })
    }

    pub fn host(&self) -> &str {
        &self.address
    }

    pub fn url(&self, repository: &str) -> String {
        let scheme = if self.has_tls { "oci" } else { "oci+http" };
        format!("{scheme}://{}/{repository}", self.address)
    }

    /// Push the images of a mirror, as `user` where the registry wants one.
    pub fn push(&self, repository: &str, images: &[Image], user: Option<(&str, &str)>) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = reqwest::Client::new();
        let base = format!("http://{}/v2/{repository}", self.address);
        let send = |request: reqwest::RequestBuilder| {
            let request = match user {
                Some((name, password)) => request.basic_auth(name, Some(password)),
                None => request,
            };
            let response = runtime.block_on(request.send()).unwrap();
            assert!(response.status().is_success(), "{response:?}");
            response
        };
        for image in images {
            for blob in &image.blobs {
                let begun = send(client.post(format!("{base}/blobs/uploads/")));
                let mut place: url::Url = begun.headers()["location"].to_str().unwrap().parse().unwrap();
                place.query_pairs_mut().append_pair("digest", &digest(blob));
                send(client.put(place).body(blob.clone()));
            }
            let put = client.put(format!("{base}/manifests/{}", image.tag)).body(image.manifest.clone());
            send(put.header("content-type", "application/vnd.oci.image.manifest.v1+json"));
        }
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
