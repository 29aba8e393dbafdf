//! A network namespace of the host, which threads enter when they have to.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use abi_linux::{Errno, SysResult};
use host_sys::socket;
use rustix::fs::{Mode, OFlags, openat};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::kinds::AF_INET;

static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The number of the namespace that this thread has entered; 0: its process's.
    static ENTERED: Cell<u64> = const { Cell::new(0) };
}

/// Most bytes of a file of /proc/net.
const MOST_TEXT: usize = 4 << 20;

/// Whose namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// That in which the supervisor was started.
    Supervisor,
    /// That of this process, which lives as long as there are sockets.
    Of(i32),
}

/// A network namespace.
pub struct Namespace {
    /// `None`: the supervisor's, where every thread begins.
    fd: Option<OwnedFd>,
    id: u64,
    /// For questions about interfaces.
    probe: OwnedFd,
    /// /proc/net of somebody in it.
    proc_net: OwnedFd,
    unprivileged_port: u16,
}

pub(crate) fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

impl Namespace {
    /// Opens a namespace; the calling thread is in it then, and stays.
    pub fn open(whose: Whose) -> SysResult<Self> {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let open = |path: &str, flags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
        let (fd, proc_net) = match whose {
            // Its main thread never leaves.
            Whose::Supervisor => (None, "/proc/self/net".to_owned()),
            Whose::Of(pid) => {
                let fd = open(&format!("/proc/{pid}/ns/net"), OFlags::RDONLY).map_err(errno)?;
                enter(fd.as_fd(), id)?;
                (Some(fd), format!("/proc/{pid}/net"))
            }
        };
        let probe = socket::open(AF_INET.into(), 2, 0)?;
        let proc_net = open(&proc_net, OFlags::PATH | OFlags::DIRECTORY).map_err(errno)?;
        let mut namespace = Self { fd, id, probe, proc_net, unprivileged_port: 0 };
        namespace.read_unprivileged_port();
        Ok(namespace)
    }

    fn read_unprivileged_port(&mut self) {
        let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        self.unprivileged_port = text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024);
    }

    /// Puts the calling thread in.
    pub fn enter(&self) -> SysResult<()> {
        match &self.fd {
            Some(fd) if ENTERED.get() != self.id => enter(fd.as_fd(), self.id),
            _ => Ok(()),
        }
    }

    /// Sets lo up, as a namespace that has just been made wants it.
    pub fn set_loopback_up(&self) -> SysResult<()> {
        socket::set_loopback_up(self.probe.as_fd())
    }

    /// The first port that wants no capability (net.ipv4.ip_unprivileged_port_start).
    #[must_use]
    pub fn unprivileged_port(&self) -> u16 {
        self.unprivileged_port
    }

    /// A question about an interface (netdevice(7)): ENOTTY for what is none.
    pub fn interface(&self, request: u32, ifreq: &mut [u8; 40]) -> SysResult<()> {
        socket::interface(self.probe.as_fd(), request, ifreq)
    }

    /// A file of /proc/net.
    pub fn proc_file(&self, name: &str) -> SysResult<Vec<u8>> {
        let file =
            openat(&self.proc_net, name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty());
        let file = file.map_err(errno)?;
        let mut text = Vec::with_capacity(4096);
        loop {
            if text.len() >= MOST_TEXT {
                return Ok(text);
            }
            text.reserve(4096);
            match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut text)) {
                Ok(0) => return Ok(text),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(errno(error)),
            }
        }
    }
}

fn enter(fd: BorrowedFd<'_>, id: u64) -> SysResult<()> {
    move_into_link_name_space(fd, Some(LinkNameSpaceType::Network)).map_err(errno)?;
    ENTERED.set(id);
    Ok(())
}
