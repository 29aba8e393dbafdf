//! Making a container's init.
//!
//! Parent and child talk over a socket pair, a byte at a time:
//!
//! | child | parent |
//! |---|---|
//! | waits | writes uid_map and gid_map, raises RLIMIT_NOFILE, sends [`GO`] |
//! | sets itself up, sends [`READY`], installs the filter | takes the listener by pidfd_getfd |
//! | execveat, which is the first notification | |
//!
//! The child cannot say that the filter is in place, because the write would be a call of the guest already.
//! So the parent polls for the listener, whose number in the child's (emptied) fd table is known. A failed step
//! is reported as [`FAILED`], step, errno.
//!
//! A process that joins a container ([`join`]) is made by a helper, because only its children are in the pid
//! namespace that a process enters, and because a process of several threads may not enter a user namespace. The
//! helper says who it made ([`MADE`] and the id), as our child (CLONE_PARENT), and is gone; the rest is the same.

pub(crate) mod child;
mod error;

use std::ffi::CString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use abi_linux::{Errno, SysResult};
use host_sys::child::{Side, Strings};
use host_sys::memfd;
use host_sys::pidfd::{self, Ending};
use host_sys::seccomp::{self, Instruction};
use platform_api::HostTid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::maker::Maker;

pub use error::{SpawnError, Step};

/// Parent to child: the id maps are written.
const GO: u8 = 1;
/// Child to parent: the filter is installed next.
const READY: u8 = 2;
/// Child to parent: a step failed; its number and errno follow.
const FAILED: u8 = 3;

/// Helper to parent: the new process's id follows.
const MADE: u8 = 4;

/// The user and group that a guest is on the host: nobody.
const HOST_ID: u32 = 65534;

/// The only user and group of the guests' user namespace. They give no right; they are what the host puts into
/// si_uid when one guest signals another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestIds {
    pub uid: u32,
    pub gid: u32,
}

/// How long the child may take from READY to an installed filter.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What the init is to be.
pub struct SpawnSpec<'a> {
    /// The seccomp program.
    pub filter: &'a [Instruction],
    /// A static ELF program, executed from a sealed memfd: the guest loader.
    pub program: &'a [u8],
    /// Its arguments.
    pub argv: Vec<CString>,
    /// Its environment.
    pub envp: Vec<CString>,
    /// Who it is in its own user namespace.
    pub ids: GuestIds,
    /// Called with its host id before it does anything: to put it into a cgroup.
    pub place: &'a dyn Fn(HostTid) -> SysResult<()>,
    /// The `tasks` files of cgroups (version 1) that it enters by itself, open for writing. Whoever moves another
    /// process waits for all CPUs to pass a quiet state, 5 to 20 ms; a single thread that moves itself does not (Linux
    /// v6.18 kernel/cgroup/cgroup.c:cgroup_procs_write_start).
    pub doors: &'a [fs::File],
    /// The network namespace of the host that it is to be in; a new, empty one without. It gives guests nothing, who
    /// have no sockets of the host: it is where the host looks for the container's network.
    pub network: Option<BorrowedFd<'a>>,
    /// Who makes it, where this process may not.
    pub maker: Option<&'a Maker>,
    /// proc_pid_oom_score_adj(5), with a maker; `None`: the maker's.
    pub oom_score_adj: Option<i32>,
    /// Names below /proc/sys, all in `net/`, and their values, with a maker.
    pub sysctls: &'a [(String, String)],
}

/// For [`SpawnSpec::place`]: stays where the supervisor is.
pub fn stay(_process: HostTid) -> SysResult<()> {
    Ok(())
}

/// A container's init before its first call was answered. Dropping it kills the container.
pub struct Container {
    pub(crate) init: HostTid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) listener: OwnedFd,
    pub(crate) loader: OwnedFd,
    /// Whether dropping it kills and reaps the init: not after it became a platform.
    armed: bool,
}

impl Container {
    /// The init's id in our pid namespace.
    #[must_use]
    pub fn init(&self) -> HostTid {
        self.init
    }

    /// The listener, for measurements of the bare round trip.
    #[must_use]
    pub fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Gives the parts away, without killing.
    pub(crate) fn into_parts(mut self) -> SysResult<Parts> {
        let clone = |fd: &OwnedFd| fd.try_clone().map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)));
        let parts = Parts {
            init: self.init,
            pidfd: clone(&self.pidfd)?,
            listener: clone(&self.listener)?,
            loader: clone(&self.loader)?,
        };
        self.armed = false;
        Ok(parts)
    }
}

/// What a [`Container`] is made of.
pub(crate) struct Parts {
    pub(crate) init: HostTid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) listener: OwnedFd,
    pub(crate) loader: OwnedFd,
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.armed {
            let _ = kill(&self.pidfd);
        }
    }
}

/// Kills our child behind `pidfd` and waits until it is gone, and its pid namespace with it.
fn kill(pidfd: &OwnedFd) -> SysResult<Ending> {
    pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL)?;
    pidfd::reap(pidfd.as_fd())
}

/// Makes an init. It dies with the calling *thread* (PR_SET_PDEATHSIG), so call this from the one that calls
/// [`crate::NotifyPlatform::deliver`] later.
pub fn spawn(spec: SpawnSpec<'_>) -> Result<Container, SpawnError> {
    let at = |step: Step| move |errno: Errno| SpawnError { step, errno };
    let loader = memfd::sealed("palisade-loader", spec.program).map_err(at(Step::LoaderFile))?;
    let (ours, theirs) = UnixStream::pair().map_err(|e| from_io(Step::Socket, &e))?;
    if let Some(maker) = spec.maker {
        let init = maker.make(&spec, None, theirs.as_fd(), loader.as_fd())?;
        drop(theirs);
        // It is our child, so its id is its own until we reap it.
        let pidfd = pidfd::open_process(init).map_err(at(Step::Clone))?;
        let made = set_up(init, &pidfd, ours, spec.place);
        return contain(init, pidfd, loader, made);
    }
    let (place, spec_network) = (spec.place, spec.network);
    let plan = plan(spec, &ours, &theirs, loader.as_fd(), None);
    let away = spec_network.map(Away::enter).transpose().map_err(at(Step::Network))?;
    let flags = child::NAMESPACES & if away.is_some() { !libc::CLONE_NEWNET } else { !0 };
    // SAFETY: the child runs child::run only, which neither allocates, locks nor unwinds, and never returns.
    let side = unsafe { host_sys::child::clone(flags) }.map_err(at(Step::Clone))?;
    let (init, pidfd) = match side {
        Side::Child => child::run(&plan),
        Side::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop((theirs, away));
    let made = write_id_maps(init, &plan).and_then(|()| set_up(init, &pidfd, ours, place));
    contain(init, pidfd, loader, made)
}

/// This thread in another network namespace, until it is dropped.
pub(crate) struct Away {
    home: fs::File,
}

impl Away {
    pub(crate) fn enter(network: BorrowedFd<'_>) -> SysResult<Self> {
        let home = fs::File::open("/proc/thread-self/ns/net");
        let home = home.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?;
        move_to(network)?;
        Ok(Self { home })
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if let Err(error) = move_to(self.home.as_fd()) {
            tracing::error!(%error, "cannot return to the supervisor's network namespace");
        }
    }
}

fn move_to(network: BorrowedFd<'_>) -> SysResult<()> {
    let moved = move_into_link_name_space(network, Some(LinkNameSpaceType::Network));
    moved.map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}

/// Makes a process in the container of the init `target`; with the loader's file of the container.
pub(crate) fn join(
    spec: SpawnSpec<'_>,
    target: (HostTid, BorrowedFd<'_>),
    loader: BorrowedFd<'_>,
) -> Result<Container, SpawnError> {
    let at = |step: Step| move |errno: Errno| SpawnError { step, errno };
    let loader = loader.try_clone_to_owned().map_err(|e| from_io(Step::LoaderFile, &e))?;
    let (mut ours, theirs) = UnixStream::pair().map_err(|e| from_io(Step::Socket, &e))?;
    let place = spec.place;
    let helper = match spec.maker {
        Some(maker) => {
            let pid = maker.make(&spec, Some(target.0), theirs.as_fd(), loader.as_fd())?;
            pidfd::open_process(pid).map_err(at(Step::Join))?
        }
        None => {
            let plan = plan(spec, &ours, &theirs, loader.as_fd(), Some(target.1));
            // SAFETY: the child runs child::run_helper only, which neither allocates, locks nor unwinds, and never
            // returns.
            match unsafe { host_sys::child::clone(0) }.map_err(at(Step::Clone))? {
                Side::Child => child::run_helper(&plan),
                Side::Parent { pidfd, .. } => pidfd,
            }
        }
    };
    drop(theirs);
    let pid = read_made(&mut ours);
    let _ = pidfd::reap(helper.as_fd());
    let pid = pid?;
    // It is our child, so its id is its own until we reap it.
    let pidfd = pidfd::open_process(pid).map_err(at(Step::Join))?;
    let made = set_up(pid, &pidfd, ours, place);
    contain(pid, pidfd, loader, made)
}

/// What a child needs to know.
fn plan<'a>(
    spec: SpawnSpec<'a>,
    ours: &UnixStream,
    theirs: &UnixStream,
    loader: BorrowedFd<'_>,
    target: Option<BorrowedFd<'_>>,
) -> child::Plan<'a> {
    child::Plan {
        filter: spec.filter,
        argv: Strings::new(spec.argv),
        envp: Strings::new(spec.envp),
        loader: host_sys::child::number(loader),
        socket: host_sys::child::number(theirs.as_fd()),
        parent_socket: Some(host_sys::child::number(ours.as_fd())),
        target: target.map(host_sys::child::number),
        privileged: rustix::process::geteuid().is_root(),
        ids: spec.ids,
        doors: spec.doors.iter().map(|door| host_sys::child::number(door.as_fd())).collect(),
    }
}

fn contain(
    init: HostTid,
    pidfd: OwnedFd,
    loader: OwnedFd,
    made: Result<OwnedFd, SpawnError>,
) -> Result<Container, SpawnError> {
    match made {
        Ok(listener) => Ok(Container { init, pidfd, listener, loader, armed: true }),
        Err(error) => {
            let _ = kill(&pidfd);
            Err(error)
        }
    }
}

fn from_io(step: Step, error: &io::Error) -> SpawnError {
    SpawnError { step, errno: Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)) }
}

/// The parent's half.
fn set_up(
    init: HostTid,
    pidfd: &OwnedFd,
    mut socket: UnixStream,
    place: &dyn Fn(HostTid) -> SysResult<()>,
) -> Result<OwnedFd, SpawnError> {
    place(init).map_err(|errno| SpawnError { step: Step::Place, errno })?;
    if rustix::process::geteuid().is_root() {
        raise_file_limit(init);
    }
    socket.write_all(&[GO]).map_err(|e| from_io(Step::Socket, &e))?;
    read_ready(&mut socket)?;
    let listener = take_listener(pidfd, &mut socket)?;
    seccomp::set_sync_wake_up(listener.as_fd())
        .map_err(|errno| SpawnError { step: Step::SyncWakeUp, errno })?;
    Ok(listener)
}

/// One id on each side. setgroups has to be denied before an unprivileged process may write gid_map
/// (user_namespaces(7)).
pub(crate) fn write_id_maps(init: HostTid, plan: &child::Plan<'_>) -> Result<(), SpawnError> {
    let write = |file: &str, text: String| {
        fs::write(format!("/proc/{init}/{file}"), text).map_err(|e| from_io(Step::IdMaps, &e))
    };
    let (uid, gid) = if plan.privileged {
        (HOST_ID, HOST_ID)
    } else {
        write("setgroups", "deny".to_owned())?;
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    };
    write("uid_map", format!("{} {uid} 1", plan.ids.uid))?;
    write("gid_map", format!("{} {gid} 1", plan.ids.gid))
}

/// Files that a guest maps are installed at the guest's own fd numbers, so the host's limit must reach them. Best
/// effort: the kernel's ceiling is fs.nr_open.
fn raise_file_limit(init: HostTid) {
    let text = fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
    if let Ok(ceiling) = text.trim().parse::<u64>() {
        let limit = ceiling.min(1 << 20);
        if let Err(error) = host_sys::child::set_limit_of(init, libc::RLIMIT_NOFILE, limit, limit) {
            tracing::debug!(%error, "cannot raise the guest's RLIMIT_NOFILE");
        }
    }
}

/// Waits for MADE, or a report of failure.
fn read_made(socket: &mut UnixStream) -> Result<HostTid, SpawnError> {
    let mut kind = [0];
    let mut pid = [0; 4];
    match socket.read_exact(&mut kind) {
        Ok(()) if kind != [MADE] => Err(read_failure(socket)),
        Ok(()) => match socket.read_exact(&mut pid) {
            Ok(()) => Ok(HostTid::from_le_bytes(pid)),
            Err(error) => Err(from_io(Step::Socket, &error)),
        },
        Err(error) => Err(from_io(Step::Died, &error)),
    }
}

/// Waits for READY, or a report of failure.
fn read_ready(socket: &mut UnixStream) -> Result<(), SpawnError> {
    let mut kind = [0];
    match socket.read_exact(&mut kind) {
        Ok(()) if kind == [READY] => Ok(()),
        Ok(()) => Err(read_failure(socket)),
        // The child died without a word.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(SpawnError { step: Step::Died, errno: Errno::ESRCH })
        }
        Err(error) => Err(from_io(Step::Socket, &error)),
    }
}

/// The rest of a FAILED report.
fn read_failure(socket: &mut UnixStream) -> SpawnError {
    let mut report = [0; 3];
    match socket.read_exact(&mut report) {
        Ok(()) => {
            let [step, low, high] = report;
            let errno = Errno::from_raw(i32::from(u16::from_le_bytes([low, high])));
            SpawnError { step: Step::from_number(step), errno }
        }
        Err(error) => from_io(Step::Died, &error),
    }
}

/// Takes the listener as soon as it exists.
fn take_listener(pidfd: &OwnedFd, socket: &mut UnixStream) -> Result<OwnedFd, SpawnError> {
    let started = Instant::now();
    socket.set_nonblocking(true).map_err(|e| from_io(Step::Socket, &e))?;
    loop {
        match pidfd::take_fd(pidfd.as_fd(), child::LISTENER_FD) {
            Ok(listener) => return Ok(listener),
            Err(Errno::EBADF) if started.elapsed() < INSTALL_TIMEOUT => {}
            // It is dead: its report says why.
            Err(Errno::ESRCH) => {
                socket.set_nonblocking(false).map_err(|e| from_io(Step::Socket, &e))?;
                return Err(read_ready(socket)
                    .err()
                    .unwrap_or(SpawnError { step: Step::Died, errno: Errno::ESRCH }));
            }
            Err(errno) => return Err(SpawnError { step: Step::TakeListener, errno }),
        }
        let mut kind = [0];
        match socket.read(&mut kind) {
            Ok(1) => {
                let _ = socket.set_nonblocking(false);
                return Err(read_failure(socket));
            }
            Ok(_) => return Err(SpawnError { step: Step::Died, errno: Errno::ESRCH }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(from_io(Step::Socket, &error)),
        }
        std::thread::sleep(Duration::from_micros(20));
    }
}
