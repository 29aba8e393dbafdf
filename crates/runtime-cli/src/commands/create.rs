//! `palisade create`.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use runtime_control::{Client, Create, Needs, Places, Rootfs, Started, Streams, WindowSize};
use runtime_oci::{Entry, ProcessSpec, Record};

use crate::args::{CreateArgs, Global, LogFormat};
use crate::commands::{containers, making, monitor};

pub(crate) fn create(args: &CreateArgs, global: &Global) -> Result<u8> {
    make(args, global)?;
    Ok(0)
}

/// Makes a container that waits for its start; with the connection to its supervisor.
pub(super) fn make(args: &CreateArgs, global: &Global) -> Result<Client> {
    let spec = making::load(args)?;
    making::check_console(spec.process.terminal, true, args.console_socket.as_deref())?;
    let preserved = making::preserved(args.preserve_fds)?;
    let (entry, record) = making::reserve(global, args, spec, |_| {})?;
    let mut fds: Vec<BorrowedFd<'_>> = Vec::new();
    if !record.spec.process.terminal {
        fds.extend(making::standard_streams());
    }
    fds.extend(preserved.iter().map(AsFd::as_fd));
    match bring_up(args, global, &entry, &record, &fds) {
        Ok(client) => Ok(client),
        Err(error) => {
            let record = entry.read().ok().flatten().unwrap_or(record);
            let _ = containers::destroy(entry, Some(&record));
            Err(error)
        }
    }
}

fn bring_up(
    args: &CreateArgs,
    global: &Global,
    entry: &Entry,
    record: &Record,
    fds: &[BorrowedFd<'_>],
) -> Result<Client> {
    let options = runtime_control::Options {
        program: None,
        arguments: log_arguments(global)?,
        single: true,
        tied: false,
    };
    let supervisor = runtime_control::start(entry.path(), &options).context("cannot start a supervisor")?;
    let strace = args.tracing.strace.as_deref().map(std::path::absolute).transpose()?;
    let needs = Needs {
        spec: &record.spec,
        rootfs: Rootfs::Opened,
        cgroup: record.cgroup.as_ref(),
        entry: Some(entry),
        trace: strace.as_deref(),
    };
    let places = Places::open(&needs)?;
    let fds: Vec<_> = fds.iter().copied().chain(places.descriptors()).collect();
    let request = Create {
        id: record.id.clone(),
        bundle: record.bundle.clone(),
        spec: record.spec.clone(),
        streams: streams(&record.spec.process),
        places: places.names(),
        cgroup: record.cgroup.clone(),
    };
    let events = args.tracing.security_events.as_deref().map(monitor::open).transpose()?;
    let (Started { supervisor: pid, .. }, master) = supervisor.client.create(request, &fds)?;
    if let Some(events) = events {
        supervisor.client.monitor(&record.id, events.as_fd())?;
    }
    if let (Some(socket), Some(master)) = (&args.console_socket, &master) {
        making::send_console(socket, master)?;
    }
    let record = entry.read()?.context("the container's record is gone")?;
    making::run_hooks(&record)?;
    if let Some(path) = &args.pid_file {
        making::write_pid_file(path, pid)?;
    }
    Ok(supervisor.client)
}

/// Where a process's streams go when somebody else relays its terminal.
pub(super) fn streams(process: &ProcessSpec) -> Streams {
    if !process.terminal {
        return Streams::Given;
    }
    let size = process.console_size.map(|size| WindowSize { rows: size.height, columns: size.width });
    Streams::Terminal(size)
}

/// What makes a supervisor log as we do.
fn log_arguments(global: &Global) -> Result<Vec<OsString>> {
    let mut arguments = Vec::new();
    if global.debug {
        arguments.push("--debug".into());
    }
    if let Some(log) = &global.log {
        arguments.extend(["--log".into(), std::path::absolute(log)?.into_os_string()]);
    }
    if global.log_format == LogFormat::Json {
        arguments.extend(["--log-format".into(), "json".into()]);
    }
    Ok(arguments)
}
