//! Being told to stop by a signal.
//!
//! The first signal is passed on, and the command ends between two steps. Where it can't, because it waits for a lock or
//! reads a large file, it is ended after a few seconds all the same: the runner would soon do it more roughly, and no file
//! has its name before it is complete.

use std::io;
use std::sync::Arc;

use larder::interrupt::Interrupt;

use super::progress::Screen;

/// From now on, have SIGTERM and SIGINT raise the interrupt.
#[cfg(unix)]
pub(crate) fn pass_on(interrupt: &Interrupt, screen: &Arc<Screen>) -> io::Result<()> {
    use std::time::Duration;

    use larder::interrupt::{Raised, Signal};
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;

    /// How long a command may take to come to an end.
    const GRACE: Duration = Duration::from_secs(4);

    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (interrupt, screen) = (interrupt.clone(), Arc::clone(screen));
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let named = |number| if number == SIGINT { Signal::Keyboard } else { Signal::Terminate };
        // Those that a command got, which larder runs, are its business.
        let Some(signal) = signals.forever().map(named).find(|signal| interrupt.raise(*signal) == Raised::Stop) else {
            return;
        };
        std::thread::sleep(GRACE);
        screen.write_line_outside(&format!(
            "error: stopped by {signal} during a step that did not end in time; the next run resumes there"
        ));
        std::process::exit(signal.exit_code().into());
    })?;
    Ok(())
}

/// Without signals there is nothing to pass on.
#[cfg(not(unix))]
pub(crate) fn pass_on(_: &Interrupt, _: &Arc<Screen>) -> io::Result<()> {
    Ok(())
}
