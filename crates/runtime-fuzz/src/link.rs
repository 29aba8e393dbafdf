//! Executors as processes: started, asked, watched.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::wire::{Outcome, Request, receive, send};

/// Where an executor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// In a bare container of the host.
    Host,
    /// In a sandbox.
    Sandbox,
}

/// How to start executors.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The `palisade-fuzz` program.
    pub fuzzer: PathBuf,
    /// The `palisade` program.
    pub palisade: PathBuf,
}

/// What an executor or what it runs in has done instead of answering.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
    /// It has ended.
    #[error("ended ({status}): {said}")]
    Ended {
        /// How.
        status: String,
        /// The last that it said.
        said: String,
    },
    /// It could not be started.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A running executor; it ends with this value.
#[derive(Debug)]
pub struct Executor {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    /// Its standard error.
    said: File,
    heard: u64,
}

/// How long a start may take.
const START: Duration = Duration::from_secs(20);
/// What is read of what it says.
const SAID: u64 = 16 << 10;

impl Launcher {
    /// The programs beside this one.
    ///
    /// # Errors
    /// Where `palisade` is not beside it.
    pub fn beside() -> io::Result<Self> {
        let fuzzer = std::env::current_exe()?;
        let palisade = fuzzer.with_file_name("palisade");
        if !palisade.exists() {
            let what =
                format!("{} is not there; build it, or put it beside palisade-fuzz", palisade.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        Ok(Self { fuzzer, palisade })
    }

    fn command(&self, side: Side) -> Command {
        match side {
            Side::Host => {
                let mut command = Command::new(&self.fuzzer);
                command.args(["executor", "host"]);
                command
            }
            Side::Sandbox => {
                let mut command = Command::new(&self.palisade);
                command.args(["do", "--cwd", "/", "--"]).arg(&self.fuzzer).args(["executor", "sandbox"]);
                command
            }
        }
    }

    /// Starts an executor and waits until it is there.
    ///
    /// # Errors
    /// When it does not come.
    pub fn start(&self, side: Side) -> Result<Executor, Lost> {
        let said = scratch_file()?;
        let mut command = self.command(side);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(said.try_clone()?)
            .env("RUST_BACKTRACE", "0");
        let mut child = command.spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("no pipes").into());
        };
        let mut executor = Executor { child, input: Some(input), output, said, heard: 0 };
        executor.answer(START)?;
        Ok(executor)
    }
}

/// A file that has no name.
fn scratch_file() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!(
        "palisade-fuzz-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let file = File::options().read(true).append(true).create(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

impl Executor {
    /// Has a program run.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn run(&mut self, request: &Request) -> Result<Outcome, Lost> {
        let Some(input) = self.input.as_mut() else { return Err(self.ended()) };
        if send(input, &request.encode()).is_err() {
            return Err(self.ended());
        }
        let waits: u64 = request.exec.calls.iter().map(|call| u64::from(call.after_ms)).sum();
        let patience = u64::from(request.patience_ms) * (2 + 2 * request.exec.calls.len() as u64);
        self.answer(Duration::from_millis(10_000 + waits + patience)).map(|body| Outcome::decode(&body))
    }

    fn answer(&mut self, limit: Duration) -> Result<Vec<u8>, Lost> {
        let ready = {
            let mut fds = [PollFd::from_borrowed_fd(self.output.as_fd(), PollFlags::IN)];
            let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
            poll(&mut fds, Some(&limit)).map_err(io::Error::from)?
        };
        if ready == 0 {
            return Err(Lost::Silent(limit));
        }
        receive(&mut self.output).map_err(|_| self.ended())
    }

    fn ended(&mut self) -> Lost {
        self.input = None;
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        Lost::Ended { status, said: self.take_said() }
    }

    /// What it has said since this was asked last.
    pub fn take_said(&mut self) -> String {
        let len = self.said.metadata().map_or(0, |meta| meta.len());
        if len <= self.heard {
            return String::new();
        }
        let mut bytes = Vec::new();
        let from = self.heard.max(len.saturating_sub(SAID));
        // A file of our own: what cannot be read is not there.
        let _ = self.said.seek(SeekFrom::Start(from));
        let _ = (&self.said).take(SAID).read_to_end(&mut bytes);
        self.heard = len;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The host's id of what was started.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.input = None;
        for _ in 0..50 {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a program may be found there.
pub fn is_there(path: &Path) -> bool {
    path.exists()
}
