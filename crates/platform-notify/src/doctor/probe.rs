//! Checks on a container of our own. Its filter notifies of everything, so the first call is the init's execveat and
//! the second the loader's.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use abi_linux::{Errno, SysResult};
use host_sys::ptrace;
use host_sys::seccomp::{self, Answer, At, Instruction, Notification};
use platform_api::{Platform, Range};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Check;
use crate::{NotifyPlatform, SpawnSpec, spawn};

/// BPF_RET | BPF_K of SECCOMP_RET_USER_NOTIF.
const NOTIFY_ALL: [Instruction; 1] = [Instruction { code: 6, jt: 0, jf: 0, k: 0x7fc0_0000 }];

const UPDATE: &str = "use Linux 6.6 or later, not restricted by an outer sandbox";

/// A container of its own that has nothing but a filter.
pub(super) fn bare<'a>(filter: &'a [Instruction], name: &CStr) -> SpawnSpec<'a> {
    SpawnSpec {
        filter,
        program: guest_loader::LOADER,
        argv: vec![name.to_owned()],
        envp: Vec::new(),
        ids: crate::GuestIds { uid: 0, gid: 0 },
        place: &crate::stay,
        doors: &[],
        network: None,
        maker: None,
        oom_score_adj: None,
        sysctls: &[],
    }
}

/// Makes a container and tries what the platform does with one.
pub(super) fn checks() -> Vec<Check> {
    let made = spawn(bare(&NOTIFY_ALL, c"probe"));
    let check = |ok, detail| {
        Check::new("container set-up", ok, detail, "see the line above: it names the step and its remedy")
    };
    let container = match made {
        Ok(container) => container,
        Err(error) => return vec![check(false, error.to_string())],
    };
    let mut checks = vec![check(true, "namespaces, id map, empty root, filter, SYNC_WAKE_UP".to_owned())];
    match NotifyPlatform::new(container) {
        Ok(platform) => checks.extend(on(&platform)),
        Err(error) => checks.push(Check::new("/proc", false, error.to_string(), "mount proc on /proc")),
    }
    checks
}

/// The next call, if one comes.
fn next(platform: &NotifyPlatform) -> SysResult<Notification> {
    next_call(platform.lines().first().listener())
}

/// As [`next`], of a listener.
pub(super) fn next_call(listener: BorrowedFd<'_>) -> SysResult<Notification> {
    let limit = Timespec { tv_sec: 5, tv_nsec: 0 };
    let mut fds = [PollFd::new(&listener, PollFlags::IN)];
    poll(&mut fds, Some(&limit)).map_err(crate::errno)?;
    let [fd] = &fds;
    if !fd.revents().contains(PollFlags::IN) {
        return Err(Errno::ESRCH);
    }
    let mut slot = seccomp::empty_notification();
    seccomp::receive(listener, &mut slot)?;
    Ok(slot)
}

fn outcome<T>(name: &'static str, result: SysResult<T>, detail: &str, remedy: &'static str) -> Check {
    match result {
        Ok(_) => Check::new(name, true, detail.to_owned(), remedy),
        Err(error) => Check::new(name, false, error.to_string(), remedy),
    }
}

fn on(platform: &NotifyPlatform) -> Vec<Check> {
    let init = platform.init();
    let call = match next(platform) {
        Ok(call) => call,
        Err(error) => return vec![Check::new("notification", false, error.to_string(), UPDATE)],
    };
    let listener = platform.lines().first().listener();
    let added = seccomp::add_fd(listener, call.id, listener.as_fd(), At::LowestFree);
    let mut argv = [0; 8];
    // The third argument of execveat, in the copy of our memory that the child still is.
    let range = [Range { addr: call.data.args.get(2).copied().unwrap_or(0), len: argv.len() }];
    let read = platform.read_memory(init, &range, &mut argv);
    let identity = platform.identify(init);
    let children = platform.children(init, init);
    let traced = ptrace::seize(init).and_then(|seized| {
        seized.interrupt()?;
        seccomp::send(listener, call.id, Answer::Error(512))?;
        match seized.wait(true)? {
            ptrace::Next::Stopped(stopped) => stopped.detach(),
            ptrace::Next::Gone => Err(Errno::ESRCH),
        }
    });
    let executed = execute(platform);
    let ptrace_remedy = "allow ptrace of own children: sysctl kernel.yama.ptrace_scope=1, and no outer seccomp filter \
                         against ptrace and process_vm_readv";
    vec![
        outcome("ADDFD", added, "descriptors can be installed", UPDATE),
        outcome("guest memory", read, "process_vm_readv", ptrace_remedy),
        outcome("ptrace", traced, "seize, interrupt, detach", ptrace_remedy),
        outcome("guest identities", identity, "pidfd and pid namespace", "mount proc on /proc"),
        outcome("/proc/…/children", children, "readable", "use a kernel with CONFIG_PROC_CHILDREN"),
        outcome("executable memfd", executed, "the loader runs", "set sysctl vm.memfd_noexec=0 or 1"),
    ]
}

/// Lets the exec, which the interruption made come again, happen; the next call is the loader's then.
fn execute(platform: &NotifyPlatform) -> SysResult<()> {
    let listener = platform.lines().first().listener();
    let call = next(platform)?;
    seccomp::send(listener, call.id, Answer::Continue)?;
    // The loader begins with an mmap; our own child, after a failed exec, with a close.
    let call = next(platform)?;
    if libc::c_long::from(call.data.nr) == libc::SYS_close { Err(Errno::EACCES) } else { Ok(()) }
}
