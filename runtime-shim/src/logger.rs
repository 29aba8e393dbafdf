//! A process's output given to a logging program, as `binary:///PROGRAM?KEY=VALUE&…` asks (containerd's `binary` log URIs,
//! which nerdctl uses): descriptor 3 is the output, 4 the errors, and 5 is closed by the program when it is ready.

use std::io::{ErrorKind, PipeReader, Read, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use percent_encoding::percent_decode_str;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{Error, io};

/// How long a logger may take until it is ready, and to end once nothing writes any more: containerd's own limit
/// (pkg/process/io.go, v1.7, `binaryIOProcTermTimeout`).
const PATIENCE: Duration = Duration::from_secs(12);
/// The watching thread does next to nothing.
const STACK: usize = 64 * 1024;

/// Where a process's output and errors go.
pub(crate) struct Logged {
    pub(crate) output: OwnedFd,
    pub(crate) errors: OwnedFd,
    /// Closed when the process has ended, upon which the logger must.
    pub(crate) process: OwnedFd,
}

/// Starts the program that a URI's part after `binary://` names, for the process `id` of `namespace`.
pub(crate) fn start(uri: &str, id: &str, namespace: &str) -> Result<Logged, Error> {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let program = percent_decode_str(path).decode_utf8_lossy().into_owned();
    if !Path::new(&program).is_absolute() {
        return Err(Error::Invalid(format!("binary://{uri}: name the logging program by its whole path")));
    }
    let make = || pipe().map_err(io("a pipe"));
    let ((output, output_end), (errors, errors_end), (ready, ready_end)) = (make()?, make()?, make()?);
    let mut command = Command::new(&program);
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        command.arg(key.as_ref()).arg(value.as_ref());
    }
    command.env_clear().env("CONTAINER_ID", id).env("CONTAINER_NAMESPACE", namespace);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let fds: [OwnedFd; 3] = [output.into(), errors.into(), ready_end.into()];
    let mappings = fds.into_iter().zip(3..).map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
    command.fd_mappings(mappings.collect()).map_err(|error| Error::Invalid(error.to_string()))?;
    let mut logger = command.spawn().map_err(io(&program))?;
    // The command holds the program's sides.
    drop(command);
    let told = wait_until_ready(ready);
    if let Err(error) = told {
        let _ = logger.kill();
        let _ = logger.wait();
        return Err(io(format!("{program}, which is to log"))(error));
    }
    let (over, over_end) = make()?;
    let reap = move || reap(logger, &over);
    thread::Builder::new().name("logger".to_owned()).stack_size(STACK).spawn(reap).map_err(io("a thread"))?;
    Ok(Logged { output: output_end.into(), errors: errors_end.into(), process: over_end.into() })
}

/// Returns when the program has closed its side, or written to it.
fn wait_until_ready(mut ready: PipeReader) -> std::io::Result<()> {
    if !comes(ready.as_fd(), Some(PATIENCE))? {
        return Err(std::io::Error::new(ErrorKind::TimedOut, "did not say that it is ready"));
    }
    ready.read(&mut [0]).map(drop)
}

/// Waits for a logger, which has to end soon after the process for which it logs: then `over` ends.
fn reap(mut logger: Child, over: &PipeReader) {
    let gone = || -> std::io::Result<bool> {
        comes(over.as_fd(), None)?;
        let pid = Pid::from_child(&logger);
        comes(pidfd_open(pid, PidfdFlags::empty())?.as_fd(), Some(PATIENCE))
    };
    if !gone().unwrap_or(false) {
        tracing::warn!("the logging program did not end with its process; killed");
        let _ = logger.kill();
    }
    let _ = logger.wait();
}

/// Whether the descriptor becomes readable, or ends, in time.
fn comes(fd: BorrowedFd<'_>, limit: Option<Duration>) -> std::io::Result<bool> {
    let limit = limit.map(|limit| Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: 0 });
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| poll(&mut fds, limit.as_ref()))? != 0)
}
