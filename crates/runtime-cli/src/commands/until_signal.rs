//! Commands that run until they are told to end, and have something to finish then.

use std::thread;

use anyhow::Result;
use nix::sys::signal::{SigSet, Signal};

/// Has `end` called at the first SIGINT, SIGTERM or SIGHUP, on a thread of its own. A second one ends the process.
pub(super) fn then(end: impl FnOnce() + Send + 'static) -> Result<()> {
    let set: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    set.thread_block()?;
    let body = move || {
        let _ = set.wait();
        end();
        if set.wait().is_ok() {
            std::process::exit(i32::from(super::FAILED));
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(body)?;
    Ok(())
}
