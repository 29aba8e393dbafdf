//! pidfd_open(2): a process as a file, after Linux v6.18 fs/pidfs.c.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::wait::WaitQueue;
use kernel_task::Process;
use kernel_vfs::file::{File, FileOps};

/// A pidfd.
pub struct PidFd {
    process: Arc<Process>,
}

impl PidFd {
    /// A pidfd of `process`.
    #[must_use]
    pub fn new(process: Arc<Process>) -> Arc<Self> {
        Arc::new(Self { process })
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The process behind an open file; EBADF when it is something else.
    pub fn process_of(file: &File) -> SysResult<&Arc<Process>> {
        file.ops.as_any().downcast_ref::<Self>().map(|pidfd| &pidfd.process).ok_or(Errno::EBADF)
    }
}

impl FileOps for PidFd {
    fn is_seekable(&self) -> bool {
        false
    }

    /// Readable when it is dead, hung up when it has been waited for.
    fn poll(&self) -> Events {
        match (self.process.has_exited(), self.process.is_reaped()) {
            (false, _) => Events::empty(),
            (true, false) => Events::IN | Events::RDNORM,
            (true, true) => Events::IN | Events::RDNORM | Events::HUP,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.process.exit_queue)
    }

    fn ioctl(&self, _who: &dyn Caller, _cmd: u32, _arg: u64) -> SysResult<i64> {
        Err(Errno::ENOTTY)
    }

    fn fdinfo(&self) -> String {
        let pid = if self.process.is_reaped() { -1 } else { self.process.pid };
        format!("Pid:\t{pid}\nNSpid:\t{pid}\n")
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
