//! bind(2), listen(2), connect(2), getsockname(2), getpeername(2), shutdown(2).

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_net::socket::{Destination, Shutdown};

use super::{OpenSocket, Patience, address, wait};
use crate::cx::Cx;

/// net.core.somaxconn.
const SOMAXCONN: u32 = 4096;

/// bind(2).
pub(crate) fn sys_bind(cx: &Cx, fd: Fd, addr: u64, len: u32) -> SysResult<()> {
    let open = OpenSocket::get(cx, fd)?;
    let address = address::read(cx, addr, len)?;
    cx.with_walk(|walk| open.socket.bind(Destination { address: &address, walk }))
}

/// listen(2).
pub(crate) fn sys_listen(cx: &Cx, fd: Fd, backlog: i32) -> SysResult<()> {
    let open = OpenSocket::get(cx, fd)?;
    // A negative backlog is a large one.
    open.socket.listen(&*cx.task, (backlog as u32).min(SOMAXCONN))
}

/// connect(2).
pub(crate) async fn sys_connect(cx: &Cx, fd: Fd, addr: u64, len: u32) -> SysResult<()> {
    let open = OpenSocket::get(cx, fd)?;
    let address = address::read(cx, addr, len)?;
    let socket = &*open.socket;
    let patience = Patience::of(cx, open.flags(0), socket.options().send_timeout_ns());
    let begun = wait(cx, socket, Events::OUT, patience, || {
        cx.with_walk(|walk| socket.connect(Destination { address: &address, walk }))
    })
    .await;
    match begun {
        // EALREADY: the call before was interrupted, or its patience ended.
        Err(begun @ (Errno::EINPROGRESS | Errno::EALREADY)) if patience != Patience::None => {
            let finished = wait(cx, socket, Events::OUT, patience, || socket.finish_connect()).await;
            finished.map_err(|errno| if errno == Errno::EAGAIN { begun } else { errno })
        }
        result => result,
    }
}

/// getsockname(2).
pub(crate) fn sys_getsockname(cx: &Cx, fd: Fd, addr: u64, len_at: u64) -> SysResult<()> {
    let name = OpenSocket::get(cx, fd)?.socket.name()?;
    address::write(cx, &name, addr, len_at)
}

/// getpeername(2).
pub(crate) fn sys_getpeername(cx: &Cx, fd: Fd, addr: u64, len_at: u64) -> SysResult<()> {
    let name = OpenSocket::get(cx, fd)?.socket.peer_name()?;
    address::write(cx, &name, addr, len_at)
}

/// shutdown(2).
pub(crate) fn sys_shutdown(cx: &Cx, fd: Fd, how: u32) -> SysResult<()> {
    let open = OpenSocket::get(cx, fd)?;
    let how = match how {
        0 => Shutdown::Read,
        1 => Shutdown::Write,
        2 => Shutdown::Both,
        _ => return Err(Errno::EINVAL),
    };
    open.socket.shutdown(how)
}
