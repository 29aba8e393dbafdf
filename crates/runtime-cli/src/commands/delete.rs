//! `palisade delete`.

use anyhow::{Result, bail};
use runtime_oci::{StateError, Status};

use crate::args::{DeleteArgs, Global};
use crate::commands::containers;

pub(crate) fn delete(args: &DeleteArgs, global: &Global) -> Result<u8> {
    let entry = match containers::store(global).open(&args.id) {
        Ok(entry) => entry,
        // As runc: whoever forces does not mind.
        Err(StateError::NotFound(_)) if args.force => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    if !entry.lock()? {
        return if args.force { Ok(0) } else { Err(StateError::NotFound(args.id.clone()).into()) };
    }
    let record = match entry.read() {
        Ok(record) => record,
        Err(StateError::Malformed(..)) if args.force => None,
        Err(error) => return Err(error.into()),
    };
    let status = record.clone().map(containers::current).map(|record| record.status);
    match status {
        None if !args.force => Err(StateError::NotFound(args.id.clone()).into()),
        Some(Status::Creating | Status::Running | Status::Paused) if !args.force => {
            let name = status.map_or("", Status::name);
            bail!("cannot delete container {} that is not stopped: {name}", args.id)
        }
        _ => {
            if let Some(cgroup) = record.as_ref().and_then(|record| record.cgroup.as_ref())
                && status == Some(Status::Paused)
            {
                // SIGKILL does not reach frozen processes in version 1.
                let _ = cgroup.thaw();
            }
            containers::destroy(entry, record.as_ref())?;
            Ok(0)
        }
    }
}
