//! Optional mirrors that are not there: told once, and left out from then on.

use std::sync::{Mutex, PoisonError};

use super::session::Session;
use crate::mirror::MirrorError;
use crate::types::{Mirror, MirrorUrl, Presence};

/// The optional mirrors that a run goes on without, .
#[derive(Debug, Default)]
pub(crate) struct AbsentMirrors(Mutex<Vec<MirrorUrl>>);

impl AbsentMirrors {
    /// Whether the run goes on without this one.
    pub(crate) fn contains(&self, mirror: &Mirror) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&mirror.url)
    }

    /// Go on without a mirror that may be absent and is, and tell so once. Any other error stays one.
    pub(crate) fn note(&self, session: &Session<'_>, mirror: &Mirror, error: MirrorError) -> Result<(), MirrorError> {
        if mirror.presence == Presence::Required || !error.is_absence() {
            return Err(error);
        }
        let mut absent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !absent.contains(&mirror.url) {
            absent.push(mirror.url.clone());
            let first: &dyn std::error::Error = &error;
            let chain: Vec<_> =
                std::iter::successors(Some(first), |error| error.source()).map(ToString::to_string).collect();
            session.warn(&format!("going on without the optional mirror `{}`: {}", mirror.name, chain.join(": ")));
        }
        Ok(())
    }
}
