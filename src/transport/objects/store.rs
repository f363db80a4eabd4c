//! The buckets of a run, and how each is reached: made when first needed, one for every bucket and way of access.
//!
//! Where no credentials are named, the metadata service of the machine is asked, for a second at most; where there is none,
//! requests go without a signature, which is how public buckets are read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::TryFutureExt as _;
use object_store::path::Path;
use object_store::{CredentialProvider, ObjectStore, Result as Answer, RetryConfig};
use tokio::sync::OnceCell;
use url::Url;

use super::client::{Connection, METADATA_PATIENCE};
use super::error::{Cause, WithoutTls};
use super::refusal::{Meaning, Refusal};
use super::settings::{Identity, Problem, Settings, Target};
use super::{azure, google, s3};
use crate::transport::body::{within_idle, within_total};
use crate::transport::causes::find;
use crate::transport::error::{Result, TransportError};
use crate::transport::limits::NetworkSettings;
use crate::transport::location::Location;
use crate::transport::retry::retry;
use crate::types::{PublicUrl, Variables};

/// All object stores of a run.
#[derive(Debug)]
pub(in crate::transport) struct Objects {
    pub(super) settings: NetworkSettings,
    variables: Variables,
    connection: OnceCell<Connection>,
    /// By bucket and access.
    buckets: Mutex<HashMap<Location, Arc<Bucket>>>,
}

/// A bucket, and one way of access to it.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Where it is, if the store said that it is elsewhere than where it was asked for.
    region: Option<String>,
    store: OnceCell<Store>,
    /// Whether the log says already that it denies something to requests without a signature.
    has_warned: AtomicBool,
}

/// A store that is ready for requests.
#[derive(Debug)]
struct Store {
    objects: Arc<dyn ObjectStore>,
    /// `None` where requests go without a signature.
    credentials: Option<Box<dyn Credentials>>,
}

/// Gets credentials before a request needs them, so that their errors are not taken for the store's. They are kept until they
/// expire.
#[async_trait::async_trait]
trait Credentials: std::fmt::Debug + Send + Sync {
    async fn get(&self) -> Answer<()>;
}

#[async_trait::async_trait]
impl<C: Send + Sync + 'static> Credentials for Arc<dyn CredentialProvider<Credential = C>> {
    async fn get(&self) -> Answer<()> {
        self.get_credential().await.map(drop)
    }
}

impl Objects {
    pub(in crate::transport) fn new(settings: &NetworkSettings, variables: &Variables) -> Self {
        let (connection, buckets) = Default::default();
        Self { settings: settings.clone(), variables: variables.clone(), connection, buckets }
    }

    /// Ask the store of a bucket. Where it says that the bucket is in another region than the one that was asked, ask there
    /// from now on, as Amazon's own tools do.
    pub(super) async fn ask<T, F: Future<Output = Result<T>>>(
        &self,
        at: &Location,
        request: impl Fn(Arc<dyn ObjectStore>, Path) -> F,
    ) -> Result<T> {
        let path = Path::from_url_path(at.url.path())
            .map_err(|error| unusable(at, Problem::new(error.to_string(), "the prefix must be a plain path")))?;
        let bucket = self.bucket(at);
        match request(self.ready(&bucket, at).await?, path.clone()).await {
            Err(error) if self.learn_region(at, &bucket, &error) => {
                request(self.ready(&self.bucket(at), at).await?, path).await
            }
            result => result,
        }
    }

    /// Ask the store of a bucket, and again where that may help.
    pub(super) async fn retried<T, F: Future<Output = Result<T>>>(
        &self,
        at: &Location,
        request: impl Fn(Arc<dyn ObjectStore>, Path) -> F,
    ) -> Result<T> {
        retry(&self.settings, || self.ask(at, &request)).await
    }

    /// A request whose answer begins soon or never.
    pub(super) async fn answer<T>(&self, at: &Location, request: impl Future<Output = Answer<T>>) -> Result<T> {
        within_idle(&self.settings, &at.url, request).await?.map_err(|error| trouble(at, error))
    }

    /// A request that takes as long as the line does.
    pub(super) async fn transfer<T>(&self, at: &Location, request: impl Future<Output = Answer<T>>) -> Result<T> {
        within_total(self.settings.total_timeout, &at.url, request.map_err(|error| trouble(at, error))).await
    }

    async fn ready(&self, bucket: &Bucket, at: &Location) -> Result<Arc<dyn ObjectStore>> {
        let store = bucket.store.get_or_try_init(|| self.make(bucket, at)).await?;
        if let Some(credentials) = &store.credentials {
            self.answer(at, credentials.get()).await.map_err(|error| match error {
                TransportError::Refused { url, refusal } => TransportError::NoCredentials { url, refusal },
                error => error,
            })?;
        }
        Ok(Arc::clone(&store.objects))
    }

    pub(super) fn bucket(&self, at: &Location) -> Arc<Bucket> {
        Arc::clone(self.buckets().entry(at.with_path("")).or_default())
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<Location, Arc<Bucket>>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn_region(&self, at: &Location, asked: &Arc<Bucket>, error: &TransportError) -> bool {
        let region = error.refusal().and_then(|refusal| refusal.region.clone());
        if region.is_none() || region == asked.region {
            return false;
        }
        // Many requests learn it at once; the first makes room for another store.
        if let Some(known) = self.buckets().get_mut(&at.with_path("")).filter(|known| Arc::ptr_eq(known, asked)) {
            tracing::debug!("`{}` is in region {}", at.server(), region.as_deref().unwrap_or_default());
            *known = Arc::new(Bucket { region, ..Bucket::default() });
        }
        true
    }

    async fn make(&self, bucket: &Bucket, at: &Location) -> Result<Store> {
        let target = Target { bucket: bucket_name(&at.url), access: &at.access, variables: &self.variables };
        let connect = async || Connection::new(&self.settings, &self.variables);
        let connection = self.connection.get_or_try_init(connect).await;
        let connection = connection.map_err(|source| TransportError::Setup { source })?.allowing(at.plain_http);
        // What the library makes of settings. Its texts name keys and files, not values.
        let unbuildable = |error: object_store::Error| {
            let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            unusable(at, Problem::new(reason, "docs/object-stores.md lists the variables and files that count"))
        };
        // The three are alike but in their types.
        macro_rules! store {
            ($settings:expr) => {{
                let Settings { builder, endpoint, identity } = $settings.map_err(|problem| unusable(at, problem))?;
                endpoint.map_or(Ok(()), |endpoint| check_endpoint(&endpoint, at))?;
                // Repeating is [`retry`]'s: its pauses are those of the configuration.
                let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
                let builder = builder.with_retry(retry).with_http_connector(connection);
                if identity != Identity::Anonymous {
                    let store = builder.clone().build().map_err(unbuildable)?;
                    let credentials = Arc::clone(store.credentials());
                    let probe = async || tokio::time::timeout(METADATA_PATIENCE, credentials.get_credential()).await;
                    if identity == Identity::Named || matches!(probe().await, Ok(Ok(_))) {
                        return Ok(Store { objects: Arc::new(store), credentials: Some(Box::new(credentials)) });
                    }
                }
                Arc::new(builder.with_skip_signature(true).build().map_err(unbuildable)?)
            }};
        }
        let objects: Arc<dyn ObjectStore> = match at.url.scheme() {
            "gs" => store!(google::settings(&target)),
            "az" => store!(azure::settings(&target)),
            _ => store!(s3::settings(&target, bucket.region.as_deref())),
        };
        tracing::info!("no credentials for `{}`: asking without", at.server());
        Ok(Store { objects, credentials: None })
    }
}

impl Bucket {
    /// A public bucket denies what it does not have, and a private one denies everything: the log tells which it may be.
    pub(super) fn warn_of_denial(&self, at: &Location) {
        let is_anonymous = self.store.get().is_some_and(|store| store.credentials.is_none());
        if is_anonymous && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "`{}` denies `{}` to requests without credentials, and none were found: taken for \"does not have it\"",
                at.server(),
                at.url.path()
            );
        }
    }
}

fn bucket_name(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// An endpoint without TLS is refused before anything is sent there, a request for credentials included.
fn check_endpoint(endpoint: &str, at: &Location) -> Result<()> {
    let is_web = |parsed: &Url| matches!(parsed.scheme(), "https" | "http") && parsed.has_host();
    match endpoint.parse().ok().filter(is_web) {
        Some(parsed) if at.plain_http.allows(&parsed) => Ok(()),
        Some(parsed) => {
            let endpoint = PublicUrl::from(&parsed).to_string();
            Err(TransportError::InsecureEndpoint { url: at.public(), endpoint })
        }
        None => {
            let hint = "an endpoint is an address such as `https://s3.example.org`";
            Err(unusable(at, Problem::new("its endpoint is not a URL", hint)))
        }
    }
}

fn unusable(at: &Location, Problem { reason, hint }: Problem) -> TransportError {
    TransportError::UnusableStore { url: at.public(), reason, hint }
}

/// Our error in one of `object_store`'s, which wraps it. The bucket is named where it is the bucket that is missing.
pub(super) fn trouble(at: &Location, error: object_store::Error) -> TransportError {
    let url = at.public();
    match (find::<Refusal>(&error), find::<WithoutTls>(&error)) {
        (Some(refusal), _) if refusal.meaning() == Meaning::NoBucket => {
            TransportError::NoBucket { url, bucket: bucket_name(&at.url).to_owned() }
        }
        (Some(refusal), _) => TransportError::Refused { url, refusal: refusal.clone() },
        (_, Some(WithoutTls(endpoint))) => TransportError::InsecureEndpoint { url, endpoint: endpoint.clone() },
        (None, None) => TransportError::Unreachable { url, source: Cause(error) },
    }
}
