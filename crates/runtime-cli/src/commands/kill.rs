//! `palisade kill`.

use anyhow::{Result, bail};
use runtime_oci::Status;

use crate::args::{Global, KillArgs};
use crate::commands::{containers, signals};

pub(crate) fn kill(args: &KillArgs, global: &Global) -> Result<u8> {
    let (_entry, record) = containers::find(global, &args.id)?;
    let signal = signals::parse(&args.signal)?;
    match record.status {
        // As runc: with --all there may be others left, and none is no error.
        Status::Stopped if args.all => return Ok(0),
        Status::Stopped => bail!("container not running"),
        _ => {}
    }
    containers::connect(&record)?.kill(&args.id, None, signal, args.all)?;
    Ok(0)
}
