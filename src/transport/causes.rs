//! What lies behind an error: libraries wrap their own in several layers.

use std::error::Error;
use std::io;

/// An error and its causes, from outside in.
pub(super) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // hyper-rustls wraps the TLS error in an io::Error, which hides it from `source`.
        let hidden = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        hidden.map(|error| error as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

/// The first error of this type among an error and its causes.
pub(super) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(<dyn Error>::downcast_ref)
}

/// A certificate that is not trusted now will not be in a second.
pub(super) fn is_certificate_trouble(error: &reqwest::Error) -> bool {
    matches!(find(error), Some(rustls::Error::InvalidCertificate(_)))
}
