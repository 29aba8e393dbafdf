//! Sends, receives and waits that need not wait, without the future of those that may. Whatever is not as simple is left to
//! the handlers that may wait: nothing has happened yet when these say `None`.

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::{Errno, SysResult};
use kernel_base::user::Pieces;
use kernel_net::socket::{Outgoing, Received, SendControl};
use kernel_net::{MessageFlags, Socket};

use super::of_status;
use crate::cx::{Cx, SCRATCH_LEN, with_scratch};

/// Flags that change nothing about how it is done.
const PLAIN: MessageFlags =
    MessageFlags::DONTWAIT.union(MessageFlags::NOSIGNAL).union(MessageFlags::MORE).union(MessageFlags::PEEK);

/// EAGAIN is an answer for who does not wait.
fn done<T>(result: SysResult<T>, flags: MessageFlags) -> Option<SysResult<T>> {
    let waits = matches!(result, Err(Errno::EAGAIN)) && !flags.contains(MessageFlags::DONTWAIT);
    (!waits).then_some(result)
}

/// Receives in one piece.
pub(super) fn receive(
    cx: &Cx,
    socket: &dyn Socket,
    bytes: &Pieces,
    flags: MessageFlags,
) -> Option<SysResult<Received>> {
    let len = bytes.total();
    let is_plain = PLAIN.contains(flags) && len <= SCRATCH_LEN && socket.options().receive_low_water() <= 1;
    // Who will probably wait tries once, in the other handler.
    let may_be = flags.contains(MessageFlags::DONTWAIT) || socket.may_be_ready(Events::IN);
    if !is_plain || !may_be {
        return None;
    }
    let receiving = super::receive::Receiving { cx, socket, bytes, flags };
    done(receiving.attempt(0, len), flags)
}

/// Sends in one piece, of sockets that need not take all.
pub(super) fn send(
    cx: &Cx,
    socket: &dyn Socket,
    bytes: &Pieces,
    flags: MessageFlags,
) -> Option<SysResult<usize>> {
    let len = bytes.total();
    let is_plain = PLAIN.contains(flags) && flags.contains(MessageFlags::DONTWAIT) && len <= SCRATCH_LEN;
    if !is_plain || socket.max_message().is_some_and(|max| len > max) {
        return None;
    }
    let offer = |buffer: &mut [u8]| {
        if !buffer.is_empty() && cx.mem().gather(bytes, 0, buffer)? < buffer.len() {
            return Err(Errno::EFAULT);
        }
        let control = &mut SendControl::default();
        socket.send(&*cx.task, Outgoing { bytes: buffer, to: None, flags, control })
    };
    Some(with_scratch(len, offer))
}

/// read(2) of a socket.
pub(crate) fn read(
    cx: &Cx,
    socket: &dyn Socket,
    bytes: &Pieces,
    status: OpenFlags,
) -> Option<SysResult<usize>> {
    if bytes.total() == 0 {
        return None;
    }
    receive(cx, socket, bytes, of_status(status)).map(|result| result.map(|received| received.len))
}

/// write(2) of a socket.
pub(crate) fn write(
    cx: &Cx,
    socket: &dyn Socket,
    bytes: &Pieces,
    status: OpenFlags,
) -> Option<SysResult<usize>> {
    send(cx, socket, bytes, of_status(status))
}
