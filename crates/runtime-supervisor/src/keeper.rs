//! Keeps a container's record in its state directory true.

use kernel_base::sync::Mutex;
use runtime_control::Exit;
use runtime_oci::{Entry, ProcessId, Record, Status};
use serde_json::Value;

use crate::error::Error;

/// The record of one container; written by its supervisor alone once the container is made.
pub(crate) struct Keeper {
    entry: Entry,
    record: Mutex<Record>,
}

impl Keeper {
    /// Takes over a record: of a container whose supervisor this process is from now on.
    pub(crate) fn new(entry: Entry, mut record: Record) -> Result<Self, Error> {
        record.supervisor = ProcessId::own();
        entry.write(&record).map_err(Error::State)?;
        Ok(Self { entry, record: Mutex::new(record) })
    }

    fn change(&self, change: impl FnOnce(&mut Record)) -> Result<(), Error> {
        let mut record = self.record.lock();
        change(&mut record);
        self.entry.write(&record).map_err(Error::State)
    }

    pub(crate) fn created(&self, pid: i32) -> Result<(), Error> {
        self.change(|record| {
            record.status = Status::Created;
            record.init = ProcessId::of(pid);
        })
    }

    pub(crate) fn running(&self) -> Result<(), Error> {
        self.change(|record| record.status = Status::Running)
    }

    pub(crate) fn stopped(&self, exit: Exit) {
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
