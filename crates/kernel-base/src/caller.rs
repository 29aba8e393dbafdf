//! Who performs an operation, as far as files need to know: a terminal asks for the session, /proc for
//! the pid, a pipe raises SIGPIPE. kernel-task implements it; kernel-vfs and kernel-fs only see this.

use std::sync::Arc;

use abi_linux::SysResult;
use abi_linux::signal::Signal;

use crate::cred::Credentials;
use crate::user::GuestMem;

/// The calling thread. Ids are the guest's.
pub trait Caller: Send + Sync {
    /// Process id (thread group id).
    fn pid(&self) -> i32;
    /// Thread id.
    fn tid(&self) -> i32;
    /// Its table of descriptors, which other processes may have, too.
    fn files_id(&self) -> u64 {
        self.pid().unsigned_abs().into()
    }
    /// Process group.
    fn pgid(&self) -> i32;
    /// Session.
    fn sid(&self) -> i32;
    /// The session whose controlling terminal is the caller's as well; 0 when the caller has given it up.
    fn terminal_session(&self) -> i32 {
        self.sid()
    }
    /// The caller's process has no controlling terminal from now on (TIOCNOTTY of one that leads no session).
    fn give_up_terminal(&self) {}
    /// Present credentials.
    fn credentials(&self) -> Arc<Credentials>;
    /// The thread's memory, for ioctl arguments.
    fn mem(&self) -> GuestMem<'_>;
    /// Raises a signal at the caller's own process (SIGPIPE, SIGXFSZ).
    fn raise(&self, signal: Signal);
    /// Raises a signal at a whole process group of this container (SIGINT of a tty …).
    fn raise_group(&self, pgid: i32, signal: Signal) -> SysResult<()>;
    /// Whether the caller blocks or ignores the signal (job control: SIGTTIN, SIGTTOU).
    fn blocks_or_ignores(&self, signal: Signal) -> bool;
    /// Whether the caller's process group is orphaned (job control).
    fn group_is_orphaned(&self) -> bool;
    /// Time of the kernel's real-time clock, nanoseconds.
    fn now_realtime_ns(&self) -> u64;
}
