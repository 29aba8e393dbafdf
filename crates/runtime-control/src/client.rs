//! The blocking client, and the socket's place.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime_oci::LinuxResources;

use crate::frame;
use crate::message::{Create, Exec, Exit, Kind, Refusal, Reply, Request, Started, State};
use crate::observe::{Depth, Inspection, Stats, TraceBatch, TraceFilter};

/// The socket's name in a sandbox's directory.
const SOCKET: &str = "control.sock";

/// Why a call brought no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("cannot talk to the supervisor: {0}")]
    Connection(#[from] io::Error),
    #[error("the supervisor's answer belongs to another question; it is of another version")]
    Unexpected,
}

impl CallError {
    /// The kind of refusal, if it is one.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Refused(refusal) => Some(refusal.kind),
            _ => None,
        }
    }
}

/// A name of `dir`/control.sock that is short enough for a socket address (108 bytes), whatever `dir` is.
fn with_short_path<T>(dir: &Path, body: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let dir = File::open(dir)?;
    body(&PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd())))
}

/// Makes the control socket in the directory of a sandbox.
pub fn listen(dir: &Path) -> io::Result<UnixListener> {
    with_short_path(dir, |path| UnixListener::bind(path))
}

/// Connects to the supervisor of the sandbox with this directory.
pub fn connect(dir: &Path) -> io::Result<Client> {
    with_short_path(dir, |path| UnixStream::connect(path)).map(|stream| Client { stream })
}

/// Ends a conversation: whoever waits for an answer finds the connection closed.
#[derive(Debug)]
pub struct Stopper(UnixStream);

impl Stopper {
    /// Does it.
    pub fn stop(&self) {
        // It may be closed already.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

/// A connection to a supervisor.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

impl Client {
    /// Gives up on answers that take longer.
    pub fn set_timeout(&self, limit: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(limit))
    }

    /// Asks, and waits for the answer and its descriptors.
    pub fn call(
        &self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>), CallError> {
        frame::send(&self.stream, request, fds)?;
        match frame::receive(&self.stream)? {
            Some((Reply::Refused(refusal), _)) => Err(refusal.into()),
            Some(answer) => Ok(answer),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    fn done(&self, request: &Request) -> Result<(), CallError> {
        match self.call(request, &[])?.0 {
            Reply::Done => Ok(()),
            _ => Err(CallError::Unexpected),
        }
    }

    fn started(
        &self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Started, Option<OwnedFd>), CallError> {
        match self.call(request, fds)? {
            (Reply::Started(started), fds) => Ok((started, fds.into_iter().next())),
            _ => Err(CallError::Unexpected),
        }
    }

    /// Makes a container; with its terminal's master.
    pub fn create(
        &self,
        create: Create,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Started, Option<OwnedFd>), CallError> {
        self.started(&Request::Create(Box::new(create)), fds)
    }

    /// Runs a container's program.
    pub fn start(&self, id: &str) -> Result<(), CallError> {
        self.done(&Request::Start { id: id.to_owned() })
    }

    /// Runs a process in a container; with its terminal's master.
    pub fn exec(&self, exec: Exec, fds: &[BorrowedFd<'_>]) -> Result<(Started, Option<OwnedFd>), CallError> {
        self.started(&Request::Exec(Box::new(exec)), fds)
    }

    /// Sends a signal to a process.
    pub fn kill(&self, id: &str, exec_id: Option<&str>, signal: i32, all: bool) -> Result<(), CallError> {
        let exec_id = exec_id.map(str::to_owned);
        self.done(&Request::Kill { id: id.to_owned(), exec_id, signal, all })
    }

    /// Where a process is in its life.
    pub fn state(&self, id: &str, exec_id: Option<&str>) -> Result<State, CallError> {
        let request = Request::State { id: id.to_owned(), exec_id: exec_id.map(str::to_owned) };
        match self.call(&request, &[])?.0 {
            Reply::State(state) => Ok(state),
            _ => Err(CallError::Unexpected),
        }
    }

    /// Tells of a container's changed limits, all of them.
    pub fn update(&self, id: &str, resources: &LinuxResources) -> Result<(), CallError> {
        let resources = Box::new(resources.clone());
        self.done(&Request::Update { id: id.to_owned(), resources })
    }

    /// The host ids of a container's processes.
    pub fn pids(&self, id: &str) -> Result<Vec<i32>, CallError> {
        match self.call(&Request::Pids { id: id.to_owned() }, &[])?.0 {
            Reply::Pids(pids) => Ok(pids),
            _ => Err(CallError::Unexpected),
        }
    }

    /// Waits for a process's end; the connection's last question.
    pub fn wait(self, id: &str, exec_id: Option<&str>) -> Result<Exit, CallError> {
        let request = Request::Wait { id: id.to_owned(), exec_id: exec_id.map(str::to_owned) };
        match self.call(&request, &[])?.0 {
            Reply::Exited(exit) => Ok(exit),
            _ => Err(CallError::Unexpected),
        }
    }

    /// Forgets a process or a container.
    pub fn delete(&self, id: &str, exec_id: Option<&str>) -> Result<(), CallError> {
        self.done(&Request::Delete { id: id.to_owned(), exec_id: exec_id.map(str::to_owned) })
    }

    /// Has a container's calls counted for `lease` from now on, and tells what was counted so far.
    pub fn stats(&self, id: &str, depth: Depth, lease: Duration) -> Result<Stats, CallError> {
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        match self.call(&Request::Stats { id: id.to_owned(), depth, lease_ms }, &[])?.0 {
            Reply::Stats(stats) => Ok(*stats),
            _ => Err(CallError::Unexpected),
        }
    }

    /// What a container is doing at this moment.
    pub fn inspect(&self, id: &str) -> Result<Inspection, CallError> {
        match self.call(&Request::Inspect { id: id.to_owned() }, &[])?.0 {
            Reply::Inspection(inspection) => Ok(*inspection),
            _ => Err(CallError::Unexpected),
        }
    }

    /// Has a container's security events written to `to`, which must not block.
    pub fn monitor(&self, id: &str, to: BorrowedFd<'_>) -> Result<(), CallError> {
        match self.call(&Request::Monitor { id: id.to_owned() }, &[to])?.0 {
            Reply::Done => Ok(()),
            _ => Err(CallError::Unexpected),
        }
    }

    /// What ends the conversation from another thread.
    pub fn stopper(&self) -> io::Result<Stopper> {
        self.stream.try_clone().map(Stopper)
    }

    /// Tells of a container's calls by `each`, until it has ended or `each` says to stop; the connection's last question.
    pub fn trace(
        self,
        id: &str,
        filter: TraceFilter,
        mut each: impl FnMut(TraceBatch) -> ControlFlow<()>,
    ) -> Result<(), CallError> {
        frame::send(&self.stream, &Request::Trace { id: id.to_owned(), filter }, &[])?;
        loop {
            match frame::receive(&self.stream)?.map(|(reply, _)| reply) {
                Some(Reply::Traced(batch)) => {
                    let ended = batch.ended;
                    if each(batch).is_break() || ended {
                        return Ok(());
                    }
                }
                Some(Reply::Refused(refusal)) => return Err(refusal.into()),
                Some(_) => return Err(CallError::Unexpected),
                // The supervisor ended, and the container with it.
                None => return Ok(()),
            }
        }
    }

    /// Ends the supervisor with all its containers.
    pub fn shutdown(&self) -> Result<(), CallError> {
        self.done(&Request::Shutdown)
    }
}
