//! The caller on whose behalf copying up reads and writes: the kernel itself.

use std::sync::Arc;

use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::{CapSet, Credentials};
use kernel_base::user::GuestMem;
use platform_api::{Clock, Platform};

/// No process: has no memory, no session, and takes no signal.
pub(super) struct KernelCaller<'a>(pub(super) &'a Arc<dyn Platform>);

impl Caller for KernelCaller<'_> {
    fn pid(&self) -> i32 {
        0
    }
    fn tid(&self) -> i32 {
        0
    }
    fn pgid(&self) -> i32 {
        0
    }
    fn sid(&self) -> i32 {
        0
    }
    fn credentials(&self) -> Arc<Credentials> {
        Arc::new(Credentials::new(0, 0, CapSet::ALL))
    }
    fn mem(&self) -> GuestMem<'_> {
        GuestMem::new(&**self.0, 0)
    }
    fn raise(&self, _signal: Signal) {}
    fn raise_group(&self, _pgid: i32, _signal: Signal) -> SysResult<()> {
        Err(Errno::ESRCH)
    }
    fn blocks_or_ignores(&self, _signal: Signal) -> bool {
        true
    }
    fn group_is_orphaned(&self) -> bool {
        true
    }
    fn now_realtime_ns(&self) -> u64 {
        self.0.now_ns(Clock::Realtime)
    }
}
