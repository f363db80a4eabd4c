//! Being told to stop: a cancelled job sends SIGTERM, a person presses Ctrl-C.
//!
//! The program's edge raises it, the use cases look at it between two steps, so that what is begun is finished or left out
//! whole: a blob that was removed also leaves the records, and one that arrived is also recorded. Files get their names only
//! when they are complete, so even a run that is killed outright leaves nothing half-written.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::SetOnce;

/// A request to stop, which stays once it is made. Clones share it.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Shared>);

#[derive(Default)]
struct Shared {
    signal: SetOnce<Signal>,
    recipient: Mutex<Option<Recipient>>,
}

/// Who gets the signals instead of larder: the command that larder runs.
type Recipient = Box<dyn Fn(Signal) + Send>;

/// While it is there, signals go to another process.
pub(crate) struct Diverted<'a>(&'a Interrupt);

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// Larder is asked to stop.
    Stop,
    /// It was for a command that larder runs, which may end or go on.
    PassedOn,
}

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
    /// Ask everything that looks at it to stop, unless there is another recipient. Only the first signal counts.
    pub fn raise(&self, signal: Signal) -> Raised {
        if let Some(recipient) = &*self.recipient() {
            recipient(signal);
            return Raised::PassedOn;
        }
        let _ = self.0.signal.set(signal);
        Raised::Stop
    }

    /// From now on, until the answer is dropped, signals go there.
    pub(crate) fn divert(&self, recipient: impl Fn(Signal) + Send + 'static) -> Diverted<'_> {
        *self.recipient() = Some(Box::new(recipient));
        Diverted(self)
    }

    fn recipient(&self) -> MutexGuard<'_, Option<Recipient>> {
        self.0.recipient.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The signal, if there was one.
    pub fn signal(&self) -> Option<Signal> {
        self.0.signal.get().copied()
    }

    /// Wait for it.
    pub async fn wait(&self) -> Signal {
        *self.0.signal.wait().await
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interrupt").field(&self.signal()).finish()
    }
}

impl Drop for Diverted<'_> {
    fn drop(&mut self) {
        *self.0.recipient() = None;
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

    #[test]
    fn while_a_command_runs_its_signals_ask_larder_for_nothing() {
        let interrupt = Interrupt::default();
        let (sender, received) = std::sync::mpsc::channel();
        let diverted = interrupt.divert(move |signal| sender.send(signal).unwrap());
        assert_eq!(interrupt.clone().raise(Signal::Terminate), Raised::PassedOn);
        assert_eq!((received.recv().unwrap(), interrupt.signal()), (Signal::Terminate, None));
        drop(diverted);
        assert_eq!(interrupt.raise(Signal::Keyboard), Raised::Stop);
        assert_eq!(interrupt.signal(), Some(Signal::Keyboard));
    }
}
