//! recvfrom(2), recvmsg(2), recvmmsg(2), and read(2) of a socket.

use std::sync::Arc;

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::{Pieces, UserRef};
use kernel_net::socket::Received;
use kernel_net::{MessageFlags, Socket};

use super::message::{self, Header, MMSG_SIZE, MOST_MESSAGES};
use super::{OpenSocket, Patience, address, now, of_status, wait};
use crate::cx::{Cx, Outcome, SCRATCH_LEN, with_scratch};

/// No message is longer: twice the largest SO_SNDBUF.
const MOST_MESSAGE: usize = 2 * kernel_net::options::BUFFER_DEFAULT;

/// One receive into guest memory.
pub(super) struct Receiving<'a> {
    pub(super) cx: &'a Cx,
    pub(super) socket: &'a dyn Socket,
    pub(super) bytes: &'a Pieces,
    pub(super) flags: MessageFlags,
}

impl Receiving<'_> {
    pub(super) fn attempt(&self, done: usize, len: usize) -> SysResult<Received> {
        let receive = |buffer: &mut [u8]| {
            let received = self.socket.receive(buffer, self.flags)?;
            let bytes = buffer.get(..received.len).ok_or(Errno::EIO)?;
            if !bytes.is_empty() && self.cx.mem().scatter(self.bytes, done, bytes)? < bytes.len() {
                return Err(Errno::EFAULT);
            }
            Ok(received)
        };
        if len <= SCRATCH_LEN { with_scratch(len, receive) } else { receive(&mut vec![0; len]) }
    }

    async fn stream(&self, patience: Patience) -> SysResult<Received> {
        let total = self.bytes.total();
        let low_water = self.socket.options().receive_low_water();
        let target = if self.flags.contains(MessageFlags::WAITALL) { total } else { low_water.min(total) };
        let mut whole: Option<Received> = None;
        loop {
            let done = whole.as_ref().map_or(0, |whole| whole.len);
            let want = (total - done).min(SCRATCH_LEN);
            let patience = if whole.is_none() || done < target { patience } else { Patience::None };
            let piece =
                match wait(self.cx, self.socket, Events::IN, patience, || self.attempt(done, want)).await {
                    Ok(piece) => piece,
                    Err(errno) => match whole {
                        Some(whole) => return Ok(whole),
                        None => return Err(errno),
                    },
                };
            let is_short = piece.len < want;
            let is_last = piece.is_last;
            let whole = whole.get_or_insert_default();
            if done == 0 {
                *whole = piece;
            } else {
                whole.len += piece.len;
                whole.full_len = whole.len;
                whole.files.extend(piece.files);
            }
            if is_last || whole.len >= total || (whole.len >= target && is_short) {
                return Ok(std::mem::take(whole));
            }
            self.cx.set_progress(whole.len);
        }
    }

    async fn receive(&self) -> SysResult<Received> {
        let patience = Patience::of(self.cx, self.flags, self.socket.options().receive_timeout_ns());
        if self.socket.max_message().is_none() {
            let received = self.stream(patience).await;
            self.cx.set_progress(0);
            return received;
        }
        let len = self.bytes.total().min(MOST_MESSAGE);
        wait(self.cx, self.socket, Events::IN, patience, || self.attempt(0, len)).await
    }
}

/// What the call returns: with MSG_TRUNC the length of the message.
fn length(received: &Received, flags: MessageFlags) -> usize {
    if flags.contains(MessageFlags::TRUNC) { received.full_len } else { received.len }
}

/// read(2) of a socket.
pub(crate) async fn read(
    cx: &Cx,
    socket: &Arc<dyn Socket>,
    bytes: &Pieces,
    status: OpenFlags,
) -> SysResult<usize> {
    if bytes.total() == 0 {
        return Ok(0);
    }
    let receiving = Receiving { cx, socket: &**socket, bytes, flags: of_status(status) };
    receiving.receive().await.map(|received| received.len)
}

/// [`sys_recvfrom`] of what is there.
pub(crate) fn try_recvfrom(
    cx: &Cx,
    fd: Fd,
    buf: u64,
    len: usize,
    flags: u32,
    addr: u64,
    _len_at: u64,
) -> Option<SysResult<Outcome>> {
    if addr != 0 {
        return None;
    }
    let (bytes, open) = (cx.buffer(buf, len).ok()?, OpenSocket::get(cx, fd).ok()?);
    let received = now::receive(cx, &*open.socket, &bytes, open.flags(flags))?;
    Some(received.map(|received| Outcome::from(received.len)))
}

/// recvfrom(2).
pub(crate) async fn sys_recvfrom(
    cx: &Cx,
    fd: Fd,
    buf: u64,
    len: usize,
    flags: u32,
    addr: u64,
    len_at: u64,
) -> SysResult<usize> {
    let bytes = cx.buffer(buf, len)?;
    let open = OpenSocket::get(cx, fd)?;
    let flags = open.flags(flags);
    let received = Receiving { cx, socket: &*open.socket, bytes: &bytes, flags }.receive().await?;
    if addr != 0 {
        address::write(cx, &received.address, addr, len_at)?;
    }
    Ok(length(&received, flags))
}

async fn receive_one(cx: &Cx, open: &OpenSocket, at: u64, flags: MessageFlags) -> SysResult<usize> {
    let header = Header::read(cx, at)?;
    let bytes = header.pieces(cx)?;
    let received = Receiving { cx, socket: &*open.socket, bytes: &bytes, flags }.receive().await?;
    let len = length(&received, flags);
    message::write_back(cx, &header, received, flags)?;
    Ok(len)
}

/// recvmsg(2).
pub(crate) async fn sys_recvmsg(cx: &Cx, fd: Fd, msg: UserRef<message::Raw>, flags: u32) -> SysResult<usize> {
    let open = OpenSocket::get(cx, fd)?;
    receive_one(cx, &open, msg.addr(), open.flags(flags)).await
}

/// recvmmsg(2). The timeout is looked at after each message alone, as Linux does.
pub(crate) async fn sys_recvmmsg(
    cx: &Cx,
    fd: Fd,
    vector: u64,
    count: u32,
    flags: u32,
    timeout: UserRef<Timespec>,
) -> SysResult<u32> {
    let now = || cx.kernel().timers.now_ns();
    let deadline = match timeout.non_null() {
        Some(at) => Some(now().saturating_add(cx.mem().read(at)?.to_ns().ok_or(Errno::EINVAL)?)),
        None => None,
    };
    let open = OpenSocket::get(cx, fd)?;
    let mut flags = open.flags(flags);
    if let Some(errno) = open.socket.take_error() {
        // Before the first message is looked at (do_recvmmsg).
        return Err(errno);
    }
    let mut received = 0;
    while received < count.min(MOST_MESSAGES) {
        let at = vector.checked_add(u64::from(received) * MMSG_SIZE).ok_or(Errno::EFAULT)?;
        cx.set_progress(received as usize);
        let result = match receive_one(cx, &open, at, flags).await {
            Ok(len) => message::write_len(cx, at, len),
            Err(errno) => Err(errno),
        };
        match result {
            Ok(()) => received += 1,
            Err(errno) if received == 0 => return Err(errno),
            Err(_) => break,
        }
        if flags.contains(MessageFlags::WAITFORONE) {
            flags |= MessageFlags::DONTWAIT;
        }
        if deadline.is_some_and(|deadline| now() >= deadline) {
            break;
        }
    }
    cx.set_progress(0);
    if let (Some(at), Some(deadline)) = (timeout.non_null(), deadline) {
        cx.mem().write(at, &Timespec::from_ns(deadline.saturating_sub(now())))?;
    }
    Ok(received)
}
