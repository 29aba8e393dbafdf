//! `palisade start`.

use anyhow::{Result, bail};
use runtime_control::Client;
use runtime_oci::hooks::{self, HookKind};
use runtime_oci::{Record, Status};

use crate::args::{Global, IdArgs};
use crate::commands::containers;

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
    // config.md: a failure is logged, and life goes on.
    if let Err(error) = hooks::run(HookKind::Poststart, &record.spec.hooks, &state) {
        tracing::warn!("{error}");
    }
    Ok(())
}
