//! Being told to stop: a cancelled job sends SIGTERM, a person presses Ctrl-C.
//!
//! The program's edge raises it, the use cases look at it between two steps, so that what is begun is finished or left out
//! whole: a blob that was removed also leaves the records, and one that arrived is also recorded. Files get their names only
//! when they are complete, so even a run that is killed outright leaves nothing half-written.

use std::fmt;
use std::sync::Arc;

use tokio::sync::SetOnce;

/// A request to stop, which stays once it is made. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<SetOnce<Signal>>);

/// Who asked, and what a shell makes of a program that the signal ended: 128 and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: the runner, as it cancels a job or ends `after_script`.
    Terminate = 143,
    /// SIGINT: a person at the keyboard.
    Keyboard = 130,
}

impl Signal {
    /// The exit code.
    pub fn exit_code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Keyboard => "SIGINT",
        })
    }
}

impl Interrupt {
    /// Ask everything that looks at it to stop. Only the first signal counts.
    pub fn raise(&self, signal: Signal) {
        let _ = self.0.set(signal);
    }

    /// The signal, if there was one.
    pub fn signal(&self) -> Option<Signal> {
        self.0.get().copied()
    }

    /// Wait for it.
    pub async fn wait(&self) -> Signal {
        *self.0.wait().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_signal_counts_and_wakes_those_who_wait() {
        let interrupt = Interrupt::default();
        assert_eq!(interrupt.signal(), None);
        let waiting = tokio::spawn({
            let interrupt = interrupt.clone();
            async move { interrupt.wait().await }
        });
        tokio::task::yield_now().await;
        interrupt.raise(Signal::Terminate);
        interrupt.raise(Signal::Keyboard);
        assert_eq!(waiting.await.unwrap(), Signal::Terminate);
        assert_eq!(interrupt.wait().await.exit_code(), 143);
    }
}
