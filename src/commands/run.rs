//! `larder run`: a command of the job, between `prepare` and `finish`.
//!
//! The command stays in larder's own process group: what ends the group, as a runner or a terminal does, ends it as if larder
//! were not there. What is sent to larder alone is passed on. Larder itself never ends the command: how long it may take to stop
//! is between it and the runner.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, kill_process};

use super::error::CommandError;
use crate::interrupt::Signal;
use crate::job::hand_over::HandedOver;
use crate::pipeline::Session;

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The program, by its path or its name.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// How Spack was handed the job mirror.
    pub handed_over: HandedOver,
}

/// How the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, or 128 and the number of the signal that ended it, as a shell says it.
    pub code: u8,
    /// Whether it was asked to stop meanwhile: there may be little time left.
    pub stopped: Option<Signal>,
}

/// Run the command, so that every Spack below it looks into the job mirror first, and wait for it.
pub fn run(session: &Session<'_>, options: &RunOptions) -> Result<Ended, CommandError> {
    let mut command = Command::new(&options.program);
    command.args(&options.arguments).envs(options.handed_over.variables(&session.variables));
    wait_for(session, command)
}

/// Run the command and wait for it. Signals that arrive meanwhile are for it.
fn wait_for(session: &Session<'_>, mut command: Command) -> Result<Ended, CommandError> {
    let running = Arc::new(Mutex::new(Running { process: None, stopped: None }));
    // A signal waits until there is a process that can get it.
    let mut starting = running.lock().unwrap_or_else(PoisonError::into_inner);
    let recipient = Arc::clone(&running);
    let diverted = session.interrupt.divert(move |signal| {
        recipient.lock().unwrap_or_else(PoisonError::into_inner).pass_on(signal);
    });
    session.stop_if_asked()?;
    let program = PathBuf::from(command.get_program());
    let not_started = |source| CommandError::NotStarted { program: program.clone(), source };
    let mut child = command.spawn().map_err(not_started)?;
    starting.process = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    drop(starting);
    let status = child.wait();
    drop(diverted);
    let status = status.map_err(not_started)?;
    let stopped = running.lock().unwrap_or_else(PoisonError::into_inner).stopped;
    Ok(Ended { code: code_of(status), stopped })
}

/// The command, as far as signals are concerned.
struct Running {
    process: Option<Pid>,
    stopped: Option<Signal>,
}

impl Running {
    fn pass_on(&mut self, signal: Signal) {
        self.stopped = self.stopped.or(Some(signal));
        let number = match signal {
            // The terminal has told the whole process group already.
            Signal::Keyboard if io::stdin().is_terminal() || io::stderr().is_terminal() => return,
            Signal::Keyboard => rustix::process::Signal::INT,
            Signal::Terminate => rustix::process::Signal::TERM,
        };
        if let Some(process) = self.process {
            // Fails where it has ended by itself meanwhile.
            let _ = kill_process(process, number);
        }
    }
}

fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
