//! `palisade start`.

use anyhow::{Result, bail};
use runtime_control::Client;
use runtime_oci::hooks::{self, HookKind};
use runtime_oci::{Record, Status};

use crate::args::{Global, IdArgs};
use crate::commands::containers;

const SIGKILL: i32 = 9;

pub(crate) fn start(args: &IdArgs, global: &Global) -> Result<u8> {
    let (_entry, record) = containers::find_locked(global, &args.id)?;
    match record.status {
        Status::Created => {}
        Status::Stopped => bail!("cannot start a container that has stopped"),
        Status::Creating => bail!("cannot start a container that is being created"),
        Status::Running | Status::Paused => bail!("cannot start an already running container"),
    }
    begin(&containers::connect(&record)?, &record)?;
    Ok(0)
}

/// Runs a created container's program.
pub(super) fn begin(client: &Client, record: &Record) -> Result<()> {
    client.start(&record.id)?;
    let state = record.oci_state(Status::Running);
    hooks::run(HookKind::Poststart, &record.spec.hooks, &state).map_err(|error| {
        // As runc: config.md would have life go on, with a line in the log.
        let ended = client.kill(&record.id, None, SIGKILL, true).and_then(|()| {
            let waiting = runtime_control::connect(&record.sandbox)?;
            waiting.wait(&record.id, None)
        });
        if let Err(error) = ended {
            tracing::debug!(%error, "a container ends by itself");
        }
        error.into()
    })
}
