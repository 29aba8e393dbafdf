//! `delete`: removes what a container leaves when its shim is dead, and tells how it ended.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::Message;
use runtime_oci::{Entry, Record, StateError, Store};

use crate::args::Args;
use crate::container::{ROOTFS, STORE, SUPERVISOR};
use crate::process::{exited_at, killed};
use crate::{ending, rootfs, start};

/// How long a pod's supervisor may take to end one of its containers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes the container whose bundle is named, or the working directory.
pub(crate) fn delete(args: &Args) -> Result<()> {
    let bundle = match args.bundle.as_str() {
        "" => std::env::current_dir().context("the bundle")?,
        bundle => PathBuf::from(bundle),
    };
    let mut exit = killed();
    let mut response = DeleteResponse::new();
    // The pod's first container has the supervisor in its bundle.
    let own = bundle.join(SUPERVISOR);
    if own.exists() {
        ending::end_supervisor(&own);
    }
    match Store::new(bundle.join(STORE)).open(&args.id) {
        Ok(entry) => {
            if let Some(record) = remove(entry, &own)? {
                exit.status = record.exit_status.unwrap_or(exit.status);
                response.pid = record.pid().cast_unsigned();
            }
        }
        Err(StateError::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    rootfs::unmount_all(&bundle.join(ROOTFS));
    for left in [own, bundle.join(STORE)] {
        let _ = fs::remove_dir_all(left);
    }
    remove_socket(&bundle);
    response.exit_status = exit.status.into();
    response.exited_at = Some(exited_at(&exit)).into();
    let answer = response.write_to_bytes().context("cannot answer")?;
    std::io::stdout().write_all(&answer).context("cannot answer")
}

fn remove(entry: Entry, own: &Path) -> Result<Option<Record>> {
    if !entry.lock()? {
        return Ok(None);
    }
    // A record that cannot be read tells nothing.
    let Some(record) = entry.read().ok().flatten() else {
        entry.remove()?;
        return Ok(None);
    };
    if record.sandbox != own
        && let Ok(client) = runtime_control::connect(&record.sandbox)
    {
        let _ = client.set_timeout(PATIENCE);
        let _ = client.delete(&record.id, None);
    }
    if let Some(init) = record.init {
        let _ = init.wait_for_death(ending::DEATH);
    }
    ending::clean_up(entry, &record)?;
    Ok(Some(record))
}

/// Removes the shim's socket, unless there is still somebody behind it.
fn remove_socket(bundle: &Path) {
    if let Some(socket) = start::socket_of(bundle)
        && UnixStream::connect(&socket).is_err()
    {
        let _ = fs::remove_file(socket);
    }
}
