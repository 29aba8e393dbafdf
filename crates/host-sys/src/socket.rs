//! Socket calls with addresses, options and control data as bytes, which rustix takes as types of its own. Callers hand
//! over what they have built themselves: nothing here looks at the bytes.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use abi_linux::SysResult;

use crate::{check, last};

/// An address as the host writes it: of AF_INET6 at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; 28],
    len: usize,
}

impl Name {
    /// The address; empty where there is none.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

/// What came with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub len: usize,
    pub name: Name,
    pub control_len: usize,
    /// MSG_TRUNC and its like.
    pub flags: i32,
}

fn length(count: libc::ssize_t) -> SysResult<usize> {
    usize::try_from(count).map_err(|_| last())
}

/// socket(2), non-blocking and close-on-exec.
pub fn open(domain: i32, kind: i32, protocol: i32) -> SysResult<OwnedFd> {
    let kind = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointer is involved.
    let fd = check(unsafe { libc::socket(domain, kind, protocol) })?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// bind(2).
pub fn bind(fd: BorrowedFd<'_>, address: &[u8]) -> SysResult<()> {
    // SAFETY: the kernel reads `address.len()` bytes of a live slice.
    let ret =
        unsafe { libc::bind(fd.as_raw_fd(), address.as_ptr().cast(), address.len() as libc::socklen_t) };
    check(ret).map(drop)
}

/// connect(2).
pub fn connect(fd: BorrowedFd<'_>, address: &[u8]) -> SysResult<()> {
    // SAFETY: the kernel reads `address.len()` bytes of a live slice.
    let ret =
        unsafe { libc::connect(fd.as_raw_fd(), address.as_ptr().cast(), address.len() as libc::socklen_t) };
    check(ret).map(drop)
}

/// accept4(2): the connection, non-blocking and close-on-exec, and its peer.
pub fn accept(fd: BorrowedFd<'_>) -> SysResult<(OwnedFd, Name)> {
    let mut name = Name::default();
    let mut len = name.bytes.len() as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes at most `len` bytes to `name.bytes`, which has as many, and `len` itself.
    let ret = unsafe { libc::accept4(fd.as_raw_fd(), name.bytes.as_mut_ptr().cast(), &raw mut len, flags) };
    let new = check(ret)?;
    name.len = len as usize;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok((unsafe { OwnedFd::from_raw_fd(new) }, name))
}

/// getsockname(2).
pub fn name(fd: BorrowedFd<'_>) -> SysResult<Name> {
    let mut name = Name::default();
    let mut len = name.bytes.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `name.bytes`, which has as many, and `len` itself.
    let ret = unsafe { libc::getsockname(fd.as_raw_fd(), name.bytes.as_mut_ptr().cast(), &raw mut len) };
    check(ret)?;
    Ok(Name { len: len as usize, ..name })
}

/// getpeername(2).
pub fn peer_name(fd: BorrowedFd<'_>) -> SysResult<Name> {
    let mut name = Name::default();
    let mut len = name.bytes.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `name.bytes`, which has as many, and `len` itself.
    let ret = unsafe { libc::getpeername(fd.as_raw_fd(), name.bytes.as_mut_ptr().cast(), &raw mut len) };
    check(ret)?;
    Ok(Name { len: len as usize, ..name })
}

/// setsockopt(2).
pub fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> SysResult<()> {
    let len = value.len() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of a live slice. Options whose value holds pointers are not offered to
    // guests (host_net::options).
    let ret = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), len) };
    check(ret).map(drop)
}

/// getsockopt(2): how many bytes of `value` were filled.
pub fn option(fd: BorrowedFd<'_>, level: i32, name: i32, value: &mut [u8]) -> SysResult<usize> {
    let mut len = value.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to a live slice, and `len` itself; as for `set_option`, no option
    // whose value holds pointers comes here.
    let ret =
        unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut len) };
    check(ret)?;
    Ok((len as usize).min(value.len()))
}

/// send(2), sendto(2) or sendmsg(2); never raises SIGPIPE.
pub fn send(fd: BorrowedFd<'_>, bytes: &[u8], to: &[u8], control: &[u8], flags: i32) -> SysResult<usize> {
    let flags = flags | libc::MSG_NOSIGNAL;
    if control.is_empty() {
        let to_len = to.len() as libc::socklen_t;
        let to = if to.is_empty() { ptr::null() } else { to.as_ptr() };
        // SAFETY: the kernel reads two live slices of the lengths given; no address is a null pointer and length 0.
        let sent = unsafe {
            libc::sendto(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags, to.cast(), to_len)
        };
        return length(sent);
    }
    let mut piece = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let header = libc::msghdr {
        msg_name: if to.is_empty() { ptr::null_mut() } else { to.as_ptr().cast_mut().cast() },
        msg_namelen: to.len() as libc::socklen_t,
        msg_iov: &raw mut piece,
        msg_iovlen: 1,
        msg_control: control.as_ptr().cast_mut().cast(),
        msg_controllen: control.len(),
        msg_flags: 0,
    };
    // SAFETY: the header and what it points to live through the call, which only reads.
    length(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const header, flags) })
}

/// recv(2).
pub fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: i32) -> SysResult<usize> {
    // SAFETY: the kernel writes at most as many bytes as the live slice has.
    length(unsafe { libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags) })
}

/// recvmsg(2) into `buffer` and `control`.
pub fn receive_message(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    control: &mut [u8],
    flags: i32,
) -> SysResult<Message> {
    let mut name = Name::default();
    let mut piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut header = libc::msghdr {
        msg_name: name.bytes.as_mut_ptr().cast(),
        msg_namelen: name.bytes.len() as libc::socklen_t,
        msg_iov: &raw mut piece,
        msg_iovlen: 1,
        msg_control: control.as_mut_ptr().cast(),
        msg_controllen: control.len(),
        msg_flags: 0,
    };
    // SAFETY: the kernel writes at most as many bytes as each live buffer has, and the header, which lives as well.
    // INET sockets hand over no descriptors.
    let len = length(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) })?;
    name.len = header.msg_namelen as usize;
    Ok(Message { len, name, control_len: header.msg_controllen.min(control.len()), flags: header.msg_flags })
}

/// An ioctl(2) that gives an int: FIONREAD, SIOCOUTQ and their like.
pub fn count(fd: BorrowedFd<'_>, request: Count) -> SysResult<i32> {
    let mut value: libc::c_int = 0;
    // SAFETY: each of these requests writes one int.
    let ret = unsafe { libc::ioctl(fd.as_raw_fd(), request as libc::Ioctl, &raw mut value) };
    check(ret)?;
    Ok(value)
}

/// What a socket can be asked for by [`count`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Count {
    /// FIONREAD.
    Readable = 0x541b,
    /// SIOCOUTQ.
    Unsent = 0x5411,
    /// SIOCOUTQNSD.
    NotSent = 0x894b,
    /// SIOCATMARK.
    AtMark = 0x8905,
}

/// The questions of netdevice(7) by name or number, which read and write one `struct ifreq` without pointers.
const INTERFACE: [u32; 12] =
    [0x8910, 0x8913, 0x8915, 0x8917, 0x8919, 0x891b, 0x891d, 0x8921, 0x8927, 0x8933, 0x8942, 0x8970];

/// Asks for a property of an interface: ENOTTY for other requests.
pub fn interface(fd: BorrowedFd<'_>, request: u32, ifreq: &mut [u8; 40]) -> SysResult<()> {
    if !INTERFACE.contains(&request) {
        return Err(abi_linux::Errno::ENOTTY);
    }
    // SAFETY: the list above holds requests that read and write a `struct ifreq`, of 40 bytes, and follow no pointer.
    let ret = unsafe { libc::ioctl(fd.as_raw_fd(), libc::Ioctl::from(request), ifreq.as_mut_ptr()) };
    check(ret).map(drop)
}

/// SIOCSIFFLAGS: sets lo up in the calling thread's network namespace.
pub fn set_loopback_up(fd: BorrowedFd<'_>) -> SysResult<()> {
    /// IFF_UP | IFF_RUNNING.
    const UP: u16 = 0x41;
    let mut ifreq = [0u8; 40];
    ifreq[..2].copy_from_slice(b"lo");
    ifreq[16..18].copy_from_slice(&UP.to_ne_bytes());
    // SAFETY: the request reads a `struct ifreq`, of 40 bytes, and follows no pointer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCSIFFLAGS, ifreq.as_ptr()) }).map(drop)
}
