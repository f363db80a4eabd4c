//! A limit on the bytes of all downloads together, for a line that others use as well.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// So many bytes a second, and no more.
#[derive(Debug)]
pub struct Bandwidth {
    limiter: DefaultDirectRateLimiter,
    burst: NonZeroU32,
}

impl Bandwidth {
    /// A limit; one beyond 4 GiB a second is none that matters.
    pub fn new(bytes_a_second: u64) -> Self {
        let rate = NonZeroU32::new(u32::try_from(bytes_a_second).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
        // A tenth of a second: smooth enough for a shared line.
        let burst = NonZeroU32::new(rate.get() / 10).unwrap_or(NonZeroU32::MIN);
        Self { limiter: RateLimiter::direct(Quota::per_second(rate).allow_burst(burst)), burst }
    }

    /// Wait until so many bytes may be received.
    pub async fn wait_for(&self, bytes: usize) {
        let mut left = u32::try_from(bytes).unwrap_or(u32::MAX);
        while let Some(bytes) = NonZeroU32::new(left.min(self.burst.get())) {
            // Fails never: it is no more than the burst.
            let _ = self.limiter.until_n_ready(bytes).await;
            left -= bytes.get();
        }
    }
}
