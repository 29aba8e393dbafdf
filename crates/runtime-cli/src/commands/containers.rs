//! What commands on existing containers share: finding one, its supervisor, and ending it for good.

use std::time::Duration;

use anyhow::{Context, Result};
use runtime_control::{CallError, Client, Kind};
use runtime_oci::hooks::{self, HookKind};
use runtime_oci::{Entry, Record, StateError, Status, Store};

use crate::args::Global;

/// How long a supervisor may take to end a container.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long a process may take to die of SIGKILL.
const DEATH: Duration = Duration::from_secs(10);

/// The store that the command line names.
pub(super) fn store(global: &Global) -> Store {
    Store::new(global.root.clone().unwrap_or_else(Store::default_root))
}

/// A container and its record as of now.
pub(super) fn find(global: &Global, id: &str) -> Result<(Entry, Record)> {
    let entry = store(global).open(id)?;
    let record = entry.read()?.ok_or_else(|| StateError::NotFound(id.to_owned()))?;
    Ok((entry, current(record)))
}

/// As [`find`], with the container locked.
pub(super) fn find_locked(global: &Global, id: &str) -> Result<(Entry, Record)> {
    let entry = store(global).open(id)?;
    if !entry.lock()? {
        return Err(StateError::NotFound(id.to_owned()).into());
    }
    let record = entry.read()?.ok_or_else(|| StateError::NotFound(id.to_owned()))?;
    Ok((entry, current(record)))
}

/// The record as of now; the freezer knows who is paused.
pub(super) fn current(record: Record) -> Record {
    let mut record = record.current();
    let frozen = |record: &Record| record.cgroup.as_ref().is_some_and(|cgroup| cgroup.is_frozen());
    if matches!(record.status, Status::Running) && frozen(&record) {
        record.status = Status::Paused;
    }
    record
}

/// A connection to a container's supervisor.
pub(super) fn connect(record: &Record) -> Result<Client> {
    runtime_control::connect(&record.sandbox)
        .with_context(|| format!("the supervisor of container {:?} does not answer", record.id))
}

/// Kills and removes a container, however much of it there is. Its entry is locked.
pub(super) fn destroy(entry: Entry, record: Option<&Record>) -> Result<()> {
    end_supervisor(&entry, record);
    let Some(record) = record else { return Ok(entry.remove()?) };
    // The guests die with the supervisor, but not in the same moment.
    if let Some(init) = record.init {
        let _ = init.wait_for_death(DEATH);
    }
    clean_up(entry, record)
}

/// Removes what is left of a container that has ended. Its entry is locked.
pub(super) fn clean_up(entry: Entry, record: &Record) -> Result<()> {
    if let Some(cgroup) = &record.cgroup {
        let _ = cgroup.kill_all();
        cgroup.remove()?;
    }
    if let Err(error) = hooks::run(HookKind::Poststop, &record.spec.hooks, &record.oci_state(Status::Stopped))
    {
        tracing::warn!("{error}");
    }
    Ok(entry.remove()?)
}

/// Has the supervisor end the container; where the supervisor is the container's own, it goes, too.
fn end_supervisor(entry: &Entry, record: Option<&Record>) {
    let sandbox = record.map_or(entry.path(), |record| &record.sandbox);
    let is_own = sandbox == entry.path();
    let said = runtime_control::supervisor_of(sandbox);
    let supervisor = record.and_then(|record| record.supervisor).or(said);
    let asked = runtime_control::connect(sandbox).map_err(CallError::from).and_then(|client| {
        client.set_timeout(PATIENCE)?;
        match client.delete(entry.id(), None) {
            // It holds none yet, or is still at making one: then there is no other.
            Err(error) if error.kind() == Some(Kind::NotFound) && is_own => client.shutdown(),
            other => other,
        }
    });
    if let Err(error) = asked {
        tracing::debug!(%error, "the supervisor does not answer");
    }
    if let Some(supervisor) = supervisor.filter(|_| is_own)
        && !supervisor.wait_for_death(Duration::from_secs(2))
    {
        supervisor.kill();
        let _ = supervisor.wait_for_death(DEATH);
    }
}
