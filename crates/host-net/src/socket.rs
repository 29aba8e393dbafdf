//! One socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use host_sys::meter;
use host_sys::socket::{self, Count, Name};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::Shutdown;
use rustix::time::Timespec;

use crate::address::Address;
use crate::control;
use crate::kinds::{self, AF_INET, AF_INET6, Protocol};
use crate::namespace::{Namespace, errno};
use crate::options::{self, Row};

/// MSG_OOB, MSG_DONTROUTE, MSG_CONFIRM, MSG_MORE, MSG_FASTOPEN; the others are the caller's own business.
const SEND_FLAGS: u32 = 0x1 | 0x4 | 0x800 | 0x8000 | 0x2000_0000;
/// MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_ERRQUEUE.
const RECEIVE_FLAGS: u32 = 0x1 | 0x2 | 0x20 | 0x2000;

/// A socket of the host.
pub struct Socket {
    fd: Arc<OwnedFd>,
    pub domain: u16,
    pub protocol: Protocol,
    /// The protocol's number.
    pub number: i32,
}

/// Whom accept(2) has taken.
pub type Peer = (Socket, Name);

/// A message.
#[derive(Debug, Default)]
pub struct Incoming {
    /// With MSG_TRUNC perhaps more than the buffer holds.
    pub len: usize,
    pub name: Name,
    pub flags: u32,
    /// Level, kind and data of each control message.
    pub control: Vec<(i32, i32, Vec<u8>)>,
}

impl Socket {
    /// Opens one in `namespace`.
    pub fn open(namespace: &Namespace, domain: u16, kind: u32, protocol: i32) -> SysResult<Self> {
        let (is, number) = kinds::find(domain, kind, protocol)?;
        namespace.enter()?;
        let fd = socket::open(domain.into(), kind.cast_signed(), number)?;
        Ok(Self { fd: Arc::new(fd), domain, protocol: is, number })
    }

    /// For the reactor.
    #[must_use]
    pub fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub fn bind(&self, address: &Address) -> SysResult<()> {
        meter::host(|| socket::bind(self.as_fd(), address.as_bytes()))
    }

    pub fn connect(&self, address: &Address) -> SysResult<()> {
        meter::host(|| socket::connect(self.as_fd(), address.as_bytes()))
    }

    pub fn listen(&self, backlog: u32) -> SysResult<()> {
        meter::host(|| rustix::net::listen(self.as_fd(), i32::try_from(backlog).unwrap_or(i32::MAX)))
            .map_err(errno)
    }

    pub fn accept(&self) -> SysResult<Peer> {
        let (fd, name) = meter::host(|| socket::accept(self.as_fd()))?;
        let Self { domain, protocol, number, .. } = *self;
        Ok((Self { fd: Arc::new(fd), domain, protocol, number }, name))
    }

    pub fn shutdown(&self, how: Shutdown) -> SysResult<()> {
        meter::host(|| rustix::net::shutdown(self.as_fd(), how)).map_err(errno)
    }

    pub fn name(&self) -> SysResult<Name> {
        meter::host(|| socket::name(self.as_fd()))
    }

    pub fn peer_name(&self) -> SysResult<Name> {
        meter::host(|| socket::peer_name(self.as_fd()))
    }

    /// Sends; `control` is what [`control::append`] has built.
    pub fn send(&self, bytes: &[u8], to: Option<&Address>, control: &[u8], flags: u32) -> SysResult<usize> {
        let flags = (flags & SEND_FLAGS).cast_signed();
        meter::host(|| socket::send(self.as_fd(), bytes, to.map_or(&[], Address::as_bytes), control, flags))
    }

    /// Receives of a stream without control messages.
    pub fn receive(&self, buffer: &mut [u8], flags: u32) -> SysResult<usize> {
        meter::host(|| socket::receive(self.as_fd(), buffer, (flags & RECEIVE_FLAGS).cast_signed()))
    }

    /// Receives a message with its sender's address and what else came with it.
    pub fn receive_message(&self, buffer: &mut [u8], with_control: bool, flags: u32) -> SysResult<Incoming> {
        let mut room = [0u8; control::ROOM];
        let room = if with_control { room.as_mut_slice() } else { &mut [] };
        let flags = (flags & RECEIVE_FLAGS).cast_signed();
        let message = meter::host(|| socket::receive_message(self.as_fd(), buffer, room, flags))?;
        let control = control::each(room.get(..message.control_len).unwrap_or_default());
        Ok(Incoming {
            len: message.len,
            name: message.name,
            flags: message.flags.cast_unsigned(),
            control: control.map(|(level, kind, data)| (level, kind, data.to_vec())).collect(),
        })
    }

    /// What it is ready for now.
    #[must_use]
    pub fn poll(&self) -> Events {
        let all = PollFlags::from_bits_retain(ALL.bits() as u16);
        let mut polled = [PollFd::new(&*self.fd, all)];
        match meter::host(|| poll(&mut polled, Some(&Timespec::default()))) {
            Ok(_) => Events::from_bits_truncate(u32::from(polled[0].revents().bits())) & ALL,
            Err(_) => Events::empty(),
        }
    }

    /// setsockopt(2) of an option in the table.
    pub fn set_option(&self, row: &Row, value: &[u8]) -> SysResult<()> {
        let value = row.checked(value)?;
        meter::host(|| socket::set_option(self.as_fd(), row.level, row.name, value))
    }

    /// SO_LINGER without a time, which makes close(2) reset; or none at all.
    pub fn reset_on_close(&self, is_on: bool) -> SysResult<()> {
        let value = [i32::from(is_on).to_ne_bytes(), [0; 4]].concat();
        meter::host(|| socket::set_option(self.as_fd(), options::SOCKET, 13, &value))
    }

    /// SO_RCVLOWAT.
    pub fn set_low_water(&self, least: usize) -> SysResult<()> {
        let least = i32::try_from(least).unwrap_or(i32::MAX);
        meter::host(|| socket::set_option(self.as_fd(), options::SOCKET, 18, &least.to_ne_bytes()))
    }

    /// getsockopt(2) of an option in the table, into at most `wanted` bytes.
    pub fn option(&self, row: &Row, wanted: usize) -> SysResult<Vec<u8>> {
        if row.most == 0 {
            return Err(Errno::ENOPROTOOPT);
        }
        let mut value = vec![0; wanted.min(row.most)];
        let len = meter::host(|| socket::option(self.as_fd(), row.level, row.name, &mut value))?;
        value.truncate(len);
        Ok(value)
    }

    /// SO_ERROR.
    #[must_use]
    pub fn take_error(&self) -> Option<Errno> {
        let mut value = [0; 4];
        meter::host(|| socket::option(self.as_fd(), options::SOCKET, 4, &mut value)).ok()?;
        Some(i32::from_ne_bytes(value)).filter(|&raw| raw != 0).map(Errno::from_raw)
    }

    /// FIONREAD and its relatives.
    pub fn count(&self, what: Count) -> SysResult<i32> {
        meter::host(|| socket::count(self.as_fd(), what))
    }

    /// Whether it is one of AF_INET.
    #[must_use]
    pub fn is_v4(&self) -> bool {
        debug_assert!(matches!(self.domain, AF_INET | AF_INET6));
        self.domain == AF_INET
    }

    /// The host's number of it, as /proc/net shows it.
    #[must_use]
    pub fn ino(&self) -> Option<u64> {
        rustix::fs::fstat(&*self.fd).ok().map(|stat| stat.st_ino)
    }
}

/// What is asked of poll(2).
const ALL: Events = Events::IN
    .union(Events::PRI)
    .union(Events::OUT)
    .union(Events::ERR)
    .union(Events::HUP)
    .union(Events::RDNORM)
    .union(Events::RDBAND)
    .union(Events::WRNORM)
    .union(Events::WRBAND)
    .union(Events::RDHUP);
