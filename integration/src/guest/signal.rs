//! Signal handlers for checks: they note what came, and nothing else.

use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// How often a handler ran.
pub static COUNT: AtomicU32 = AtomicU32::new(0);
/// The last signal's number.
pub static LAST: AtomicI32 = AtomicI32::new(0);
/// `si_pid` of the last signal that had one.
pub static SENDER: AtomicI32 = AtomicI32::new(0);
/// `si_code` of the last signal.
pub static CODE: AtomicI32 = AtomicI32::new(0);
/// `si_status` of the last SIGCHLD.
pub static STATUS: AtomicI32 = AtomicI32::new(0);
/// `si_addr` of the last fault.
pub static ADDRESS: AtomicUsize = AtomicUsize::new(0);
/// The thread on which the last handler ran.
pub static THREAD: AtomicI32 = AtomicI32::new(0);

/// Installs the noting handler.
pub fn note(signal: Signal, flags: SaFlags) {
    let action = SigAction::new(SigHandler::SigAction(handler), flags | SaFlags::SA_SIGINFO, SigSet::empty());
    // SAFETY: the handler only stores to atomics and makes system calls that are async-signal-safe.
    unsafe { sigaction(signal, &action) }.expect("sigaction");
}

/// Sets the default action or ignores.
pub fn plain(signal: Signal, handler: SigHandler) {
    assert!(matches!(handler, SigHandler::SigDfl | SigHandler::SigIgn));
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler of ours runs.
    unsafe { sigaction(signal, &action) }.expect("sigaction");
}

/// How often a handler ran so far.
pub fn count() -> u32 {
    COUNT.load(Ordering::SeqCst)
}

extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    LAST.store(signal, Ordering::SeqCst);
    // SAFETY: the kernel passes a valid siginfo to a SA_SIGINFO handler.
    let info = unsafe { &*info };
    CODE.store(info.si_code, Ordering::SeqCst);
    // SAFETY: the union's bytes are initialised; only readers of a signal that was sent use this one.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as above; only SIGCHLD's readers use it.
    let status = unsafe { info.si_status() };
    // SAFETY: as above; only the readers of faults use it.
    let address = unsafe { info.si_addr() };
    SENDER.store(pid, Ordering::SeqCst);
    STATUS.store(status, Ordering::SeqCst);
    ADDRESS.store(address as usize, Ordering::SeqCst);
    // SAFETY: gettid(2) takes no argument.
    THREAD.store(unsafe { libc::gettid() }, Ordering::SeqCst);
    COUNT.fetch_add(1, Ordering::SeqCst);
}
