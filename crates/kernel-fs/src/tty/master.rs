//! The master's side as a file of a guest: what /dev/ptmx opens (script, tmux, sshd, expect).

use std::any::Any;
use std::sync::Arc;

use abi_linux::SysResult;
use abi_linux::fs::Events;
use kernel_base::caller::Caller;
use kernel_base::wait::WaitQueue;
use kernel_vfs::file::{FileOps, Io};

use super::ioctl::{self, Side};
use super::pty::{Pty, PtyMaster};
use abi_linux::Errno;

/// An open master. There is one for each pty; the terminal hangs up when it goes.
pub struct MasterFile {
    pub(super) master: PtyMaster,
}

impl MasterFile {
    /// The file of a new pty.
    #[must_use]
    pub fn new(master: PtyMaster) -> Arc<Self> {
        Arc::new(Self { master })
    }

    /// The terminal.
    #[must_use]
    pub fn pty(&self) -> &Arc<Pty> {
        self.master.pty()
    }
}

impl FileOps for MasterFile {
    fn read(&self, _io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        self.master.read(buf)
    }

    fn write(&self, _io: Io<'_>, buf: &[u8]) -> SysResult<(usize, u64)> {
        let done = self.master.input(buf);
        if done == 0 && !buf.is_empty() { Err(Errno::EAGAIN) } else { Ok((done, 0)) }
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn poll(&self) -> Events {
        self.master.poll()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.master.wait_queue())
    }

    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        ioctl::perform(self.pty(), Side::Master, who, cmd, arg)
    }

    fn fdinfo(&self) -> String {
        format!("tty-index:\t{}\n", self.pty().index())
    }

    fn has_signals(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
