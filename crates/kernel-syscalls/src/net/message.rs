//! `struct msghdr`, and control messages to and from the guest (net/core/scm.c, Linux v6.18).

use std::sync::Arc;

use abi_linux::fs::IoVec;
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::reg::Fd;
use kernel_base::user::{Pieces, UIO_MAXIOV, UserRef};
use kernel_base::user_ns::UserNamespace;
use kernel_net::control::{Builder, Control, Credential, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET, parse};
use kernel_net::netlink::AF_NETLINK;
use kernel_net::socket::{RawControl, Received, SendControl};
use kernel_net::unix::AF_UNIX;
use kernel_net::{MessageFlags, Socket, SocketFile};
use kernel_vfs::file::File;

use super::address;
use crate::cx::Cx;

/// `struct user_msghdr` in words.
pub(crate) type Raw = [u64; 7];
/// `struct mmsghdr`, and where its length is.
pub(super) const MMSG_SIZE: u64 = 64;
const MMSG_LEN: u64 = 56;
/// Most messages of one sendmmsg(2) (UIO_MAXIOV).
pub(super) const MOST_MESSAGES: u32 = 1024;
/// net.core.optmem_max.
const MOST_CONTROL: usize = 131_072;
/// Most bytes of control data that a receiver is given: all that a message can hold is far less.
const MOST_CONTROL_OUT: usize = 64 * 1024;

/// A message header, read once.
pub(super) struct Header {
    at: u64,
    pub(super) name: u64,
    pub(super) name_len: u32,
    vector: u64,
    count: u64,
    control: u64,
    control_len: u64,
}

impl Header {
    /// Reads it (__copy_msghdr): EINVAL for a negative length of the name; too long a one is cut.
    pub(super) fn read(cx: &Cx, at: u64) -> SysResult<Self> {
        let [name, name_len, vector, count, control, control_len, _flags] =
            cx.mem().read(UserRef::<Raw>::new(at))?;
        let name_len = if name == 0 { 0 } else { name_len as i32 };
        let name_len = u32::try_from(name_len).map_err(|_| Errno::EINVAL)?.min(address::MOST as u32);
        Ok(Self { at, name, name_len, vector, count, control, control_len })
    }

    /// Its buffers: EMSGSIZE for too many.
    pub(super) fn pieces(&self, cx: &Cx) -> SysResult<Pieces> {
        let count = usize::try_from(self.count).ok().filter(|&count| count <= UIO_MAXIOV);
        cx.mem().read_iovec(UserRef::<IoVec>::new(self.vector), count.ok_or(Errno::EMSGSIZE)?)
    }
}

/// A claim in the container's ids; EINVAL for one that the caller's user namespace does not have.
fn from_caller(cx: &Cx, claimed: Credential) -> SysResult<Credential> {
    let creds = cx.credentials();
    let uid = creds.user_ns.uid(claimed.uid).ok_or(Errno::EINVAL)?;
    let gid = creds.user_ns.gid(claimed.gid).ok_or(Errno::EINVAL)?;
    Ok(Credential { uid, gid, ..claimed })
}

/// Whether a process may call itself `claimed` (scm_check_creds).
fn check_credential(cx: &Cx, claimed: Credential) -> SysResult<()> {
    let own = cx.credentials();
    let uid = [own.ruid, own.euid, own.suid].contains(&claimed.uid) || own.has_own(Cap::SETUID);
    let gid = [own.rgid, own.egid, own.sgid].contains(&claimed.gid) || own.has_own(Cap::SETGID);
    let pid = claimed.pid == cx.process.pid || own.has(Cap::SYS_ADMIN);
    if !(uid && gid && pid) {
        return Err(Errno::EPERM);
    }
    let exists = claimed.pid == cx.process.pid || cx.kernel().process(claimed.pid).is_some();
    if exists { Ok(()) } else { Err(Errno::ESRCH) }
}

/// A socket of the host may come to another container of the pod, whose waiting calls this platform does not see.
fn tell_of(cx: &Cx, file: &File) {
    if SocketFile::of(file).is_ok_and(|it| !matches!(it.socket().identity().domain, AF_UNIX | AF_NETLINK)) {
        cx.kernel().platform.always_tell();
    }
}

/// Reads the control data of a message to be sent (____sys_sendmsg, __scm_send).
pub(super) fn read_control(cx: &Cx, socket: &dyn Socket, header: &Header) -> SysResult<SendControl> {
    let mut control = SendControl { file_limit: cx.process.limits.files(), ..SendControl::default() };
    let len = usize::try_from(header.control_len).ok().filter(|&len| len <= i32::MAX as usize);
    let len = len.filter(|&len| len <= MOST_CONTROL).ok_or(Errno::ENOBUFS)?;
    if len == 0 {
        return Ok(control);
    }
    let mut bytes = vec![0; len];
    cx.mem().read_bytes(header.control, &mut bytes)?;
    let domain = socket.identity().domain;
    for message in parse(&bytes)? {
        match message {
            // scm_send of netlink; the internet's sockets pass over what is AF_UNIX's (__sock_cmsg_send).
            Control::Rights(_) if domain == AF_NETLINK => return Err(Errno::EINVAL),
            Control::Rights(_) | Control::Credentials(_) | Control::Wrong
                if !matches!(domain, AF_UNIX | AF_NETLINK) => {}
            Control::Wrong => return Err(Errno::EINVAL),
            Control::Rights(numbers) => {
                for number in numbers {
                    let file = cx.process.files.get(Fd(number))?;
                    tell_of(cx, &file);
                    control.files.push(file);
                }
            }
            Control::Credentials(claimed) => {
                let claimed = from_caller(cx, claimed)?;
                check_credential(cx, claimed)?;
                control.credential = Some(claimed);
            }
            Control::Other { level, kind, data } => control.others.push(RawControl { level, kind, data }),
        }
    }
    Ok(control)
}

/// Puts received files into the table as far as there is room (scm_detach_fds): their numbers, and whether
/// some were lost.
fn install(cx: &Cx, files: Vec<Arc<File>>, room: usize, flags: MessageFlags) -> (Vec<i32>, bool) {
    let cloexec = flags.contains(MessageFlags::CMSG_CLOEXEC);
    let all = files.len();
    let installed = files.into_iter().take(room).map_while(|file| cx.install(file, cloexec).ok());
    let numbers: Vec<i32> = installed.map(|fd| fd.0).collect();
    let lost = numbers.len() < all;
    (numbers, lost)
}

/// Writes what came with a message: the name, control data, flags and lengths.
pub(super) fn write_back(cx: &Cx, header: &Header, received: Received, flags: MessageFlags) -> SysResult<()> {
    let Received { address, flags: mut out, files, credential, others, .. } = received;
    let room =
        if header.control == 0 { 0 } else { usize::try_from(header.control_len).unwrap_or(usize::MAX) };
    let mut builder = Builder::new(room.min(MOST_CONTROL_OUT));
    if let Some(mut credential) = credential {
        if UserNamespace::is_any_nested() {
            let own = cx.credentials();
            credential.uid = own.user_ns.show_uid(credential.uid);
            credential.gid = own.user_ns.show_gid(credential.gid);
        }
        builder.put(SOL_SOCKET, SCM_CREDENTIALS, &credential.to_bytes());
    }
    for RawControl { level, kind, data } in others {
        builder.put(level, kind, &data);
    }
    let mut numbers = Vec::new();
    if !files.is_empty() {
        let (installed, lost) = install(cx, files, builder.room_for_files(), flags);
        numbers = installed;
        if lost {
            builder.truncate();
        }
        if !numbers.is_empty() {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_ne_bytes()).collect();
            builder.put(SOL_SOCKET, SCM_RIGHTS, &bytes);
        }
    }
    let (control, is_cut) = builder.finish();
    out.set(MessageFlags::CTRUNC, is_cut);
    let written = copy_out(cx, header, &address, &control, out | flags & MessageFlags::CMSG_CLOEXEC);
    written.inspect_err(|_| {
        for number in numbers {
            drop(cx.process.files.remove(Fd(number)));
        }
    })
}

fn copy_out(cx: &Cx, header: &Header, name: &[u8], control: &[u8], flags: MessageFlags) -> SysResult<()> {
    let mem = cx.mem();
    if header.name != 0 {
        let room = header.name_len as usize;
        // No room at all is no name asked for.
        let name = if room == 0 { &[] } else { name };
        mem.write_bytes(header.name, name.get(..room).unwrap_or(name))?;
        mem.write(UserRef::new(header.at + 8), &(name.len() as i32))?;
    }
    mem.write_bytes(header.control, control)?;
    mem.write(UserRef::new(header.at + 48), &flags.bits())?;
    mem.write(UserRef::new(header.at + 40), &(control.len() as u64))
}

/// Writes the length of one message of a vector.
pub(super) fn write_len(cx: &Cx, at: u64, len: usize) -> SysResult<()> {
    let at = at.checked_add(MMSG_LEN).ok_or(Errno::EFAULT)?;
    cx.mem().write(UserRef::new(at), &u32::try_from(len).unwrap_or(u32::MAX))
}
