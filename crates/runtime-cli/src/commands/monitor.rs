//! `palisade monitor`: security events of a running container; and where `--security-events` writes.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;
use runtime_oci::Status;

use crate::args::Global;
use crate::commands::{containers, until_signal};

#[derive(Debug, Args)]
pub(crate) struct MonitorArgs {
    /// Have the supervisor write them to a file or a listening socket from now on, and return at once
    #[arg(long, value_name = "FILE|unix:PATH")]
    to: Option<OsString>,
    /// Name of the container
    id: String,
}

/// Opens what security events are to be written to: nothing that makes the writer wait.
pub(super) fn open(to: &OsStr) -> Result<OwnedFd> {
    let remedy = |what: &str| format!("--security-events {}: {what}", to.display());
    if let Some(path) = to.as_bytes().strip_prefix(b"unix:") {
        let stream = UnixStream::connect(Path::new(OsStr::from_bytes(path)));
        let stream =
            stream.with_context(|| remedy("nobody listens there; start whoever takes the events first"))?;
        stream.set_nonblocking(true)?;
        return Ok(stream.into());
    }
    let mut options = std::fs::OpenOptions::new();
    let file = options.append(true).create(true).open(to);
    let file = file
        .with_context(|| remedy("cannot be written; name a file in a directory that can, or unix:SOCKET"))?;
    if !file.metadata()?.is_file() {
        bail!("{}", remedy("is no regular file; name one, or unix:SOCKET"));
    }
    Ok(file.into())
}

pub(crate) fn monitor(args: &MonitorArgs, global: &Global) -> Result<u8> {
    let (_entry, record) = containers::find(global, &args.id)?;
    if record.status == Status::Stopped {
        bail!("container {:?} has stopped: nothing happens in it", args.id);
    }
    let client = containers::connect(&record)?;
    if let Some(to) = &args.to {
        client.monitor(&args.id, open(to)?.as_fd())?;
        return Ok(0);
    }
    let (ours, theirs) = UnixStream::pair()?;
    theirs.set_nonblocking(true)?;
    let stopping = ours.try_clone()?;
    until_signal::then(move || {
        let _ = stopping.shutdown(std::net::Shutdown::Both);
    })?;
    client.monitor(&args.id, theirs.as_fd())?;
    drop(theirs);
    let mut out = io::stdout().lock();
    for line in BufReader::new(ours).lines() {
        let written = line.and_then(|line| writeln!(out, "{line}")).and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            written => written.context("cannot write to standard output")?,
        }
    }
    Ok(0)
}
