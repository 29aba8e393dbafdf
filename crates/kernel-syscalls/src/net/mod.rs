//! Sockets: socket(2) and its relatives (net/socket.c, Linux v6.18). What a socket does is its family's, in
//! kernel-net; here are arguments, waiting, and guest memory.

pub(crate) mod address;
pub(crate) mod create;
pub(crate) mod message;
pub(crate) mod name;
pub(crate) mod now;
pub(crate) mod option;
pub(crate) mod receive;
pub(crate) mod send;

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_net::{MessageFlags, Socket, SocketFile};
use kernel_vfs::file::File;

use crate::cx::Cx;

/// An open socket: EBADF, ENOTSOCK.
pub(super) struct OpenSocket {
    pub(super) file: Arc<File>,
    pub(super) socket: Arc<dyn Socket>,
}

impl OpenSocket {
    pub(super) fn get(cx: &Cx, fd: Fd) -> SysResult<Self> {
        let file = cx.file(fd)?;
        let socket = Arc::clone(SocketFile::of(&file)?.socket());
        Ok(Self { file, socket })
    }

    /// The flags of a message call: a non-blocking file does not wait.
    pub(super) fn flags(&self, flags: u32) -> MessageFlags {
        MessageFlags::from_bits_retain(flags) | of_status(self.file.flags())
    }
}

/// What a file's status flags mean for a message.
pub(super) fn of_status(status: OpenFlags) -> MessageFlags {
    if status.contains(OpenFlags::NONBLOCK) { MessageFlags::DONTWAIT } else { MessageFlags::empty() }
}

/// How long a call on a socket waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    None,
    /// Until this monotonic time.
    Until(u64),
    Endless,
}

impl Patience {
    /// From MSG_DONTWAIT, and SO_SNDTIMEO or SO_RCVTIMEO.
    pub(super) fn of(cx: &Cx, flags: MessageFlags, timeout_ns: Option<u64>) -> Self {
        match timeout_ns {
            // Nobody waits for an error to come.
            _ if flags.intersects(MessageFlags::DONTWAIT | MessageFlags::ERRQUEUE) => Self::None,
            Some(0) => Self::None,
            Some(ns) => Self::Until(cx.kernel().timers.now_ns().saturating_add(ns)),
            None => Self::Endless,
        }
    }
}

/// Tries until the answer is not EAGAIN, or patience ends.
pub(super) async fn wait<T>(
    cx: &Cx,
    socket: &dyn Socket,
    interest: Events,
    patience: Patience,
    mut attempt: impl FnMut() -> SysResult<T>,
) -> SysResult<T> {
    let first = attempt();
    if patience == Patience::None || !matches!(first, Err(Errno::EAGAIN)) {
        return first;
    }
    let not_yet = |result: &SysResult<T>| matches!(result, Err(Errno::EAGAIN));
    let ready = || {
        let may_be = socket.may_be_ready(interest);
        may_be.then(&mut attempt).filter(|result| !not_yet(result))
    };
    let mut waiting = pin!(socket.wait_queue().wait_until(interest, ready));
    let mut timeout = pin!(async {
        match patience {
            Patience::Until(at) => cx.kernel().timers.sleep_until(at).await,
            Patience::None | Patience::Endless => pending().await,
        }
    });
    poll_fn(|context| match waiting.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => timeout.as_mut().poll(context).map(|()| Err(Errno::EAGAIN)),
    })
    .await
}
