//! socket(2), socketpair(2), accept(2).

use std::sync::Arc;

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_net::{Socket, SocketFile, SocketKind};

use super::{OpenSocket, Patience, address, wait};
use crate::cx::Cx;

/// SOCK_CLOEXEC and SOCK_NONBLOCK are open(2)'s.
const FLAGS: u32 = OpenFlags::CLOEXEC.union(OpenFlags::NONBLOCK).bits();
/// SOCK_TYPE_MASK and SOCK_MAX.
const TYPE_MASK: u32 = 0xf;
const TYPE_COUNT: u32 = 11;
/// NPROTO: address families that the kernel could have.
const FAMILY_COUNT: i32 = 46;

/// The type argument: its type, checked as __sock_create does, and its flags.
fn kind_of(domain: i32, raw: u32) -> SysResult<SocketKind> {
    if !(0..FAMILY_COUNT).contains(&domain) {
        return Err(Errno::EAFNOSUPPORT);
    }
    let raw = raw & TYPE_MASK;
    if raw >= TYPE_COUNT {
        return Err(Errno::EINVAL);
    }
    SocketKind::from_raw(raw).ok_or(Errno::ESOCKTNOSUPPORT)
}

fn flags_of(raw: u32) -> SysResult<OpenFlags> {
    let flags = raw & !TYPE_MASK;
    if flags & !FLAGS == 0 { Ok(OpenFlags::from_bits_retain(flags)) } else { Err(Errno::EINVAL) }
}

fn install(cx: &Cx, socket: Arc<dyn Socket>, flags: OpenFlags) -> SysResult<Fd> {
    let file = SocketFile::open(&*cx.task, cx.kernel().net(), socket, flags)?;
    cx.install(file, flags.contains(OpenFlags::CLOEXEC))
}

/// socket(2).
pub(crate) fn sys_socket(cx: &Cx, domain: i32, kind: u32, protocol: i32) -> SysResult<Fd> {
    let flags = flags_of(kind)?;
    let family = |kind: SysResult<SocketKind>| Ok((cx.kernel().net().family(domain)?, kind?));
    let (family, kind) = match kind_of(domain, kind) {
        Err(errno @ (Errno::EAFNOSUPPORT | Errno::EINVAL)) => return Err(errno),
        kind => family(kind)?,
    };
    let socket = family.create(&*cx.task, kind, protocol)?;
    install(cx, socket, flags)
}

/// socketpair(2).
pub(crate) fn sys_socketpair(
    cx: &Cx,
    domain: i32,
    kind: u32,
    protocol: i32,
    fds: UserRef<[i32; 2]>,
) -> SysResult<()> {
    let flags = flags_of(kind)?;
    // The numbers are told before the sockets are made, and stay told when they cannot be.
    let files = &cx.process.files;
    let told = files.free_numbers(cx.process.limits.files())?;
    cx.mem().write(fds, &told.map(|fd| fd.0))?;
    let kind = kind_of(domain, kind)?;
    let family = cx.kernel().net().family(domain)?;
    let (one, two) = family.create_pair(&*cx.task, kind, protocol).map_err(|errno| match errno {
        // Linux makes two sockets before it pairs them: what refuses these comes first.
        Errno::EOPNOTSUPP => family.create(&*cx.task, kind, protocol).err().unwrap_or(errno),
        _ => errno,
    })?;
    let made = install(cx, one, flags)?;
    let both = install(cx, two, flags).and_then(|last| {
        // Another thread may have taken the numbers meanwhile.
        let copied = if [made, last] == told { Ok(()) } else { cx.mem().write(fds, &[made.0, last.0]) };
        copied.inspect_err(|_| drop(files.remove(last)))
    });
    both.inspect_err(|_| drop(files.remove(made)))
}

/// accept4(2).
pub(crate) async fn sys_accept4(cx: &Cx, fd: Fd, addr: u64, len_at: u64, flags: u32) -> SysResult<Fd> {
    let file = cx.file(fd)?;
    if flags & !FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    cx.process.files.check_room(cx.process.limits.files())?;
    drop(file);
    let listener = OpenSocket::get(cx, fd)?;
    let timeout = listener.socket.options().receive_timeout_ns();
    let patience = Patience::of(cx, listener.flags(0), timeout);
    let socket = &*listener.socket;
    let accepted = wait(cx, socket, Events::IN, patience, || {
        // Asked before each attempt, so that no connection is lost for want of a descriptor.
        cx.process.files.check_room(cx.process.limits.files())?;
        socket.accept()
    })
    .await?;
    if addr != 0 {
        let peer = accepted.accepted_name().map_err(|_| Errno::ECONNABORTED)?;
        address::write(cx, &peer, addr, len_at)?;
    }
    install(cx, accepted, OpenFlags::from_bits_retain(flags))
}

/// accept(2).
pub(crate) async fn sys_accept(cx: &Cx, fd: Fd, addr: u64, len_at: u64) -> SysResult<Fd> {
    sys_accept4(cx, fd, addr, len_at, 0).await
}
