//! Object stores: `s3://`, `gs://` and `az://`, through the crate `object_store`.
//!
//! There is one store per bucket and way of access, made when first needed. Repeating is left to [`super::retry`], like that
//! of every other transport. "Does not have it" is only what a store clearly says of a key: a bucket that does not exist,
//! credentials that are wrong and a store that can't be reached are errors.
//!
//! Where nothing says who we are, the metadata service of the machine is asked, for a second at most; where there is none,
//! requests go without a signature, which is how public buckets are read.

mod azure;
mod client;
pub(super) mod error;
mod google;
mod profile;
mod refusal;
mod s3;
mod write;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Attribute, CredentialProvider, GetOptions, GetRange, ObjectStore, RetryConfig};
use tokio::sync::OnceCell;
use url::Url;

pub use error::ObjectError;
pub use refusal::Refusal;
pub use write::{Listed, UploadError, Written};

use self::client::{Clients, METADATA_PATIENCE};
use self::error::{About, find};
use self::profile::ProfileProblem;
use self::refusal::Meaning;
use super::body::{Body, Extent, Part, Tag, within_idle};
use super::error::TransportError;
use super::limits::NetworkSettings;
use super::location::Location;
use super::location::public;
use crate::types::{Access, PlainHttp, PublicUrl, Variables, is_loopback};

/// All object stores of a run.
#[derive(Debug)]
pub(super) struct Objects {
    settings: NetworkSettings,
    variables: Variables,
    clients: Clients,
    stores: Mutex<Vec<(Key, Arc<OnceCell<Store>>)>>,
    /// In which region a bucket turned out to be.
    regions: Mutex<HashMap<String, String>>,
}

/// What tells one store from another.
#[derive(Clone, PartialEq)]
struct Key {
    scheme: String,
    bucket: String,
    access: Arc<Access>,
    plain_http: PlainHttp,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.bucket)
    }
}

/// A place in the world of buckets, and what is known of how to get there.
#[derive(Debug)]
struct Place<'a> {
    bucket: &'a str,
    access: &'a Access,
    variables: &'a Variables,
}

impl Place<'_> {
    /// The value of a variable that says something.
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// Whether requests are to go without a signature: `AWS_SKIP_SIGNATURE` and its like.
    fn is_anonymous(&self, prefix: &str) -> bool {
        let value = self.variable(&format!("{prefix}_SKIP_SIGNATURE"));
        value.is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes"))
    }
}

/// A store that is ready for requests.
struct Store {
    objects: Arc<dyn ObjectStore>,
    credentials: Option<Box<dyn Credentials>>,
    /// Whether somebody was told that a store without signatures denies something.
    has_warned: AtomicBool,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.objects.fmt(f)
    }
}

/// Gets credentials, so that what goes wrong with that is told from what the store says. They are kept until they expire.
#[async_trait::async_trait]
trait Credentials: Send + Sync {
    async fn get(&self) -> object_store::Result<()>;
}

#[async_trait::async_trait]
impl<C: Send + Sync + 'static> Credentials for Arc<dyn CredentialProvider<Credential = C>> {
    async fn get(&self) -> object_store::Result<()> {
        self.get_credential().await.map(drop)
    }
}

/// Repeating is [`super::retry`]'s: its pauses are those of the configuration.
fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

impl Objects {
    pub(super) fn new(settings: &NetworkSettings, variables: &Variables) -> Self {
        Self {
            settings: settings.clone(),
            variables: variables.clone(),
            clients: Clients::default(),
            stores: Mutex::default(),
            regions: Mutex::default(),
        }
    }

    /// An object, or `None` where the store says that there is no such object.
    pub(super) async fn open(&self, at: &Location, part: Option<&Part>) -> Result<Option<Body>, TransportError> {
        let region = self.region(&at.url);
        match self.open_once(at, part).await {
            Err(error) if self.learn_region(at, region.as_deref(), &error) => self.open_once(at, part).await,
            result => result,
        }
    }

    async fn open_once(&self, at: &Location, part: Option<&Part>) -> Result<Option<Body>, TransportError> {
        let cell = self.cell(at);
        let store = self.ready(&cell, at).await?;
        let path = key(&at.url)?;
        let mut options = GetOptions::default();
        if let Some(Part { range, tag }) = part {
            options.range = Some(GetRange::Bounded(range.clone()));
            options.if_match = tag.as_ref().map(|Tag(tag)| tag.clone());
        }
        let answer = within_idle(&self.settings, &at.url, store.objects.get_opts(&path, options)).await?;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return no_object(at, store, error, part).map(|()| None),
        };
        let whole = answer.meta.size;
        let extent = match part {
            Some(_) => Extent::Part { range: answer.range.clone(), whole },
            None => Extent::Whole { length: Some(whole) },
        };
        // A weak tag (`W/"…"`) vouches for the meaning of a file, not for its bytes.
        let tag = answer.meta.e_tag.clone().filter(|tag| !tag.starts_with("W/")).map(Tag);
        let content_type = answer.attributes.get(&Attribute::ContentType).map(|value| value.to_string());
        let url = public(&at.url);
        let pieces = answer.into_stream().map_err(move |error| trouble(url.clone(), error, About::Store)).boxed();
        Ok(Some(Body { extent, tag, content_type, pieces }))
    }

    fn cell(&self, at: &Location) -> Arc<OnceCell<Store>> {
        let key = Key::of(at);
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cell)) = stores.iter().find(|(known, _)| *known == key) {
            return Arc::clone(cell);
        }
        let cell = Arc::default();
        stores.push((key, Arc::clone(&cell)));
        cell
    }

    async fn ready<'a>(&self, cell: &'a OnceCell<Store>, at: &Location) -> Result<&'a Store, TransportError> {
        let store = cell.get_or_try_init(|| self.make(at)).await?;
        if let Some(credentials) = &store.credentials {
            let got = within_idle(&self.settings, &at.url, credentials.get()).await?;
            got.map_err(|error| trouble(public(&at.url), error, About::Credentials))?;
        }
        Ok(store)
    }

    /// In which region the bucket turned out to be.
    fn region(&self, url: &Url) -> Option<String> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner).get(bucket(url)).cloned()
    }

    /// Where the store says that the bucket is in another region than the one that was asked, ask there from now on, as
    /// Amazon's own tools do.
    fn learn_region(&self, at: &Location, asked: Option<&str>, error: &TransportError) -> bool {
        let TransportError::Object(error) = error else { return false };
        let ObjectError::Refused { refusal: Refusal { region: Some(region), .. }, .. } = &**error else { return false };
        if asked == Some(region) {
            return false;
        }
        let known = self
            .regions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(bucket(&at.url).to_owned(), region.clone());
        // Many requests learn it at once; the first makes room for another store.
        if known.as_ref() != Some(region) {
            tracing::debug!("bucket `{}` is in region {region}", bucket(&at.url));
            let key = Key::of(at);
            self.stores.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| *known != key);
        }
        true
    }

    async fn make(&self, at: &Location) -> Result<Store, TransportError> {
        let url = public(&at.url);
        let place = Place { bucket: bucket(&at.url), access: &at.access, variables: &self.variables };
        let connection = self.clients.connection(&self.settings, at.plain_http, &self.variables)?;
        let problem = |ProfileProblem { reason, hint }| {
            TransportError::from(ObjectError::Settings { url: url.clone(), reason, hint })
        };
        let build = |error| trouble_of_settings(&url, &error);
        // The three are alike but in their types.
        macro_rules! store {
            ($settings:expr) => {{
                let mut settings = $settings.map_err(problem)?;
                check_endpoint(settings.endpoint(), at)?;
                if settings.must_be_probed() {
                    let probed = settings.build(connection.clone()).map_err(build)?;
                    match tokio::time::timeout(METADATA_PATIENCE, probed.credentials().get_credential()).await {
                        Ok(Ok(_)) => return Ok(Store::new(probed.credentials().clone(), probed)),
                        _ => settings = settings.anonymous(),
                    }
                }
                let store = settings.build(connection).map_err(build)?;
                if settings.is_anonymous() {
                    tracing::info!("no credentials for `{}`: asking without", Key::of(at));
                    Store { objects: Arc::new(store), credentials: None, has_warned: AtomicBool::new(false) }
                } else {
                    Store::new(store.credentials().clone(), store)
                }
            }};
        }
        Ok(match at.url.scheme() {
            "gs" => store!(google::Settings::find(&place)),
            "az" => store!(azure::Settings::find(&place)),
            _ => store!(s3::Settings::find(&place, self.region(&at.url))),
        })
    }
}

impl Store {
    fn new<C: Send + Sync + 'static>(
        credentials: Arc<dyn CredentialProvider<Credential = C>>,
        objects: impl ObjectStore,
    ) -> Self {
        Self {
            objects: Arc::new(objects),
            credentials: Some(Box::new(credentials)),
            has_warned: AtomicBool::new(false),
        }
    }

    /// A public bucket denies what it does not have, and a private one denies everything: a person can tell which it is.
    fn warn(&self, url: &Url) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "`{}://{}` denies `{}` to somebody without credentials, and none were found: taken for \"does not have it\"",
                url.scheme(),
                bucket(url),
                url.path()
            );
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.bucket)
    }
}

impl Key {
    fn of(at: &Location) -> Self {
        Self {
            scheme: at.url.scheme().to_owned(),
            bucket: bucket(&at.url).to_owned(),
            access: Arc::clone(&at.access),
            plain_http: at.plain_http,
        }
    }
}

/// `Ok` where the answer says that there is no such object.
fn no_object(
    at: &Location,
    store: &Store,
    error: object_store::Error,
    part: Option<&Part>,
) -> Result<(), TransportError> {
    let url = public(&at.url);
    let Some(refusal) = find::<Refusal>(&error) else {
        // An answer to a request for a part that is not that part.
        let is_part = part.is_some() && find::<reqwest::Error>(&error).is_none();
        return Err(if is_part { TransportError::WrongPart { url } } else { trouble(url, error, About::Store) });
    };
    match refusal.meaning() {
        Meaning::Missing => {
            if refusal.status.as_u16() == 403 && store.credentials.is_none() {
                store.warn(&at.url);
            }
            Ok(())
        }
        Meaning::NoBucket => Err(ObjectError::NoBucket { url, bucket: bucket(&at.url).to_owned() }.into()),
        Meaning::Changed if part.is_some() => Err(TransportError::Changed { url }),
        Meaning::WrongPart if part.is_some() => Err(TransportError::WrongPart { url }),
        _ => Err(trouble(url, error, About::Store)),
    }
}

fn bucket(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// The object's name in its bucket.
fn key(url: &Url) -> Result<Path, TransportError> {
    Path::from_url_path(url.path()).map_err(|error| {
        let (url, reason) = (public(url), error.to_string());
        ObjectError::Settings { url, reason, hint: "the prefix must be a plain path".to_owned() }.into()
    })
}

/// An endpoint without TLS is refused before anything is sent there, a request for credentials included.
fn check_endpoint(endpoint: Option<&str>, at: &Location) -> Result<(), TransportError> {
    let Some(endpoint) = endpoint else { return Ok(()) };
    let url = public(&at.url);
    let shown = endpoint.parse::<Url>().map(|parsed| public(&parsed)).unwrap_or_default().to_string();
    match endpoint.parse::<Url>() {
        Ok(parsed) if parsed.scheme() == "https" && parsed.has_host() => Ok(()),
        Ok(parsed) if parsed.scheme() == "http" && parsed.has_host() => {
            if is_loopback(&parsed) || at.plain_http == PlainHttp::Anywhere {
                Ok(())
            } else {
                Err(ObjectError::Insecure { url, endpoint: shown }.into())
            }
        }
        _ => Err(ObjectError::Settings {
            url,
            reason: "its endpoint is not a URL".to_owned(),
            hint: "an endpoint is an address such as `https://s3.example.org`".to_owned(),
        }
        .into()),
    }
}

fn trouble(url: PublicUrl, error: object_store::Error, about: About) -> TransportError {
    ObjectError::from_store(url, error, about).into()
}

/// What the library makes of settings. Its texts name keys and files, not values.
fn trouble_of_settings(url: &PublicUrl, error: &object_store::Error) -> TransportError {
    let reason = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    let hint = "docs/object-stores.md lists the variables and files that count".to_owned();
    ObjectError::Settings { url: url.clone(), reason, hint }.into()
}
