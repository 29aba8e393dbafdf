//! Ending supervisors and containers for good.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use runtime_oci::hooks::{self, HookKind};
use runtime_oci::{Entry, ProcessId, Record, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::Error;

/// How long a supervisor may take to end its containers.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a process may take to die of SIGKILL.
pub(crate) const DEATH: Duration = Duration::from_secs(10);

/// Removes what is left of a container that has ended. Its entry is locked.
pub(crate) fn clean_up(entry: Entry, record: &Record) -> Result<(), Error> {
    if let Some(cgroup) = &record.cgroup {
        // SIGKILL does not reach frozen processes in version 1.
        let _ = cgroup.thaw();
        let _ = cgroup.kill_all();
        cgroup.remove()?;
    }
    let state = record.oci_state(Status::Stopped);
    if let Err(error) = hooks::run(HookKind::Poststop, &record.spec.hooks, &state) {
        tracing::warn!("{error}");
    }
    Ok(entry.remove()?)
}

/// Ends the supervisor with this directory, and all guests with it.
pub(crate) fn end_supervisor(dir: &Path) {
    // One that is just coming up has not said who it is, but holds its socket.
    if let Ok(client) = runtime_control::connect(dir) {
        let asked = client.set_timeout(PATIENCE).map_err(Into::into).and_then(|()| client.shutdown());
        if let Err(error) = asked {
            tracing::debug!(%error, "the supervisor does not answer");
        }
    }
    if let Some(supervisor) = runtime_control::supervisor_of(dir)
        && !wait_for_death(supervisor, Duration::from_millis(200))
    {
        if let Some(pidfd) = handle(supervisor) {
            let _ = pidfd_send_signal(pidfd, Signal::KILL);
        }
        wait_for_death(supervisor, DEATH);
    }
}

/// A handle of a process that is still the one that was meant.
fn handle(process: ProcessId) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    process.is_alive().then_some(pidfd)
}

/// Waits until a process is dead; false if it is not after `limit`.
pub(crate) fn wait_for_death(process: ProcessId, limit: Duration) -> bool {
    let Some(pidfd) = handle(process) else { return true };
    let until = Instant::now() + limit;
    loop {
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).unwrap_or_default();
        match poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&left)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return !process.is_alive(),
        }
    }
}
