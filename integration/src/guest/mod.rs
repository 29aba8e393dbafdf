//! The frame of the guest programs: a list of checks, each run in a child of its own, `ok name` for each.
//!
//! A guest program knows nothing of Palisade. It passes on the host first. Run it by hand with names of
//! checks as arguments to run only these, and with `--here` before one to run it without a child (strace).

pub mod fd;
pub mod raw;
pub mod scratch;
pub mod signal;
pub mod text;

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::panic;
use std::process::{ExitCode, ExitStatus};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, killpg, sigaction};
use nix::unistd::{ForkResult, Pid, alarm, fork, setpgid};

/// A check may take this long before its child is killed, unless GUEST_LIMIT_S says otherwise.
const LIMIT_S: u32 = 40;

fn limit_s() -> u32 {
    env::var("GUEST_LIMIT_S").ok().and_then(|text| text.parse().ok()).unwrap_or(LIMIT_S)
}

/// One behaviour. The name says what must hold.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    pub name: &'static str,
    pub run: fn(),
}

/// A list of [`Check`]s from function names.
#[macro_export]
macro_rules! checks {
    ($($name:ident),* $(,)?) => {
        &[$($crate::guest::Check { name: stringify!($name), run: $name }),*]
    };
}

/// The process in which the present check runs, for the alarm's handler. Zero: none.
static RUNNING: AtomicI32 = AtomicI32::new(0);

/// Runs the checks that the command line names, or all of them.
pub fn main(checks: &[Check]) -> ExitCode {
    run(checks, &env::args().skip(1).collect::<Vec<_>>())
}

/// Runs the checks of these names, or all of them.
pub fn run(checks: &[Check], mut names: &[String]) -> ExitCode {
    if let Some((_, rest)) = names.split_first().filter(|(first, _)| *first == "--here") {
        names = rest;
        checks
            .iter()
            .filter(|check| names.iter().any(|name| name == check.name))
            .for_each(|check| (check.run)());
        return ExitCode::SUCCESS;
    }
    let mut all_passed = true;
    for check in checks.iter().filter(|check| names.is_empty() || names.iter().any(|name| name == check.name))
    {
        let status = run_in_child(check);
        if status.success() {
            println!("ok {}", check.name);
        } else {
            println!("FAIL {}: {status}", check.name);
            all_passed = false;
        }
    }
    if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_in_child(check: &Check) -> ExitStatus {
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            // A group of its own, so that nothing which a check leaves behind outlives it.
            setpgid(Pid::from_raw(0), Pid::from_raw(0)).expect("setpgid");
            let code = if panic::catch_unwind(check.run).is_ok() { 0 } else { 101 };
            std::process::exit(code)
        }
        ForkResult::Parent { child } => {
            RUNNING.store(child.as_raw(), Ordering::SeqCst);
            let action =
                SigAction::new(SigHandler::Handler(kill_running), SaFlags::SA_RESTART, SigSet::empty());
            // SAFETY: the handler makes one system call, kill(2), which is async-signal-safe.
            unsafe { sigaction(Signal::SIGALRM, &action) }.expect("sigaction");
            alarm::set(limit_s());
            let status = wait_raw(child.as_raw());
            alarm::cancel();
            RUNNING.store(0, Ordering::SeqCst);
            // ESRCH: nothing is left, as it should be.
            let _ = killpg(child, Signal::SIGKILL);
            ExitStatus::from_raw(status)
        }
    }
}

extern "C" fn kill_running(_: libc::c_int) {
    let pid = RUNNING.load(Ordering::SeqCst);
    if pid > 0 {
        // SAFETY: kill(2) takes no pointer.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
}

/// wait4(2) for `pid`: the raw status.
pub fn wait_raw(pid: i32) -> i32 {
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call.
        let result = unsafe { libc::waitpid(pid, &mut status, 0) };
        if result == pid {
            return status;
        }
        assert_eq!(Errno::last(), Errno::EINTR, "waitpid({pid}) = {result}");
    }
}

/// Forks a child that runs `body` and exits with what it returns; 101 when it panics.
pub fn fork_child(body: impl FnOnce() -> i32) -> Pid {
    // SAFETY: the callers are single-threaded, or their child only makes system calls.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            let code = panic::catch_unwind(panic::AssertUnwindSafe(body)).unwrap_or(101);
            // SAFETY: _exit(2) takes no pointer; the parent's exit handlers must not run here.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => child,
    }
}

/// [`fork_child`] and its exit status: the code, or 128 + the signal.
pub fn in_child(body: impl FnOnce() -> i32) -> i32 {
    let status = ExitStatus::from_raw(wait_raw(fork_child(body).as_raw()));
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).expect("it ended")
}

/// The error of a call that has to fail.
#[track_caller]
pub fn error_of<T>(result: Result<T, Errno>) -> Errno {
    match result {
        Ok(_) => panic!("the call succeeded"),
        Err(error) => error,
    }
}
