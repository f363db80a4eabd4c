//! A certificate authority of a test's own, and the certificate of `localhost` that it signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// An authority that nobody trusts but who is given its certificate.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// Write the authority's certificate, as `SSL_CERT_FILE` wants it.
    pub fn write_certificate(&self, folder: &Path) -> PathBuf {
        let path = folder.join("authority.pem");
        fs::write(&path, self.issuer.pem()).unwrap();
        path
    }

    /// A new certificate for `localhost`, and its key.
    fn for_localhost(&self) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        // OpenSSL takes one with the name of its authority for self-signed.
        params.distinguished_name.push(DnType::CommonName, "localhost");
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Write a certificate for `localhost` and its key, for another program to serve with.
    pub fn write_for_localhost(&self, certificate_file: &Path, key_file: &Path) {
        let (certificate, key) = self.for_localhost();
        fs::write(certificate_file, certificate.pem()).unwrap();
        fs::write(key_file, key.serialize_pem()).unwrap();
    }

    /// A TLS endpoint for `localhost` that offers HTTP/2.
    pub fn acceptor(&self) -> TlsAcceptor {
        let (certificate, key) = self.for_localhost();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        // An error only says that another test installed it first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}
