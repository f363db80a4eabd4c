//! The test server does what the other tests rely on, as larder's own transport sees it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use larder::transport::{FetchRequest, Limits, Location, NetworkSettings, Partial, Transport, TransportError};
use larder::types::{PlainHttp, Variables};
use larder::verified::{Expected, Size};
use rstest::rstest;

use crate::fixtures::{Blob, Mirror};
use crate::server::{Fault, Server, Times};

fn blob() -> Blob {
    Mirror::V3Unsigned.published("app").blobs.remove(0)
}

/// Fetch the blob, once; how that failed, or nothing.
fn fetch(server: &Server) -> Option<TransportError> {
    let settings = NetworkSettings {
        retries: 0,
        idle_timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_secs(5),
        ..NetworkSettings::default()
    };
    let transport = Arc::new(Transport::new(settings, Limits::default(), &Variables::default()));
    let url = format!("{}{}", server.url(), blob().path).parse().unwrap();
    let at = Location { url, plain_http: PlainHttp::LoopbackOnly, access: Arc::default() };
    let expected = Expected { digest: blob().digest.parse().unwrap(), size: Size::Exactly(blob().bytes) };
    let staging = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let request =
        FetchRequest { sources: vec![at.clone()], expected, partial: Partial::Scratch(staging.path().to_owned()) };
    runtime.block_on(async { transport.blob(transport.permit(&at).await, request, &|_| {}).await }).err()
}

#[test]
fn it_serves_files_and_writes_down_who_asked() {
    let server = Server::start(&Mirror::V3Unsigned.folder());
    assert!(fetch(&server).is_none());
    let [request] = &server.log()[..] else { panic!("{:#?}", server.log()) };
    assert_eq!((request.status, request.bytes, request.path.as_str()), (200, blob().bytes, blob().path.as_str()));
    assert_eq!(server.blob_requests(), [blob().path]);
}

#[rstest]
#[case::status(Fault::Status(503, vec![]), "answered 503")]
#[case::broken(Fault::Broken, "can't get")]
#[case::half(Fault::Half, "it ends after")]
#[case::wrong_byte(Fault::WrongByte, "its sha256 is")]
#[case::too_long(Fault::TooLong(1 << 20), "it is longer than")]
#[case::one_byte_more(Fault::OneByteMore, "announces")]
#[case::stall(Fault::Stall, "sent nothing")]
#[case::stall_half_way(Fault::StallHalfWay, "sent nothing")]
#[case::html(Fault::Html, "announces")]
#[case::redirect(Fault::Redirect("http://mirror.invalid/x".to_owned()), "not protected by TLS")]
fn each_fault_is_what_it_says_the_first_time_and_then_over(#[case] fault: Fault, #[case] said: &str) {
    let server = Server::start(&Mirror::V3Unsigned.folder());
    server.fault("/blobs/**", Times::First(1), fault);
    let error = fetch(&server).expect("a fault").to_string();
    assert!(error.contains(said), "{error}");
    assert!(fetch(&server).is_none(), "the second time all is well");
}

#[test]
fn it_can_be_switched_off() {
    let server = Server::start(&Mirror::V3Unsigned.folder());
    let url = server.stop();
    let address = url.trim_start_matches("http://").to_owned();
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn the_fixtures_are_what_their_names_say() {
    for mirror in [Mirror::V3Signed, Mirror::V3Unsigned, Mirror::V2Signed, Mirror::V2Unsigned] {
        for blob in mirror.needed_blobs() {
            let bytes = std::fs::read(mirror.folder().join(&blob.path[1..])).unwrap();
            assert_eq!(crate::fixtures::sha256(&bytes), blob.digest, "{}", blob.path);
            assert_eq!(bytes.len() as u64, blob.bytes);
        }
        for name in mirror.needed() {
            let metadata = mirror.folder().join(&mirror.published(name).metadata[1..]);
            let text = std::fs::read_to_string(&metadata).unwrap();
            assert_eq!(text.contains("BEGIN PGP"), mirror.is_signed(), "{}", metadata.display());
        }
    }
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo/spack.lock").is_file());
}
