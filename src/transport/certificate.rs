//! TLS certificates that are not trusted.

use std::error::Error;
use std::io;

/// A certificate that is not trusted now will not be in a second.
pub(super) fn is_certificate_trouble(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref::<rustls::Error>() {
            return true;
        }
        // hyper-rustls wraps the TLS error in an io::Error, which hides it from `source`.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(inner) = inner
            && let Some(rustls::Error::InvalidCertificate(_)) = inner.downcast_ref::<rustls::Error>()
        {
            return true;
        }
        cause = error.source();
    }
    false
}
