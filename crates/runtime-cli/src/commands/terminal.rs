//! The user's terminal in front of a process's in a container: raw, with bytes passed both ways.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use runtime_control::{Request, WindowSize};
use runtime_oci::ConsoleSize;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// How long the last output may take to come.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// The size of the user's terminal, if standard input is one.
pub(super) fn own_size() -> Option<ConsoleSize> {
    let size = tcgetwinsize(rustix::stdio::stdin()).ok()?;
    Some(ConsoleSize { height: size.ws_row, width: size.ws_col })
}

/// The user's terminal while a process has it.
pub(super) struct Terminal {
    /// Its settings before, if standard input is one.
    before: Option<Termios>,
    output_done: Receiver<()>,
}

impl Terminal {
    /// Connects our standard streams with the master of the process's terminal.
    pub(super) fn attach(master: OwnedFd, sandbox: &Path, id: &str, exec_id: &str) -> Result<Self> {
        let input = rustix::stdio::stdin();
        let before = if isatty(input) { Some(tcgetattr(input)?) } else { None };
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(input, OptionalActions::Now, &raw)?;
            follow_size(sandbox.to_owned(), id.to_owned(), exec_id.to_owned())?;
        }
        let output = File::from(master.try_clone().context("too many open files")?);
        let (done, output_done) = channel();
        thread::Builder::new().name("tty-out".to_owned()).spawn(move || {
            pass(output, std::io::stdout());
            let _ = done.send(());
        })?;
        thread::Builder::new().name("tty-in".to_owned()).spawn(move || {
            pass(std::io::stdin(), File::from(master));
        })?;
        Ok(Self { before, output_done })
    }

    /// Waits for the last output, and gives the terminal back.
    pub(super) fn finish(self) {
        let _ = self.output_done.recv_timeout(LAST_OUTPUT);
        if let Some(before) = &self.before {
            let _ = tcsetattr(rustix::stdio::stdin().as_fd(), OptionalActions::Drain, before);
        }
    }
}

/// Copies without waiting for more than there is, to the end of either side.
fn pass(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                let part = buffer.get(..count).unwrap_or_default();
                if to.write_all(part).and_then(|()| to.flush()).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            // EIO: no process has the terminal open any more.
            Err(_) => return,
        }
    }
}

/// Tells the process's terminal the size of the user's, now and whenever it changes.
fn follow_size(sandbox: PathBuf, id: String, exec_id: String) -> Result<()> {
    let set: SigSet = std::iter::once(Signal::SIGWINCH).collect();
    set.thread_block()?;
    let tell = move || {
        let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) else { return };
        let size = WindowSize { rows: size.ws_row, columns: size.ws_col };
        let request = Request::Resize { id: id.clone(), exec_id: Some(exec_id.clone()), size };
        // It may have ended just now.
        let _ = runtime_control::connect(&sandbox).map(|client| client.call(&request, &[]));
    };
    tell();
    thread::Builder::new().name("tty-size".to_owned()).spawn(move || {
        while set.wait().is_ok() {
            tell();
        }
    })?;
    Ok(())
}
