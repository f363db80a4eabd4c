//! A real HTTP server on this machine: it serves a folder, writes down every request, and misbehaves on demand.
//!
//! No test waits a fixed time. A server that stalls says so ([`Server::wait_until_stalled`]) and stalls until it is
//! dropped; ports are the system's choice.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode, Version, header};
use futures::{StreamExt, stream};
use globset::{Glob, GlobMatcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a test waits for something that must happen, before it fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the server does instead of sending the file.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An answer with this status, these headers and a short text.
    Status(u16, Vec<(&'static str, String)>),
    /// Half of the body under the full `Content-Length`, then the connection breaks.
    Broken,
    /// Half of the body, ended as if it were all of it (chunked, so nobody announced more).
    Half,
    /// As many bytes as there should be, one of them another.
    WrongByte,
    /// A body that goes on and on (chunked): the file, then up to so many more bytes.
    TooLong(u64),
    /// `Content-Length` says one byte more than there should be, and so many arrive.
    OneByteMore,
    /// Nothing at all, until the server is dropped.
    Stall,
    /// Half of the body, then nothing, until the server is dropped.
    StallHalfWay,
    /// A web page with status 200, as captive portals and login pages send it.
    Html,
    /// A redirect to this address; `{path}` in it stands for the path asked for.
    Redirect(String),
    /// The whole file, whatever part of it is asked for.
    WholeFile,
    /// The whole file likewise, and the connection breaks half-way.
    WholeFileBroken,
    /// Another part of the file than the one asked for.
    OtherPart,
    /// The file, under an entity tag that differs each time.
    NewTag,
}

/// How often a fault happens to each path that it is for.
#[derive(Clone, Copy, Debug)]
pub enum Times {
    /// The first so many requests of each path; then the file is served.
    First(usize),
    /// Every request.
    Always,
}

struct Rule {
    pattern: GlobMatcher,
    times: Times,
    fault: Fault,
    seen: HashMap<String, usize>,
}

/// One request, as it was answered.
#[derive(Clone, Debug)]
pub struct Logged {
    pub method: String,
    pub path: String,
    pub status: u16,
    /// How many bytes of the body were handed to the connection.
    pub bytes: u64,
    pub headers: HeaderMap,
    pub version: Version,
}

type Guard = Arc<dyn Fn(Option<&str>) -> Option<Fault> + Send + Sync>;

#[derive(Default)]
struct Shared {
    root: PathBuf,
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Vec<Logged>>,
    stalled: Mutex<bool>,
    stall_began: Condvar,
    /// Who is let in.
    guard: Mutex<Option<Guard>>,
    /// Stall at this request of all, counted from one, and at every later one.
    stall_at: Mutex<Option<usize>>,
}

/// The server. It ends, together with every connection, when it is dropped.
pub struct Server {
    runtime: Option<Runtime>,
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
}

impl Server {
    /// Serve a folder over `http://`.
    pub fn start(root: &Path) -> Self {
        Self::with_acceptor(root, None)
    }

    /// Serve a folder over `https://`, HTTP/2 offered, with the certificate of `authority`.
    pub fn start_tls(root: &Path, authority: &crate::authority::Authority) -> Self {
        Self::with_acceptor(root, Some(authority.acceptor()))
    }

    fn with_acceptor(root: &Path, tls: Option<TlsAcceptor>) -> Self {
        assert!(root.is_dir(), "{} is served but does not exist", root.display());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let shared = Arc::new(Shared { root: root.to_owned(), ..Shared::default() });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let scheme = if tls.is_some() { "https" } else { "http" };
        match tls {
            None => drop(runtime.spawn(async move { axum::serve(listener, app).await })),
            Some(acceptor) => {
                drop(runtime.spawn(async move { axum::serve(TlsListener { listener, acceptor }, app).await }));
            }
        }
        Self { runtime: Some(runtime), address, scheme, shared }
    }

    /// The address, without a `/` at its end. TLS servers have the name `localhost`.
    pub fn url(&self) -> String {
        match self.scheme {
            "https" => format!("https://localhost:{}", self.address.port()),
            scheme => format!("{scheme}://{}", self.address),
        }
    }

    /// Misbehave for the paths that match. The first rule that matches and is not used up counts.
    pub fn fault(&self, pattern: &str, times: Times, fault: Fault) {
        let pattern = Glob::new(pattern).unwrap().compile_matcher();
        self.shared.rules.lock().unwrap().push(Rule { pattern, times, fault, seen: HashMap::new() });
    }

    /// Answer 401 to every request without this `Authorization` header.
    pub fn require_authorization(&self, header: &str) {
        let required = header.to_owned();
        self.guard(move |header| match header {
            Some(header) if header == required => None,
            _ => Some(Fault::Status(401, vec![("www-authenticate", "Basic realm=\"mirror\"".to_owned())])),
        });
    }

    /// Decide by its `Authorization` header what is answered to a request instead of the file, if anything.
    pub fn guard(&self, guard: impl Fn(Option<&str>) -> Option<Fault> + Send + Sync + 'static) {
        *self.shared.guard.lock().unwrap() = Some(Arc::new(guard));
    }

    /// Serve files again.
    pub fn heal(&self) {
        self.shared.rules.lock().unwrap().clear();
        *self.shared.stall_at.lock().unwrap() = None;
    }

    /// Answer `requests` requests in all, and stall at every later one.
    pub fn stall_after(&self, requests: usize) {
        *self.shared.stall_at.lock().unwrap() = Some(requests + 1);
    }

    /// Wait until a request is being stalled.
    pub fn wait_until_stalled(&self) {
        let stalled = self.shared.stalled.lock().unwrap();
        let (_stalled, timeout) =
            self.shared.stall_began.wait_timeout_while(stalled, PATIENCE, |stalled| !*stalled).unwrap();
        assert!(!timeout.timed_out(), "nobody sent a request that stalls; the log: {:#?}", self.log());
    }

    /// Every request so far.
    pub fn log(&self) -> Vec<Logged> {
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forget the requests so far.
    pub fn clear_log(&self) {
        self.shared.log.lock().unwrap().clear();
    }

    /// How often this path was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.log().iter().filter(|request| request.path == path).count()
    }

    /// The paths asked for that hold a binary or another blob, sorted; a path asked for twice is there twice.
    pub fn blob_requests(&self) -> Vec<String> {
        let is_blob =
            |path: &String| path.contains("/blobs/") || Path::new(path).extension().is_some_and(|end| end == "spack");
        let mut paths: Vec<String> = self.log().into_iter().map(|request| request.path).filter(is_blob).collect();
        paths.sort();
        paths
    }

    /// Switch it off: connections break, and new ones are refused.
    pub fn stop(mut self) -> String {
        let url = self.url();
        self.shut_down();
        url
    }

    fn shut_down(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut_down();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let headers = request.headers().clone();
    let number = {
        let mut log = shared.log.lock().unwrap();
        log.push(Logged {
            method: request.method().to_string(),
            path: path.clone(),
            status: 0,
            bytes: 0,
            headers: headers.clone(),
            version: request.version(),
        });
        log.len() - 1
    };
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let guard = shared.guard.lock().unwrap().clone();
    let refusal = guard.and_then(|guard| guard(authorization));
    let fault = refusal.or_else(|| shared.next_fault(&path, number + 1));
    let response = match fault {
        Some(fault) => shared.misbehave(&path, &headers, fault, number).await,
        None => shared.file(&path, &headers),
    };
    shared.log.lock().unwrap()[number].status = response.status().as_u16();
    let (head, body) = response.into_parts();
    let counting = Arc::clone(&shared);
    let counted = body.into_data_stream().inspect(move |piece| {
        if let (Ok(piece), Some(entry)) = (piece, counting.log.lock().unwrap().get_mut(number)) {
            entry.bytes += piece.len() as u64;
        }
    });
    // A body from a stream is chunked, unless the head states a length.
    Response::from_parts(head, Body::from_stream(counted))
}

impl Shared {
    fn next_fault(&self, path: &str, number: usize) -> Option<Fault> {
        if self.stall_at.lock().unwrap().is_some_and(|first| number >= first) {
            return Some(Fault::Stall);
        }
        for rule in self.rules.lock().unwrap().iter_mut().filter(|rule| rule.pattern.is_match(path)) {
            let seen = rule.seen.entry(path.to_owned()).or_default();
            *seen += 1;
            match rule.times {
                Times::First(times) if *seen > times => {}
                _ => return Some(rule.fault.clone()),
            }
        }
        None
    }

    /// The bytes of the file, or `None` where there is none.
    fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let relative = path.trim_start_matches('/');
        assert!(!relative.split('/').any(|part| part == ".."), "a request left the mirror: {path}");
        fs::read(self.root.join(relative)).ok()
    }

    /// The file, or the part of it that is asked for, as nginx sends it.
    fn file(&self, path: &str, headers: &HeaderMap) -> Response<Body> {
        let Some(bytes) = self.bytes(path) else { return plain(404, &[], "there is no such file\n") };
        let tag = format!("\"{}\"", bytes.len());
        if headers.get(header::IF_MATCH).is_some_and(|wanted| wanted.to_str().unwrap() != tag) {
            return plain(412, &[], "it is another file by now\n");
        }
        let mut response = match asked_for(headers, bytes.len()) {
            Some(range) if range.is_empty() => return plain(416, &[], "the file ends before that\n"),
            Some(range) => part(&bytes, range),
            None => with_length(bytes.len(), vec![bytes]),
        };
        response.headers_mut().insert(header::ETAG, tag.parse().unwrap());
        response
    }

    async fn misbehave(&self, path: &str, headers: &HeaderMap, fault: Fault, number: usize) -> Response<Body> {
        let mut bytes = self.bytes(path).unwrap_or_default();
        let length = bytes.len();
        match fault {
            Fault::Status(status, headers) => plain(status, &headers, "no\n"),
            Fault::Broken => {
                let range = asked_for(headers, length);
                let mut response = range.clone().map_or_else(|| self.file(path, headers), |range| part(&bytes, range));
                let sent = range.unwrap_or(0..length);
                let half = bytes[sent.start..sent.start + sent.len() / 2].to_vec();
                let broken = stream::iter([Ok(Bytes::from(half)), Err(std::io::Error::other("cut"))]);
                *response.body_mut() = Body::from_stream(broken);
                response
            }
            Fault::Half => {
                bytes.truncate(length / 2);
                chunked(vec![bytes])
            }
            Fault::WrongByte => {
                bytes[length / 2] ^= 1;
                match asked_for(headers, length) {
                    Some(range) => part(&bytes, range),
                    None => with_length(length, vec![bytes]),
                }
            }
            Fault::TooLong(more) => {
                let piece = Bytes::from(vec![b' '; 64 << 10]);
                let pieces = usize::try_from(more).unwrap() / piece.len();
                let body = stream::iter(std::iter::once(Bytes::from(bytes)).chain(std::iter::repeat_n(piece, pieces)));
                ok().body(Body::from_stream(body.map(Ok::<_, Infallible>))).unwrap()
            }
            Fault::OneByteMore => with_length(length + 1, vec![bytes, vec![0]]),
            Fault::Stall => {
                self.announce_stall();
                std::future::pending().await
            }
            Fault::StallHalfWay => {
                let range = asked_for(headers, length);
                let mut response = range.clone().map_or_else(|| self.file(path, headers), |range| part(&bytes, range));
                let sent = range.unwrap_or(0..length);
                let half = bytes[sent.start..sent.start + sent.len() / 2].to_vec();
                self.announce_stall();
                let body = stream::iter([Ok::<_, Infallible>(Bytes::from(half))]).chain(stream::pending());
                *response.body_mut() = Body::from_stream(body);
                response
            }
            Fault::Html => {
                let page = b"<!doctype html><title>Welcome to the airport</title>".to_vec();
                let length = page.len();
                let mut response = with_length(length, vec![page]);
                response.headers_mut().insert(header::CONTENT_TYPE, "text/html".parse().unwrap());
                response
            }
            Fault::WholeFile => self.file(path, &HeaderMap::new()),
            Fault::WholeFileBroken => {
                bytes.truncate(length / 2);
                let broken = stream::iter([Ok(Bytes::from(bytes)), Err(std::io::Error::other("cut"))]);
                ok().header(header::CONTENT_LENGTH, length).body(Body::from_stream(broken)).unwrap()
            }
            Fault::OtherPart => {
                let range = asked_for(headers, length).unwrap();
                part(&bytes, range.start + 1..range.end)
            }
            Fault::NewTag => {
                let mut response = self.file(path, headers);
                response.headers_mut().insert(header::ETAG, format!("\"{number}\"").parse().unwrap());
                response
            }
            Fault::Redirect(target) => plain(302, &[("location", target.replace("{path}", path))], ""),
        }
    }

    fn announce_stall(&self) {
        *self.stalled.lock().unwrap() = true;
        self.stall_began.notify_all();
    }
}

/// `Range: bytes=FIRST-LAST`, as far as the file goes.
fn asked_for(headers: &HeaderMap, length: usize) -> Option<Range<usize>> {
    let (first, last) = headers.get(header::RANGE)?.to_str().unwrap().strip_prefix("bytes=")?.split_once('-')?;
    Some(first.parse().unwrap()..length.min(last.parse::<usize>().unwrap() + 1))
}

fn part(bytes: &[u8], range: Range<usize>) -> Response<Body> {
    let mut response = with_length(range.len(), vec![bytes[range.clone()].to_vec()]);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let stated = format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len());
    response.headers_mut().insert(header::CONTENT_RANGE, stated.parse().unwrap());
    response
}

fn ok() -> axum::http::response::Builder {
    Response::builder().status(StatusCode::OK)
}

fn with_length(length: usize, pieces: Vec<Vec<u8>>) -> Response<Body> {
    let body = stream::iter(pieces).map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
    ok().header(header::CONTENT_LENGTH, length).body(Body::from_stream(body)).unwrap()
}

fn chunked(pieces: Vec<Vec<u8>>) -> Response<Body> {
    let body = stream::iter(pieces).map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
    ok().body(Body::from_stream(body)).unwrap()
}

fn plain(status: u16, headers: &[(&'static str, String)], text: &'static str) -> Response<Body> {
    let builder = headers
        .iter()
        .fold(Response::builder().status(status), |builder, (name, value)| builder.header(*name, value.as_str()));
    builder.header(header::CONTENT_LENGTH, text.len()).body(Body::from(text)).unwrap()
}

/// Connections that are handed to the server once their TLS handshake is done.
struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // A client that does not trust the certificate hangs up: the next one may.
            if let Ok((connection, address)) = self.listener.accept().await
                && let Ok(connection) = self.acceptor.accept(connection).await
            {
                return (connection, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
