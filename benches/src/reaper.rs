//! The process above the benchmark, which reaps.
//!
//! What a runtime leaves in the background comes to the nearest subreaper. Some runtimes wait until such a process is quite
//! gone, so it has to be reaped at once, also while something is measured: a process does it that does nothing else.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Set in the process below.
const INNER: &str = "PALISADE_BENCH_INNER";

/// Whether this is the process that measures.
pub(crate) fn is_below() -> bool {
    std::env::var_os(INNER).is_some()
}

/// Starts this program again, below, and reaps until it ends; its status.
pub(crate) fn reap_above() -> Result<u8> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let mut command = Command::new(std::env::current_exe()?);
    // ^C comes to this process only, and is passed on: once.
    command.args(std::env::args_os().skip(1)).env(INNER, "1").process_group(0);
    let child = Pid::from_raw(command.spawn().context("cannot start again")?.id().cast_signed());
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if let Ok(signal) = Signal::try_from(signal) {
                // It may be ending by itself.
                let _ = kill(child, signal);
            }
        }
    });
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => {
                return Ok(u8::try_from(code).unwrap_or(u8::MAX));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                let status = ExitStatus::from_raw(signal as i32);
                anyhow::bail!("the measuring process ended: {status}")
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The process below which all is that this benchmark has started.
pub(crate) fn root() -> u32 {
    if is_below() { std::os::unix::process::parent_id() } else { std::process::id() }
}
