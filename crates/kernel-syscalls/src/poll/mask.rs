//! The signal mask of ppoll(2), pselect(2) and epoll_pwait(2).
//!
//! The mask holds while the call waits. It cannot be put in place on the host, but the signal code knows it
//! for a parked call ([`kernel_task::task::WaitMask`]), so that signals it blocks leave the wait alone and
//! signals that only it lets through end it. A call that does not wait pays nothing for its mask: with a
//! timeout of zero, Linux would look for such signals, and this does not.

use abi_linux::signal::{SigSet, Signal};
use abi_linux::{Errno, SysResult};
use kernel_base::user::UserRef;
use kernel_task::task::WaitMask;

use crate::cx::Cx;

const SIGSET_SIZE: usize = 8;

/// Puts a mask in place until it is dropped.
pub(crate) struct MaskGuard<'a>(&'a Cx);

impl Drop for MaskGuard<'_> {
    fn drop(&mut self) {
        self.0.set_wait_mask(None);
    }
}

/// Reads an optional mask and puts it in place (set_user_sigmask).
pub(crate) fn put(cx: &Cx, mask: UserRef<u64>, size: usize) -> SysResult<Option<MaskGuard<'_>>> {
    let Some(mask) = mask.non_null() else { return Ok(None) };
    if size != SIGSET_SIZE {
        return Err(Errno::EINVAL);
    }
    // SIGKILL and SIGSTOP cannot be blocked.
    let unblockable = Signal::SIGKILL.bit().0 | Signal::SIGSTOP.bit().0;
    let set = SigSet(cx.mem().read(mask)? & !unblockable);
    cx.set_wait_mask(Some(WaitMask { set, at: mask.addr() }));
    Ok(Some(MaskGuard(cx)))
}
