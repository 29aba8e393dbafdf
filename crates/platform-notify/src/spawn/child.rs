//! The child between clone and exec. Nothing here allocates, locks or unwinds: the parent may have other threads.
//!
//! The order matters. Ids change before PR_SET_PDEATHSIG and PR_SET_DUMPABLE, which a change of ids resets.
//! Mounts come before capabilities go. The filter is last but for the exec, which passes through it.

use abi_linux::{Errno, SysResult};
use host_sys::child::{self, Strings};
use host_sys::seccomp::{self, Instruction};

use super::error::Step;
use super::{FAILED, GO, GuestIds, MADE, READY};

/// Everything that the child gets its own of.
pub(crate) const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWNET;

/// The lowest free number when the filter is installed, hence the listener's.
pub(super) const LISTENER_FD: i32 = 0;
const SOCKET_FD: i32 = 1;
const LOADER_FD: i32 = 2;
/// Where the two wait while their final numbers may still be the other's.
const SCRATCH: i32 = 3;

/// What the parent has prepared.
pub(crate) struct Plan<'a> {
    pub(crate) filter: &'a [Instruction],
    pub(crate) argv: Strings,
    pub(crate) envp: Strings,
    pub(crate) loader: i32,
    pub(crate) socket: i32,
    /// The parent's end, where the child has a copy of it.
    pub(crate) parent_socket: Option<i32>,
    /// A pidfd of the init whose container is joined; `None`: an init is made.
    pub(crate) target: Option<i32>,
    /// Whether the supervisor is root.
    pub(crate) privileged: bool,
    pub(crate) ids: GuestIds,
    /// Cgroups to enter.
    pub(crate) doors: Vec<i32>,
}

/// A step that failed.
type Tried<T> = Result<T, (Step, Errno)>;

fn at<T>(step: Step, result: SysResult<T>) -> Tried<T> {
    result.map_err(|errno| (step, errno))
}

/// Becomes the guest, or reports why not.
pub(crate) fn run(plan: &Plan<'_>) -> ! {
    let Err((step, errno)) = become_guest(plan);
    fail(plan, step, errno)
}

/// Makes the process that joins a container.
pub(crate) fn run_helper(plan: &Plan<'_>) -> ! {
    match enter(plan) {
        Ok(()) => child::exit(0),
        Err((step, errno)) => fail(plan, step, errno),
    }
}

fn enter(plan: &Plan<'_>) -> Tried<()> {
    let target = plan.target.ok_or((Step::Join, Errno::EBADF))?;
    at(Step::Join, child::enter_namespaces(target, NAMESPACES))?;
    // SAFETY: the child runs child::run only, which neither allocates, locks nor unwinds, and never returns.
    match at(Step::Clone, unsafe { child::clone_sibling(0) })? {
        0 => run(plan),
        pid => {
            let [a, b, c, d] = pid.to_le_bytes();
            at(Step::Socket, child::send(plan.socket, &[MADE, a, b, c, d]))
        }
    }
}

fn fail(plan: &Plan<'_>, step: Step, errno: Errno) -> ! {
    // Either number may be the socket, depending on how far it came; the report is one message.
    let [low, high] = (errno.raw() as u16).to_le_bytes();
    let report = [FAILED, step as u8, low, high];
    if child::send(plan.socket, &report).is_err() {
        let _ = child::send(SOCKET_FD, &report);
    }
    child::exit(126)
}

/// Never succeeds: success is an exec.
fn become_guest(plan: &Plan<'_>) -> Tried<std::convert::Infallible> {
    // Without our copy of its end, the parent's death is the end of the stream.
    if let Some(closing) = plan.parent_socket.and_then(|number| u32::try_from(number).ok()) {
        at(Step::Descriptors, child::close_fds(closing, closing))?;
    }
    match at(Step::Socket, child::receive(plan.socket, true))? {
        Some(GO) => {}
        _ => child::exit(126), // the parent is gone
    }
    for door in &plan.doors {
        // 0: the writer.
        at(Step::Place, child::write(*door, b"0"))?;
    }
    become_nobody(plan)?;
    if plan.target.is_none() {
        at(Step::Mounts, empty_root())?;
    }
    // A group, so that the user's terminal does not signal guests. No session: the scheduler would put it into an
    // autogroup of its own (sched(7)), and every call would switch between groups: 0.5 us each.
    at(Step::Group, child::new_group())?;
    at(Step::Signals, child::reset_signals())?;
    at(Step::Limits, limits())?;
    at(Step::Descriptors, rebuild_descriptors(plan))?;
    at(Step::Capabilities, child::drop_capabilities())?;
    at(Step::NoNewPrivileges, child::prctl(libc::PR_SET_NO_NEW_PRIVS, 1))?;
    at(Step::Socket, child::send(SOCKET_FD, &[READY]))?;
    // The descriptor stays open in the guest until the exec closes it; the parent takes its copy before.
    let listener = at(Step::Filter, seccomp::install(plan.filter))?;
    let errno = child::exec_fd(LOADER_FD, &plan.argv, &plan.envp);
    drop(listener);
    Err((Step::Exec, errno))
}

fn become_nobody(plan: &Plan<'_>) -> Tried<()> {
    if plan.privileged {
        at(Step::Groups, child::clear_groups())?;
    }
    at(Step::User, child::become_user(plan.ids.uid, plan.ids.gid))?;
    // A change of ids makes a process undumpable, and then the supervisor may not take descriptors from it.
    at(Step::User, child::prctl(libc::PR_SET_DUMPABLE, 1))?;
    if plan.target.is_some() {
        // The init's death is the end of its pid namespace; the thread that made us lives shorter than we do.
        return Ok(());
    }
    at(Step::DeathSignal, child::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong))?;
    // getppid() is 0 in a new pid namespace, dead parent or not; the socket tells whether it died before.
    match child::receive(plan.socket, false) {
        Err(Errno::EAGAIN) => Ok(()),
        _ => child::exit(126),
    }
}

/// A root directory that is empty, read-only and has no room. /proc is only a place to mount on: it exists, since
/// the supervisor uses it.
fn empty_root() -> SysResult<()> {
    let none = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    child::mount(None, c"/", None, libc::MS_REC | libc::MS_PRIVATE, None)?;
    // size=0 would mean "no limit" (tmpfs(5)).
    child::mount(Some(c"none"), c"/proc", Some(c"tmpfs"), none, Some(c"size=4k,nr_inodes=1,mode=555"))?;
    child::chdir(c"/proc")?;
    child::pivot_root_here()?;
    child::detach_mount(c".")?;
    child::chdir(c"/")?;
    child::mount(None, c"/", None, libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY | none, None)
}

fn limits() -> SysResult<()> {
    let (_, hard) = child::limit_of(0, libc::RLIMIT_NOFILE)?;
    child::set_limit(libc::RLIMIT_NOFILE, hard, hard)?;
    child::set_limit(libc::RLIMIT_CORE, 0, 0)
}

/// Leaves the socket and the loader at their numbers, and nothing else. All are close-on-exec or go with the exec:
/// the loader keeps no descriptor, since a memfd's exec needs none afterwards.
fn rebuild_descriptors(plan: &Plan<'_>) -> SysResult<()> {
    // Above everything that is about to be overwritten, whatever the numbers were.
    let high = plan.loader.max(plan.socket).max(SCRATCH).checked_add(1).ok_or(Errno::EMFILE)?;
    child::place_fd(plan.socket, high)?;
    child::place_fd(plan.loader, high.checked_add(1).ok_or(Errno::EMFILE)?)?;
    child::place_fd(high, SOCKET_FD)?;
    child::place_fd(high.saturating_add(1), LOADER_FD)?;
    child::close_fds(LISTENER_FD as u32, LISTENER_FD as u32)?;
    child::close_fds(SCRATCH as u32, u32::MAX)?;
    child::close_on_exec(SOCKET_FD)?;
    child::close_on_exec(LOADER_FD)
}
