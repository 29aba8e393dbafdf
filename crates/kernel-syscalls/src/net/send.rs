//! sendto(2), sendmsg(2), sendmmsg(2), and write(2) of a socket.

use std::sync::Arc;

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::reg::Fd;
use kernel_base::user::Pieces;
use kernel_net::socket::{Destination, Outgoing, SendControl};
use kernel_net::{MessageFlags, Socket, SocketKind};

use super::message::{self, Header, MMSG_SIZE};
use super::{OpenSocket, Patience, address, now, of_status, wait};
use crate::cx::{Cx, Outcome, SCRATCH_LEN, with_scratch};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// One message on its way out of the guest.
struct Sending<'a> {
    cx: &'a Cx,
    socket: &'a dyn Socket,
    bytes: &'a Pieces,
    address: Option<Vec<u8>>,
    control: SendControl,
    flags: MessageFlags,
}

impl Sending<'_> {
    fn offer(&mut self, bytes: &[u8]) -> SysResult<usize> {
        let Self { cx, socket, address, control, flags, .. } = self;
        let flags = *flags;
        let who = &*cx.task;
        match address {
            Some(address) => cx.with_walk(|walk| {
                socket.send(who, Outgoing { bytes, to: Some(Destination { address, walk }), flags, control })
            }),
            None => socket.send(who, Outgoing { bytes, to: None, flags, control }),
        }
    }

    /// Copies `len` bytes from the guest, from `done` on, and offers them.
    fn attempt(&mut self, done: usize, len: usize) -> SysResult<usize> {
        let mut fill_and_offer = |buffer: &mut [u8]| {
            let got = if buffer.is_empty() { 0 } else { self.cx.mem().gather(self.bytes, done, buffer)? };
            if got < buffer.len() {
                return Err(Errno::EFAULT);
            }
            self.offer(buffer)
        };
        if len <= SCRATCH_LEN { with_scratch(len, fill_and_offer) } else { fill_and_offer(&mut vec![0; len]) }
    }

    async fn message(mut self, patience: Patience, max: usize) -> SysResult<usize> {
        let total = self.bytes.total();
        if total > max {
            // Linux asks whom it is for before how long it is.
            let has_target = self.address.is_some() || self.socket.peer_name().is_ok();
            return Err(if has_target { Errno::EMSGSIZE } else { Errno::ENOTCONN });
        }
        let (cx, socket) = (self.cx, self.socket);
        wait(cx, socket, Events::OUT, patience, || self.attempt(0, total)).await
    }

    async fn stream(mut self, patience: Patience) -> SysResult<usize> {
        let total = self.bytes.total();
        let (cx, socket) = (self.cx, self.socket);
        let mut done = 0;
        loop {
            let len = (total - done).min(SCRATCH_LEN);
            let taken = match wait(cx, socket, Events::OUT, patience, || self.attempt(done, len)).await {
                Ok(taken) => taken,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            };
            done += taken;
            // A buffer that took less than it was offered is full.
            if done >= total || patience == Patience::None && taken < len {
                break;
            }
            // What comes now is the rest of a message that has begun: no second SIGPIPE's business.
            self.flags |= MessageFlags::NOSIGNAL;
            cx.set_progress(done);
        }
        cx.set_progress(0);
        Ok(done)
    }

    async fn send(self) -> SysResult<usize> {
        let patience = Patience::of(self.cx, self.flags, self.socket.options().send_timeout_ns());
        match self.socket.max_message() {
            Some(max) => self.message(patience, max).await,
            None => self.stream(patience).await,
        }
    }
}

/// write(2) of a socket.
pub(crate) async fn write(
    cx: &Cx,
    socket: &Arc<dyn Socket>,
    bytes: &Pieces,
    status: OpenFlags,
) -> SysResult<usize> {
    let (control, flags) = (SendControl::default(), of_status(status));
    Sending { cx, socket: &**socket, bytes, address: None, control, flags }.send().await
}

/// [`sys_sendto`] where there is room.
pub(crate) fn try_sendto(
    cx: &Cx,
    fd: Fd,
    buf: u64,
    len: usize,
    flags: u32,
    addr: u64,
    _addr_len: u32,
) -> Option<SysResult<Outcome>> {
    if addr != 0 {
        return None;
    }
    let (bytes, open) = (cx.buffer(buf, len).ok()?, OpenSocket::get(cx, fd).ok()?);
    Some(now::send(cx, &*open.socket, &bytes, open.flags(flags))?.map(Outcome::from))
}

/// sendto(2).
pub(crate) async fn sys_sendto(
    cx: &Cx,
    fd: Fd,
    buf: u64,
    len: usize,
    flags: u32,
    addr: u64,
    addr_len: u32,
) -> SysResult<usize> {
    let bytes = cx.buffer(buf, len)?;
    let open = OpenSocket::get(cx, fd)?;
    let address = if addr == 0 { Vec::new() } else { address::read(cx, addr, addr_len)? };
    let address = Some(address).filter(|address| !address.is_empty());
    let (control, flags) = (SendControl::default(), open.flags(flags));
    Sending { cx, socket: &*open.socket, bytes: &bytes, address, control, flags }.send().await
}

/// What a message with wrong control data answers: TCP looks whether it is connected before it looks at them, UDP whether
/// it is urgent.
fn first_answer(cx: &Cx, open: &OpenSocket, flags: MessageFlags, errno: Errno) -> Errno {
    let identity = open.socket.identity();
    let is_udp = identity.kind == SocketKind::Datagram && identity.domain == AF_INET;
    if errno == Errno::EINVAL && is_udp && flags.contains(MessageFlags::OOB) {
        return Errno::EOPNOTSUPP;
    }
    let is_tcp = identity.kind == SocketKind::Stream && matches!(identity.domain, AF_INET | AF_INET6);
    if errno != Errno::EINVAL || !is_tcp || open.socket.peer_name().is_ok() {
        return errno;
    }
    if !flags.contains(MessageFlags::NOSIGNAL) {
        cx.task.raise(Signal::SIGPIPE);
    }
    Errno::EPIPE
}

async fn send_one(cx: &Cx, open: &OpenSocket, at: u64, flags: u32) -> SysResult<usize> {
    let header = Header::read(cx, at)?;
    let address = match header.name_len {
        0 => None,
        len => Some(address::read(cx, header.name, len)?),
    };
    let bytes = header.pieces(cx)?;
    let flags = open.flags(flags);
    let control = message::read_control(cx, &*open.socket, &header);
    let control = control.map_err(|errno| first_answer(cx, open, flags, errno))?;
    let sent = Sending { cx, socket: &*open.socket, bytes: &bytes, address, control, flags }.send().await;
    sent.map_err(|errno| first_answer(cx, open, flags, errno))
}

/// sendmsg(2).
pub(crate) async fn sys_sendmsg(
    cx: &Cx,
    fd: Fd,
    msg: kernel_base::user::UserRef<message::Raw>,
    flags: u32,
) -> SysResult<usize> {
    let open = OpenSocket::get(cx, fd)?;
    send_one(cx, &open, msg.addr(), flags).await
}

/// sendmmsg(2).
pub(crate) async fn sys_sendmmsg(cx: &Cx, fd: Fd, vector: u64, count: u32, flags: u32) -> SysResult<u32> {
    let open = OpenSocket::get(cx, fd)?;
    let count = count.min(message::MOST_MESSAGES);
    let mut sent = 0;
    while sent < count {
        let at = vector.checked_add(u64::from(sent) * MMSG_SIZE).ok_or(Errno::EFAULT)?;
        cx.set_progress(sent as usize);
        let result = match send_one(cx, &open, at, flags).await {
            Ok(len) => message::write_len(cx, at, len),
            Err(errno) => Err(errno),
        };
        match result {
            Ok(()) => sent += 1,
            Err(errno) if sent == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    cx.set_progress(0);
    Ok(sent)
}
