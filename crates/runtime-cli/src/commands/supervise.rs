//! `palisade supervise` and `palisade await`: processes that other commands start.

use anyhow::Result;
use runtime_control::{CallError, Kind};

use crate::args::{AwaitArgs, SuperviseArgs};
use crate::commands::signal_thread;

pub(crate) fn supervise(args: &SuperviseArgs) -> Result<u8> {
    runtime_supervisor::supervise(&args.dir, args.single, args.tied)?;
    Ok(0)
}

/// Ends as the process does, and passes signals on to it: what an engine waits for and kills.
pub(crate) fn wait(args: &AwaitArgs) -> Result<u8> {
    signal_thread::forward(&args.dir, &args.id, &args.exec_id)?;
    let waited = runtime_control::connect(&args.dir)
        .map_err(CallError::from)
        .and_then(|client| client.wait(&args.id, Some(&args.exec_id)));
    let _ = runtime_control::connect(&args.dir).map(|client| client.delete(&args.id, Some(&args.exec_id)));
    match waited {
        Ok(exit) => Ok(exit.status),
        Err(error) if error.kind() == Some(Kind::NotFound) => Err(error.into()),
        // The supervisor is dead, and the process with it: killed.
        Err(_) => Ok(137),
    }
}
