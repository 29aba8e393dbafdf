//! Signals to a command that stands for a process in a container go to that process.

use std::path::Path;
use std::thread;

use anyhow::Result;
use nix::sys::signal::{SigSet, Signal};

/// What is passed on. The rest is for the command itself, or cannot be caught.
const FORWARDED: [Signal; 8] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGCONT,
];

/// Starts passing signals on. Threads that are started later inherit the mask.
pub(super) fn forward(sandbox: &Path, id: &str, exec_id: &str) -> Result<()> {
    let set: SigSet = FORWARDED.into_iter().collect();
    set.thread_block()?;
    let (sandbox, id, exec_id) = (sandbox.to_owned(), id.to_owned(), exec_id.to_owned());
    let body = move || {
        while let Ok(signal) = set.wait() {
            // It may have ended just now.
            let _ = runtime_control::connect(&sandbox)
                .map(|client| client.kill(&id, Some(&exec_id), signal as i32, false));
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(body)?;
    Ok(())
}
