//! The open file over a socket, of whatever family.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::wait::WaitQueue;
use kernel_vfs::anon::{AnonAttributes, AnonInode, AnonKind, anon_file};
use kernel_vfs::file::{File, FileOps, Io};
use kernel_vfs::inode::{FileKind, Inode};

use crate::inet::interface;
use crate::namespace::NetNamespace;
use crate::socket::{MessageFlags, Outgoing, SendControl, Socket};
use crate::stack::InetStack;

/// What an open socket does as a file.
pub struct SocketFile {
    socket: Arc<dyn Socket>,
    /// Whose interfaces its ioctls are about.
    stack: Arc<dyn InetStack>,
    ino: u64,
}

impl SocketFile {
    /// A file for `socket`, shown as `socket:[ino]`. Of `flags` O_NONBLOCK matters.
    pub fn open(
        who: &dyn Caller,
        net: &NetNamespace,
        socket: Arc<dyn Socket>,
        flags: OpenFlags,
    ) -> SysResult<Arc<File>> {
        let credentials = who.credentials();
        let (uid, gid, now_ns) = (credentials.fsuid, credentials.fsgid, who.now_realtime_ns());
        let attributes = AnonAttributes { mode: 0o777, uid, gid, now_ns };
        let inode = Arc::new(AnonInode::new(AnonKind::Socket, FileKind::Socket, attributes));
        let ino = inode.metadata()?.ino;
        let text = format!("socket:[{ino}]");
        let ops = Arc::new(Self { socket, stack: Arc::clone(net.stack()), ino });
        let status = OpenFlags::RDWR | flags & OpenFlags::NONBLOCK;
        Ok(anon_file(AnonKind::Socket, text.as_bytes(), inode, ops, status))
    }

    /// The socket behind an open file; ENOTSOCK for other files.
    pub fn of(file: &File) -> SysResult<&Self> {
        file.ops.as_any().downcast_ref().ok_or(Errno::ENOTSOCK)
    }

    /// The socket itself.
    #[must_use]
    pub fn socket(&self) -> &Arc<dyn Socket> {
        &self.socket
    }

    /// Its number in `socket:[ino]`.
    #[must_use]
    pub fn ino(&self) -> u64 {
        self.ino
    }
}

fn flags_of(io: &Io<'_>) -> MessageFlags {
    let nonblocking = io.flags.contains(OpenFlags::NONBLOCK);
    if nonblocking { MessageFlags::DONTWAIT } else { MessageFlags::empty() }
}

impl FileOps for SocketFile {
    fn read(&self, io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        self.socket.receive(buf, flags_of(&io)).map(|received| received.len)
    }
    fn write(&self, io: Io<'_>, buf: &[u8]) -> SysResult<(usize, u64)> {
        let mut control = SendControl::default();
        let message = Outgoing { bytes: buf, to: None, flags: flags_of(&io), control: &mut control };
        self.socket.send(io.who, message).map(|sent| (sent, 0))
    }
    fn is_seekable(&self) -> bool {
        false
    }
    fn poll(&self) -> Events {
        self.socket.poll()
    }
    fn poll_for(&self, interest: Events) -> Events {
        self.socket.poll_for(interest)
    }
    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.socket.wait_queue())
    }
    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        match self.socket.ioctl(who, cmd, arg) {
            // As sock_do_ioctl: what the family does not know may be for an interface.
            Err(Errno::ENOTTY) => interface::ioctl(&*self.stack, who, cmd, arg).unwrap_or(Err(Errno::ENOTTY)),
            result => result,
        }
    }
    fn fdinfo(&self) -> String {
        self.socket.fdinfo()
    }
    fn has_signals(&self) -> bool {
        true
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
