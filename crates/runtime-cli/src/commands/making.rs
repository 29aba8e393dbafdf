//! What `create`, `run` and `exec` share: a container's place and cgroup, descriptors, console socket, pid file.

use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, Result, bail};
use runtime_oci::cgroup::{Cgroup, CgroupRequest, Driver};
use runtime_oci::hooks::{self, HookKind};
use runtime_oci::{ContainerSpec, Entry, Record, StateError, Status};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::args::{CreateArgs, Global, Rootless};
use crate::commands::containers;

/// Hooks between a container's making and its start, in their order.
const BEFORE_START: [HookKind; 3] = [HookKind::Prestart, HookKind::CreateRuntime, HookKind::CreateContainer];

/// Reads the bundle.
pub(super) fn load(args: &CreateArgs) -> Result<ContainerSpec> {
    let mut spec = runtime_oci::load(&args.bundle)?;
    spec.rootfs = runtime_oci::resolve_rootfs(&args.bundle, &spec.rootfs)?;
    spec.strict = args.tracing.strict;
    args.network.apply(&mut spec.network);
    let listening = listen_fds();
    if listening > 0 {
        spec.process.env.retain(|pair| !pair.starts_with(b"LISTEN_"));
        spec.process.env.push(format!("LISTEN_FDS={listening}").into_bytes());
        spec.process.env.push(b"LISTEN_PID=1".to_vec());
    }
    Ok(spec)
}

/// Takes the id, and makes the cgroup; `complete` says more of the container. The entry is locked; whatever fails later,
/// [`containers::clean_up`] removes all of it.
pub(super) fn reserve(
    global: &Global,
    args: &CreateArgs,
    spec: ContainerSpec,
    complete: impl FnOnce(&mut Record),
) -> Result<(Entry, Record)> {
    let bundle = args.bundle.canonicalize().with_context(|| format!("bundle {}", args.bundle.display()))?;
    let entry = take(global, &args.id)?;
    let mut record = Record::new(&args.id, bundle);
    record.sandbox = entry.path().to_path_buf();
    record.spec = spec;
    complete(&mut record);
    match place(global, &entry, &mut record) {
        Ok(()) => Ok((entry, record)),
        Err(error) => {
            let _ = containers::clean_up(entry, &record);
            Err(error)
        }
    }
}

/// Takes the id. What a `run` in the foreground was killed over is nobody's, and removed first.
fn take(global: &Global, id: &str) -> Result<Entry> {
    let store = containers::store(global);
    match store.create(id) {
        Err(StateError::Exists(_)) => {}
        other => return Ok(other?),
    }
    let entry = store.open(id)?;
    let record = if entry.try_lock()? == Some(true) { entry.read()? } else { None };
    if let Some(record) = record
        && record.transient
        && record.status_now() == Status::Stopped
    {
        containers::destroy(entry, Some(&record))?;
    }
    Ok(store.create(id)?)
}

fn place(global: &Global, entry: &Entry, record: &mut Record) -> Result<()> {
    let driver = if global.systemd_cgroup { Driver::Systemd } else { Driver::Cgroupfs };
    let resources = record.spec.resources.clone();
    let path = record.spec.cgroups_path.clone();
    let request = CgroupRequest { id: &record.id, path: path.as_deref(), driver, resources: &resources };
    let made = Cgroup::plan(&request).inspect(|cgroup| record.cgroup = Some(cgroup.clone()));
    // Written before anything is made, so that whoever removes the container knows all of it.
    entry.write(record)?;
    let made = made.and_then(|cgroup| cgroup.make(&resources));
    let tolerant = match global.rootless {
        Rootless::True => true,
        Rootless::False => false,
        Rootless::Auto => !rustix::process::geteuid().is_root(),
    };
    match made {
        Ok(()) => Ok(()),
        // As runc: only who asked for a certain group must get it.
        Err(error) if tolerant && path.is_none() => {
            tracing::warn!(%error, "no cgroup");
            record.cgroup = None;
            Ok(entry.write(record)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Runs the hooks before the start; the first that fails ends it.
pub(super) fn run_hooks(record: &Record) -> Result<(), hooks::HookError> {
    let state = record.oci_state(Status::Creating);
    BEFORE_START.into_iter().try_for_each(|kind| hooks::run(kind, &record.spec.hooks, &state))
}

/// How many descriptors systemd's protocol says are passed (sd_listen_fds(3)).
fn listen_fds() -> u32 {
    std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Most descriptors that are passed on.
const MAX_PRESERVED: u32 = 128;

/// The descriptors from 3 on that the container is to have.
pub(super) fn preserved(count: u32) -> Result<Vec<OwnedFd>> {
    let all = count.saturating_add(listen_fds());
    if all > MAX_PRESERVED {
        bail!("--preserve-fds {count}: at most {MAX_PRESERVED} descriptors can be passed");
    }
    if all == 0 {
        return Ok(Vec::new());
    }
    let me = host_sys::pidfd::open_process(std::process::id().cast_signed())?;
    (0..all)
        .map(|at| {
            let number = 3 + at.cast_signed();
            host_sys::pidfd::take_fd(me.as_fd(), number)
                .with_context(|| format!("--preserve-fds {count}: descriptor {number} is not open"))
        })
        .collect()
}

/// Our standard streams, to be passed on.
pub(super) fn standard_streams() -> [BorrowedFd<'static>; 3] {
    [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()]
}

/// Sends a terminal's master to a console socket, as runc does: its name is the message.
pub(super) fn send_console(socket: &Path, master: &OwnedFd) -> Result<()> {
    let sent = UnixStream::connect(socket).and_then(|stream| {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = [master.as_fd()];
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        let name = [std::io::IoSlice::new(b"/dev/ptmx")];
        Ok(sendmsg(&stream, &name, &mut ancillary, SendFlags::NOSIGNAL)?)
    });
    let remedy = "cannot be sent the terminal; give an AF_UNIX stream socket that somebody listens on";
    sent.map(drop).with_context(|| format!("--console-socket {}: {remedy}", socket.display()))
}

/// Checks that there is somebody to have the terminal: runc's rules.
pub(super) fn check_console(terminal: bool, detach: bool, socket: Option<&Path>) -> Result<()> {
    match (terminal, detach, socket) {
        (true, true, None) => {
            bail!("cannot allocate tty if palisade will detach without setting console socket")
        }
        (false, _, Some(_)) | (_, false, Some(_)) => {
            bail!("cannot use console socket if palisade will not detach or allocate tty")
        }
        _ => Ok(()),
    }
}

/// Writes a process id, all or nothing.
pub(super) fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    let mut name = path.file_name().context("--pid-file: name a file")?.to_owned();
    name.push(format!(".{}", std::process::id()));
    let fresh = path.with_file_name(name);
    let written = std::fs::File::create(&fresh)
        .and_then(|mut file| write!(file, "{pid}"))
        .and_then(|()| std::fs::rename(&fresh, path));
    written.with_context(|| format!("--pid-file {}: cannot be written", path.display()))
}
