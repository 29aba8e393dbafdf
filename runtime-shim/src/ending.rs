//! Ending supervisors and containers for good.

use std::path::Path;
use std::time::Duration;

use runtime_oci::hooks::{self, HookKind};
use runtime_oci::{Entry, Record, Status};

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
        && !supervisor.wait_for_death(Duration::from_millis(200))
    {
        supervisor.kill();
        let _ = supervisor.wait_for_death(DEATH);
    }
}
