//! The supervisor's standard descriptors, shared with whoever started it.
//!
//! O_NONBLOCK belongs to the open file description, which other programs use as well, so it is never set
//! on the inherited one: pipes and terminals are opened anew through /proc/self/fd, sockets use
//! MSG_DONTWAIT, and for regular files it has no meaning.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use host_sys::meter;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{read, write};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::pipe::fcntl_getpipe_size;

use crate::errno;
use crate::stat::{HostKind, HostStat};

/// What lies behind a standard descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// A file with a position that is shared with the host's programs.
    Regular,
    Pipe,
    Socket,
    /// A terminal.
    Terminal,
    /// Another character device, such as /dev/null.
    Device,
}

/// One of the supervisor's standard descriptors.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    kind: StreamKind,
    /// Whether `fd` is a description of our own with O_NONBLOCK set.
    nonblocking: bool,
}

impl Stream {
    /// Takes a duplicate of a standard descriptor. Pipes and terminals are opened anew, which fails for a
    /// pipe whose end belongs to another user; then reads and writes ask poll(2) first.
    pub fn new(fd: OwnedFd) -> SysResult<Self> {
        let stat =
            meter::host(|| rustix::fs::statx(&fd, "", rustix::fs::AtFlags::EMPTY_PATH, crate::stat::WANTED))
                .map_err(errno)?;
        let stat = HostStat::from_statx(&stat);
        let kind = match stat.kind {
            HostKind::Regular | HostKind::Directory | HostKind::BlockDevice | HostKind::Symlink => {
                StreamKind::Regular
            }
            HostKind::Fifo => StreamKind::Pipe,
            HostKind::Socket => StreamKind::Socket,
            HostKind::CharDevice if is_terminal(&fd) => StreamKind::Terminal,
            HostKind::CharDevice => StreamKind::Device,
        };
        if !matches!(kind, StreamKind::Pipe | StreamKind::Terminal) {
            return Ok(Self { fd, kind, nonblocking: false });
        }
        let access = rustix::fs::fcntl_getfl(&fd).map_err(errno)? & OFlags::RWMODE;
        let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match meter::host(|| open(format!("/proc/self/fd/{}", fd.as_raw_fd()), flags, Mode::empty())) {
            Ok(own) => Ok(Self { fd: own, kind, nonblocking: true }),
            Err(_) => Ok(Self { fd, kind, nonblocking: false }),
        }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> StreamKind {
        self.kind
    }

    /// Its attributes on the host.
    pub fn stat(&self) -> SysResult<HostStat> {
        let stat = meter::host(|| {
            rustix::fs::statx(&self.fd, "", rustix::fs::AtFlags::EMPTY_PATH, crate::stat::WANTED)
        })
        .map_err(errno)?;
        Ok(HostStat::from_statx(&stat))
    }

    /// Whether it was opened for reading and for writing.
    pub fn access(&self) -> SysResult<(bool, bool)> {
        let mode = rustix::fs::fcntl_getfl(&self.fd).map_err(errno)? & OFlags::RWMODE;
        Ok((mode != OFlags::WRONLY, mode != OFlags::RDONLY))
    }

    /// Whether the host's description is in append mode.
    pub fn is_append(&self) -> SysResult<bool> {
        Ok(rustix::fs::fcntl_getfl(&self.fd).map_err(errno)?.contains(OFlags::APPEND))
    }

    /// Reads at the host's own position; EAGAIN when that would wait.
    pub fn read(&self, buf: &mut [u8]) -> SysResult<usize> {
        if self.kind == StreamKind::Socket {
            return meter::host(|| recv(&self.fd, buf, RecvFlags::DONTWAIT))
                .map(|(len, _)| len)
                .map_err(errno);
        }
        self.check_ready(Events::IN)?;
        meter::host(|| read(&self.fd, buf)).map_err(errno)
    }

    /// Writes at the host's own position; EAGAIN when that would wait. EPIPE raises no signal here as long
    /// as the supervisor ignores SIGPIPE.
    pub fn write(&self, buf: &[u8]) -> SysResult<usize> {
        if self.kind == StreamKind::Socket {
            return send(&self.fd, buf, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map_err(errno);
        }
        self.check_ready(Events::OUT)?;
        // A blocking pipe that is ready takes PIPE_BUF bytes without waiting (pipe(7)), and no more.
        let limit = if self.kind == StreamKind::Pipe && !self.nonblocking { 4096 } else { buf.len() };
        meter::host(|| write(&self.fd, &buf[..buf.len().min(limit)])).map_err(errno)
    }

    fn check_ready(&self, wanted: Events) -> SysResult<()> {
        let may_wait = !self.nonblocking && self.kind != StreamKind::Regular;
        let settled = wanted | Events::HUP | Events::ERR;
        if may_wait && !self.poll().intersects(settled) { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    /// Moves the host's position; ESPIPE when there is none.
    pub fn seek(&self, offset: i64, from_end: bool) -> SysResult<u64> {
        let from = if from_end {
            rustix::fs::SeekFrom::End(offset)
        } else {
            rustix::fs::SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::EINVAL)?)
        };
        meter::host(|| rustix::fs::seek(&self.fd, from)).map_err(errno)
    }

    /// The host's position.
    pub fn position(&self) -> SysResult<u64> {
        meter::host(|| rustix::fs::tell(&self.fd)).map_err(errno)
    }

    /// How much a pipe holds (F_GETPIPE_SZ); EBADF for anything else.
    pub fn pipe_capacity(&self) -> SysResult<usize> {
        if self.kind == StreamKind::Pipe {
            fcntl_getpipe_size(&self.fd).map_err(errno)
        } else {
            Err(Errno::EBADF)
        }
    }

    /// Cuts a regular file (O_TRUNC of a reopened standard descriptor).
    pub fn truncate(&self, size: u64) -> SysResult<()> {
        meter::host(|| rustix::fs::ftruncate(&self.fd, size)).map_err(errno)
    }

    /// What it is ready for, now.
    #[must_use]
    pub fn poll(&self) -> Events {
        let mut fds =
            [PollFd::new(&self.fd, PollFlags::IN | PollFlags::OUT | PollFlags::PRI | PollFlags::RDHUP)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        match meter::host(|| poll(&mut fds, Some(&now))) {
            Ok(_) => Events::from_bits_truncate(u32::from(fds[0].revents().bits())),
            Err(_) => Events::ERR,
        }
    }
}

fn is_terminal(fd: &OwnedFd) -> bool {
    use std::io::IsTerminal;
    fd.is_terminal()
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
