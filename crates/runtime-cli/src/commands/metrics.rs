//! `palisade metrics`: one look at a container, in Prometheus's text format.

use anyhow::{Result, bail};
use runtime_oci::Status;
use runtime_watch::{prometheus, sample};

use crate::args::{Global, IdArgs};
use crate::commands::{containers, print};

pub(crate) fn metrics(args: &IdArgs, global: &Global) -> Result<u8> {
    let (_entry, record) = containers::find(global, &args.id)?;
    if record.status == Status::Stopped {
        bail!("container {:?} has stopped: there is nothing to measure", args.id);
    }
    print(&prometheus::text(&[sample::of("", record)]))?;
    Ok(0)
}
