//! A real S3 server on this machine, which is not ours: `s3s` checks signatures and clocks, `s3s-fs` keeps objects in a folder.
//!
//! What real stores do and these crates leave out is added at the door: a bucket that does not exist is named as such, and a
//! test can have any request refused with any code.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::path::S3Path;
use s3s::service::S3ServiceBuilder;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::fixtures::copy_folder;

/// The only key that the server knows.
pub const KEY_ID: &str = "LARDERTESTKEY";
/// Its secret, which nothing may print.
pub const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-larder-secret";

type Refusal = (S3ErrorCode, Box<dyn Fn(&str, &str) -> bool + Send>);

/// Who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Everybody who signs with the key.
    Known,
    /// Anybody.
    Anybody,
}

#[derive(Default)]
struct Shared {
    root: PathBuf,
    refusals: Mutex<Vec<Refusal>>,
    /// `Operation key`, in their order.
    log: Mutex<Vec<String>>,
}

/// The server. It ends when it is dropped, with its buckets.
pub struct S3Server {
    runtime: Option<Runtime>,
    address: SocketAddr,
    shared: Arc<Shared>,
    _scratch: TempDir,
}

struct Keys;

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, id: &str) -> S3Result<SecretKey> {
        if id == KEY_ID { Ok(SECRET.into()) } else { Err(s3_error!(InvalidAccessKeyId)) }
    }
}

struct Door {
    shared: Arc<Shared>,
    readers: Readers,
}

#[async_trait::async_trait]
impl S3Access for Door {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let (operation, path) = (cx.s3_op().name(), cx.s3_path());
        let (bucket, key) = match path {
            S3Path::Object { bucket, key } => (&**bucket, &**key),
            S3Path::Bucket { bucket } => (&**bucket, ""),
            S3Path::Root => ("", ""),
        };
        self.shared.log.lock().unwrap().push(format!("{operation} {key}"));
        if cx.credentials().is_none() && self.readers == Readers::Known {
            return Err(s3_error!(AccessDenied));
        }
        if !self.shared.root.join(bucket).is_dir() {
            return Err(s3_error!(NoSuchBucket));
        }
        for (code, applies) in self.shared.refusals.lock().unwrap().iter() {
            if applies(operation, key) {
                return Err(S3Error::new(code.clone()));
            }
        }
        Ok(())
    }
}

impl S3Server {
    /// A server with an empty bucket `binaries`.
    pub fn start(readers: Readers) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        fs::create_dir(root.join("binaries")).unwrap();
        let shared = Arc::new(Shared { root: root.clone(), ..Shared::default() });
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&root).unwrap());
        builder.set_auth(Keys);
        builder.set_access(Door { shared: Arc::clone(&shared), readers });
        let service = builder.build();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { runtime: Some(runtime), address, shared, _scratch: scratch }
    }

    /// A server whose bucket holds a mirror at `prefix`.
    pub fn with_mirror(readers: Readers, mirror: &Path, prefix: &str) -> Self {
        let server = Self::start(readers);
        copy_folder(mirror, &server.object(prefix));
        server
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The file of an object of the bucket.
    pub fn object(&self, key: &str) -> PathBuf {
        self.shared.root.join("binaries").join(key)
    }

    /// Refuse what `applies` to, given the operation and the key, with this code.
    pub fn refuse(&self, code: S3ErrorCode, applies: impl Fn(&str, &str) -> bool + Send + 'static) {
        self.shared.refusals.lock().unwrap().push((code, Box::new(applies)));
    }

    /// `Operation key` of every request whose signature was right, or that had none.
    pub fn log(&self) -> Vec<String> {
        self.shared.log.lock().unwrap().clone()
    }

    /// The variables of somebody who may do everything.
    pub fn variables(&self) -> Vec<(String, String)> {
        let pairs = [("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_REGION", "us-east-1")];
        let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        pairs.chain([("AWS_ENDPOINT_URL".to_owned(), self.endpoint())]).collect()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}
