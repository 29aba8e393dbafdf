//! `palisade pause` and `palisade resume`: the freezer of the container's cgroup.

use anyhow::{Context, Result, bail};
use runtime_oci::Status;
use runtime_oci::cgroup::Cgroup;

use crate::args::{Global, IdArgs};
use crate::commands::containers;

/// `palisade pause`.
pub(crate) fn pause(args: &IdArgs, global: &Global) -> Result<u8> {
    change(
        args,
        global,
        "pause",
        |status| matches!(status, Status::Running | Status::Created),
        |cgroup| cgroup.freeze().context("cannot pause the container"),
    )
}

/// `palisade resume`.
pub(crate) fn resume(args: &IdArgs, global: &Global) -> Result<u8> {
    change(
        args,
        global,
        "resume",
        |status| status == Status::Paused,
        |cgroup| cgroup.thaw().context("cannot resume the container"),
    )
}

fn change(
    args: &IdArgs,
    global: &Global,
    what: &str,
    may: impl FnOnce(Status) -> bool,
    body: impl FnOnce(&Cgroup) -> Result<()>,
) -> Result<u8> {
    let (_entry, record) = containers::find_locked(global, &args.id)?;
    if !may(record.status) {
        bail!("cannot {what} container {:?} that is {}", args.id, record.status.name());
    }
    let Some(cgroup) = &record.cgroup else {
        bail!("cannot {what} container {:?}: it has no cgroup; create it as root", args.id);
    };
    body(cgroup)?;
    Ok(0)
}
