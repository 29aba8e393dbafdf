//! Keeps a container's record in its state directory true.

use kernel_base::sync::Mutex;
use runtime_control::Exit;
use runtime_oci::hooks::HookKind;
use runtime_oci::{Entry, ProcessId, Record, Status};
use serde_json::Value;

use crate::error::Error;

/// The record of one container; written by its supervisor alone once the container is made.
///
/// It is written no more often than somebody can see a difference: each time is a file of its own and a rename.
pub(crate) struct Keeper {
    entry: Entry,
    record: Mutex<Record>,
    /// Whether nobody asks for it between its making and its start: a run in the foreground without hooks.
    starts_at_once: bool,
}

impl Keeper {
    /// Takes over a record: of a container whose supervisor this process is from now on. Until it is created, its maker
    /// stands for it.
    pub(crate) fn new(entry: Entry, mut record: Record) -> Self {
        let own = ProcessId::own();
        let has_hooks = [
            HookKind::Prestart,
            HookKind::CreateRuntime,
            HookKind::CreateContainer,
            HookKind::StartContainer,
        ]
        .iter()
        .any(|kind| !kind.of(&record.spec.hooks).is_empty());
        let starts_at_once = record.supervisor == own && !has_hooks;
        record.supervisor = own;
        Self { entry, record: Mutex::new(record), starts_at_once }
    }

    fn change(&self, change: impl FnOnce(&mut Record)) -> Result<(), Error> {
        let mut record = self.record.lock();
        change(&mut record);
        self.entry.write(&record).map_err(Error::State)
    }

    pub(crate) fn created(&self, pid: i32) -> Result<(), Error> {
        let created = |record: &mut Record| {
            record.status = Status::Created;
            record.init = ProcessId::of(pid);
        };
        if self.starts_at_once {
            created(&mut self.record.lock());
            return Ok(());
        }
        self.change(created)
    }

    pub(crate) fn running(&self) -> Result<(), Error> {
        self.change(|record| record.status = Status::Running)
    }

    pub(crate) fn stopped(&self, exit: Exit) {
        // What goes with its end is about to; its dead processes tell that it has stopped.
        if self.record.lock().transient {
            return;
        }
        let changed = self.change(|record| {
            record.status = Status::Stopped;
            record.exit_status = Some(exit.status);
        });
        // It may be gone already: delete --force.
        if let Err(error) = changed {
            tracing::debug!(%error, "cannot write a record");
        }
    }

    /// What hooks are told.
    pub(crate) fn oci_state(&self, status: Status) -> Value {
        self.record.lock().oci_state(status)
    }
}
