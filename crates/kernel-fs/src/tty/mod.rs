//! Terminals: pseudoterminals with Linux's line discipline, sessions and job control (pty(7), termios(3),
//! ioctl_tty(2); Linux v6.18 drivers/tty).
//!
//! [`Terminals`] holds a container's ptys and knows which session has which. A [`PtyMaster`] is the typing
//! side, held by the supervisor or, as a [`MasterFile`], by a guest; a [`SlaveFile`] is the side that
//! programs use. Bytes go through `input` and `output`, which are pure.
//!
//! Lock order: `Pty.state` is a leaf; so are the maps of [`Terminals`].

mod attributes;
mod input;
mod ioctl;
mod job;
mod master;
mod output;
mod pty;
mod slave;
mod terminals;
pub mod termios;

use std::sync::Arc;

use abi_linux::fs::{OpenFlags, makedev};
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_vfs::file::FileOps;

pub use master::MasterFile;
pub use pty::{Pty, PtyMaster};
pub use slave::SlaveFile;
pub use terminals::{SessionSignals, Terminals};
pub use termios::{Termios, WindowSize};

/// Major number of /dev/pts/N.
const UNIX98_PTY_SLAVE_MAJOR: u32 = 136;

/// Device number of /dev/pts/`index`.
#[must_use]
pub const fn device_number(index: u32) -> u64 {
    makedev(UNIX98_PTY_SLAVE_MAJOR, index)
}

/// What job control judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read,
    /// Only under TOSTOP.
    Write,
    /// A change by ioctl(2).
    Change,
}

/// Whether an operation of `who` on a file answered EAGAIN because job control stops the caller. The call
/// then parks even under O_NONBLOCK, and in ioctl(2), until its signal interrupts it; see `job`.
#[must_use]
pub fn job_control_blocks(ops: &dyn FileOps, who: &dyn Caller, operation: Operation) -> bool {
    ops.as_any().downcast_ref::<SlaveFile>().is_some_and(|slave| slave.pty().stops(who, operation))
}

/// ioctl(TIOCGPTPEER) on a master: the slave, to be installed as a new fd by the system call layer, which
/// finds its inode in devpts by the number. EIO for a slave (ptm_open_peer), ENOTTY for other files.
pub fn open_peer(ops: &dyn FileOps, flags: OpenFlags, who: &dyn Caller) -> SysResult<(u32, Arc<SlaveFile>)> {
    let is_slave = ops.as_any().is::<SlaveFile>();
    let other = if is_slave { Errno::EIO } else { Errno::ENOTTY };
    let master = ops.as_any().downcast_ref::<MasterFile>().ok_or(other)?;
    Ok((master.pty().index(), master.pty().open_slave(flags, who)?))
}

#[cfg(test)]
mod host_comparison;
#[cfg(test)]
mod tests;
