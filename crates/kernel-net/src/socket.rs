//! What every family of sockets implements.
//!
//! Arguments have been copied from the guest and checked for size; what is in them is the family's to judge.
//! The system call layer waits and repeats where an operation answers EAGAIN.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::wait::WaitQueue;
use kernel_vfs::file::File;
use kernel_vfs::walk::WalkContext;

use crate::control::Credential;
use crate::options::Options;

bitflags::bitflags! {
    /// Flags of send(2) and recv(2) (include/linux/socket.h).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct MessageFlags: u32 {
        const OOB = 0x1;
        const PEEK = 0x2;
        const DONTROUTE = 0x4;
        const CTRUNC = 0x8;
        const TRUNC = 0x20;
        /// Set for files opened non-blocking, too.
        const DONTWAIT = 0x40;
        const EOR = 0x80;
        const WAITALL = 0x100;
        const ERRQUEUE = 0x2000;
        const NOSIGNAL = 0x4000;
        const MORE = 0x8000;
        const WAITFORONE = 0x1_0000;
        const ZEROCOPY = 0x400_0000;
        const FASTOPEN = 0x2000_0000;
        const CMSG_CLOEXEC = 0x4000_0000;
    }
}

/// The type argument of socket(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    Stream,
    Datagram,
    Raw,
    Rdm,
    SeqPacket,
    Dccp,
    Packet,
}

impl SocketKind {
    /// From its number; `None` for none of Linux's.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            1 => Self::Stream,
            2 => Self::Datagram,
            3 => Self::Raw,
            4 => Self::Rdm,
            5 => Self::SeqPacket,
            6 => Self::Dccp,
            10 => Self::Packet,
            _ => return None,
        })
    }

    /// SOCK_STREAM and its like.
    #[must_use]
    pub const fn to_raw(self) -> u32 {
        match self {
            Self::Stream => 1,
            Self::Datagram => 2,
            Self::Raw => 3,
            Self::Rdm => 4,
            Self::SeqPacket => 5,
            Self::Dccp => 6,
            Self::Packet => 10,
        }
    }
}

/// SO_DOMAIN, SO_TYPE and SO_PROTOCOL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub domain: u16,
    pub kind: SocketKind,
    pub protocol: i32,
}

/// Which directions shutdown(2) ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    Read,
    Write,
    Both,
}

/// An address to send to, and how a path in it is walked.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    /// `struct sockaddr`, at most 128 bytes.
    pub address: &'a [u8],
    pub walk: &'a WalkContext<'a>,
}

/// A control message of a family's own level (IP_PKTINFO …).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawControl {
    pub level: i32,
    pub kind: i32,
    pub data: Vec<u8>,
}

/// Control data to be sent.
#[derive(Default)]
pub struct SendControl {
    /// SCM_RIGHTS.
    pub files: Vec<Arc<File>>,
    /// SCM_CREDENTIALS, already checked.
    pub credential: Option<Credential>,
    /// Everything that is not SOL_SOCKET's.
    pub others: Vec<RawControl>,
    /// The sender's RLIMIT_NOFILE, which bounds its files in flight.
    pub file_limit: u64,
}

/// One message, or a piece of a stream.
pub struct Outgoing<'a> {
    /// All of it for sockets with messages; as much as there is for streams, which may take less.
    pub bytes: &'a [u8],
    pub to: Option<Destination<'a>>,
    pub flags: MessageFlags,
    /// Taken by the socket when it took at least a byte of the message.
    pub control: &'a mut SendControl,
}

/// What was received beside the bytes.
#[derive(Default)]
pub struct Received {
    /// How many bytes of the buffer were filled.
    pub len: usize,
    /// How long the message was, which MSG_TRUNC asks for; `len` for streams.
    pub full_len: usize,
    /// The sender's `struct sockaddr`; empty when it has none.
    pub address: Vec<u8>,
    /// MSG_TRUNC, MSG_EOR, MSG_OOB, MSG_ERRQUEUE.
    pub flags: MessageFlags,
    /// SCM_RIGHTS.
    pub files: Vec<Arc<File>>,
    /// SCM_CREDENTIALS, for who set SO_PASSCRED.
    pub credential: Option<Credential>,
    pub others: Vec<RawControl>,
    /// A stream must not be read on for MSG_WAITALL: control data, another sender, or the end.
    pub is_last: bool,
}

/// A socket. Dropping it closes it. Defaults are what Linux answers for a family without the operation
/// (net/core/sock.c sock_no_bind and its like).
pub trait Socket: Send + Sync + Any {
    /// What socket(2) was asked for.
    fn identity(&self) -> Identity;
    /// The options of SOL_SOCKET.
    fn options(&self) -> &Options;
    /// Ready for what.
    fn poll(&self) -> Events;
    /// As `poll`, of what a caller cares for who has looked at what has come for sockets of the host.
    fn poll_for(&self, interest: Events) -> Events {
        let _ = interest;
        self.poll()
    }
    /// Woken when `poll` changes.
    fn wait_queue(&self) -> &WaitQueue;
    /// Whether trying again could give something other than EAGAIN, of a caller that waits for `interest` after it has
    /// been given EAGAIN: no while nobody has woken it since.
    fn may_be_ready(&self, interest: Events) -> bool {
        let _ = interest;
        true
    }
    /// For the family's own use.
    fn as_any(&self) -> &dyn Any;

    /// bind(2).
    fn bind(&self, to: Destination<'_>) -> SysResult<()> {
        let _ = to;
        Err(Errno::EOPNOTSUPP)
    }
    /// listen(2); `backlog` is at most SOMAXCONN.
    fn listen(&self, who: &dyn Caller, backlog: u32) -> SysResult<()> {
        let _ = (who, backlog);
        Err(Errno::EOPNOTSUPP)
    }
    /// accept(2): the connection's own socket, or EAGAIN.
    fn accept(&self) -> SysResult<Arc<dyn Socket>> {
        Err(Errno::EOPNOTSUPP)
    }
    /// connect(2). EAGAIN: not even begun; repeat when EPOLLOUT is woken. EINPROGRESS: begun;
    /// [`Socket::finish_connect`] tells the result when EPOLLOUT or EPOLLERR comes.
    fn connect(&self, to: Destination<'_>) -> SysResult<()> {
        let _ = to;
        Err(Errno::EOPNOTSUPP)
    }
    /// The result of a connect that was in progress; EAGAIN while it still is.
    fn finish_connect(&self) -> SysResult<()> {
        Ok(())
    }
    /// shutdown(2).
    fn shutdown(&self, how: Shutdown) -> SysResult<()> {
        let _ = how;
        Err(Errno::EOPNOTSUPP)
    }
    /// Sends a message, or some of a stream: how many bytes. Raises SIGPIPE where the family does.
    fn send(&self, who: &dyn Caller, message: Outgoing<'_>) -> SysResult<usize> {
        let _ = (who, message);
        Err(Errno::EOPNOTSUPP)
    }
    /// Receives a message, or some of a stream.
    fn receive(&self, buffer: &mut [u8], flags: MessageFlags) -> SysResult<Received> {
        let _ = (buffer, flags);
        Err(Errno::EOPNOTSUPP)
    }
    /// Longest message of a socket with messages (EMSGSIZE beyond); `None` for streams.
    fn max_message(&self) -> Option<usize> {
        None
    }
    /// getsockname(2): a `struct sockaddr`.
    fn name(&self) -> SysResult<Vec<u8>> {
        Err(Errno::EOPNOTSUPP)
    }
    /// getpeername(2).
    fn peer_name(&self) -> SysResult<Vec<u8>> {
        Err(Errno::EOPNOTSUPP)
    }
    /// The peer of a connection that accept(2) has just taken, which may be over.
    fn accepted_name(&self) -> SysResult<Vec<u8>> {
        self.peer_name()
    }
    /// SO_ERROR: the pending error, which is cleared.
    fn take_error(&self) -> Option<Errno> {
        None
    }
    /// SO_ACCEPTCONN.
    fn is_listening(&self) -> bool {
        false
    }
    /// SO_PEERCRED and SO_PEERGROUPS.
    fn peer_credential(&self) -> Option<PeerCredential> {
        None
    }
    /// setsockopt(2) of SOL_SOCKET; `None`: as every socket, by [`Socket::options`].
    fn set_general_option(&self, who: &dyn Caller, name: i32, value: &[u8]) -> Option<SysResult<()>> {
        let _ = (who, name, value);
        None
    }
    /// getsockopt(2) of SOL_SOCKET; `None`: as every socket.
    fn general_option(&self, name: i32, wanted: usize) -> Option<SysResult<Vec<u8>>> {
        let _ = (name, wanted);
        None
    }
    /// setsockopt(2) of another level than SOL_SOCKET.
    fn set_option(&self, who: &dyn Caller, level: i32, name: i32, value: &[u8]) -> SysResult<()> {
        let _ = (who, level, name, value);
        Err(Errno::EOPNOTSUPP)
    }
    /// Whether it knows options of other levels than SOL_SOCKET at all.
    fn has_levels(&self) -> bool {
        true
    }
    /// getsockopt(2) of another level than SOL_SOCKET. `wanted` is the guest's buffer.
    fn option(&self, who: &dyn Caller, level: i32, name: i32, wanted: usize) -> SysResult<Vec<u8>> {
        let _ = (who, level, name, wanted);
        Err(Errno::EOPNOTSUPP)
    }
    /// ioctl(2).
    fn ioctl(&self, who: &dyn Caller, request: u32, arg: u64) -> SysResult<i64> {
        let _ = (who, request, arg);
        Err(Errno::ENOTTY)
    }
    /// Lines for /proc/pid/fdinfo.
    fn fdinfo(&self) -> String {
        String::new()
    }
}

/// Who was at the other end when it connected or listened.
#[derive(Clone, Debug)]
pub struct PeerCredential {
    pub credential: Credential,
    pub groups: Arc<[u32]>,
}
