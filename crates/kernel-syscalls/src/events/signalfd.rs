//! signalfd(2) (fs/signalfd.c, Linux v6.18).
//!
//! A read has its thread perform rt_sigtimedwait(2) without waiting, once for each signal: the set and the zero
//! time are put into the reader's own buffer, the host puts a siginfo_t there, and that is converted in place.

use abi_linux::fs::Events;
use abi_linux::signal::SigSet;
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::{Pieces, UserRef};
use kernel_fs::signalfd::SignalFd;
use kernel_vfs::file::File;
use platform_api::{Performed, Step};

use super::siginfo::{INFO_SIZE, converted};
use super::{DESCRIPTOR_FLAGS, status};
use crate::cx::{Cx, Outcome};
use crate::poll::epoll::open_anonymous;

const SIGSET_SIZE: usize = 8;
const RT_SIGTIMEDWAIT: i32 = 128;

/// signalfd4(2).
pub(crate) fn sys_signalfd4(
    cx: &Cx,
    fd: Fd,
    mask: UserRef<u64>,
    sizemask: usize,
    flags: u32,
) -> SysResult<Fd> {
    if sizemask != SIGSET_SIZE {
        return Err(Errno::EINVAL);
    }
    let mask = SigSet(cx.mem().read(mask)?);
    if flags & !DESCRIPTOR_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    if fd.0 == -1 {
        let (status, cloexec) = status(flags);
        let signals = SignalFd::new(cx.kernel(), mask);
        return cx.install(open_anonymous(cx, "anon_inode:[signalfd]", signals, status), cloexec);
    }
    let file = cx.file(fd)?;
    SignalFd::of(&file).ok_or(Errno::EINVAL)?.set_mask(mask);
    Ok(fd)
}

/// signalfd(2).
pub(crate) fn sys_signalfd(cx: &Cx, fd: Fd, mask: UserRef<u64>, sizemask: usize) -> SysResult<Fd> {
    sys_signalfd4(cx, fd, mask, sizemask, 0)
}

/// One read(2): waits for a signal, then takes as many as there are and fit.
pub(crate) async fn read(cx: &Cx, file: &File, signals: &SignalFd, bytes: &Pieces) -> SysResult<Outcome> {
    let buffer = bytes.first().ok_or(Errno::EINVAL)?;
    let room = buffer.len / INFO_SIZE;
    if room == 0 {
        return Err(Errno::EINVAL);
    }
    let pending = || if signals.has_pending(cx.tid) { Ok(()) } else { Err(Errno::EAGAIN) };
    cx.block_on(file, Events::IN, pending).await?;
    let waits = !file.is_nonblocking();
    let mut reader = Reader { cx, signals, addr: buffer.addr, room, taken: 0, waits };
    // The platform has answered even when it failed.
    if let Err(error) = cx.kernel().platform.perform(&cx.call, &mut |event| reader.next(event)) {
        tracing::debug!(tid = cx.tid, %error, "cannot take a signal");
    }
    Ok(Outcome::Answered)
}

/// The course of one read.
struct Reader<'a> {
    cx: &'a Cx,
    signals: &'a SignalFd,
    addr: u64,
    room: usize,
    taken: usize,
    waits: bool,
}

impl Reader<'_> {
    fn next(&mut self, event: Performed) -> Step {
        match event {
            Performed::Started => self.ask(),
            Performed::Result(1..) => match self.convert() {
                Ok(()) => {
                    self.taken += 1;
                    let more = self.taken < self.room && self.signals.has_pending(self.cx.tid);
                    if more { self.ask() } else { self.end() }
                }
                Err(errno) => self.fail(errno),
            },
            Performed::Interrupted | Performed::Result(_) if self.taken > 0 => self.end(),
            Performed::Interrupted => Step::Again,
            // Another thread was faster.
            Performed::Result(_) if self.waits => Step::Again,
            Performed::Result(_) => self.fail(Errno::EAGAIN),
        }
    }

    fn end(&self) -> Step {
        Step::Return((self.taken * INFO_SIZE) as i64)
    }

    fn fail(&self, errno: Errno) -> Step {
        if self.taken > 0 { self.end() } else { Step::Return(-i64::from(errno.raw())) }
    }

    fn slot(&self) -> u64 {
        self.addr.saturating_add((self.taken * INFO_SIZE) as u64)
    }

    /// Has the thread take the next signal.
    fn ask(&self) -> Step {
        let at = self.slot();
        let mut request = [0; 32];
        request[..SIGSET_SIZE].copy_from_slice(&self.signals.mask().0.to_ne_bytes());
        match self.cx.mem().write_bytes(at, &request) {
            Ok(()) => {
                let args = [at, at, at.saturating_add(16), SIGSET_SIZE as u64, 0, 0];
                Step::Perform { nr: RT_SIGTIMEDWAIT, args }
            }
            Err(errno) => self.fail(errno),
        }
    }

    fn convert(&self) -> SysResult<()> {
        let mut info = [0; INFO_SIZE];
        self.cx.mem().read_bytes(self.slot(), &mut info)?;
        self.cx.mem().write_bytes(self.slot(), &converted(&info))
    }
}
