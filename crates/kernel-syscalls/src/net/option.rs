//! setsockopt(2) and getsockopt(2).

use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_net::control::SOL_SOCKET;
use kernel_net::options::{self, so};

use super::OpenSocket;
use crate::cx::Cx;

const TCP: i32 = 6;
const UDP: i32 = 17;
const UDP_LITE: i32 = 136;
const IP: i32 = 0;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// Most bytes of an option that are read or written.
const MOST: usize = 64 * 1024;

/// setsockopt(2).
pub(crate) fn sys_setsockopt(cx: &Cx, fd: Fd, level: i32, name: i32, at: u64, len: u32) -> SysResult<()> {
    let open = OpenSocket::get(cx, fd)?;
    let level = own_name_of(&open, level);
    let len = i32::try_from(len).map_err(|_| Errno::EINVAL)? as usize;
    if level == SOL_SOCKET && len < size_of::<i32>() {
        return Err(Errno::EINVAL);
    }
    if level != SOL_SOCKET && !open.socket.has_levels() {
        return Err(Errno::EOPNOTSUPP);
    }
    // SOL_SOCKET has nothing longer than a timeval.
    let most = if level == SOL_SOCKET { 16 } else { MOST };
    let mut value = vec![0; len.min(most)];
    cx.mem().read_bytes(at, &mut value)?;
    if level == SOL_SOCKET {
        options::set(&*open.socket, &*cx.task, name, &value)
    } else {
        let set = open.socket.set_option(&*cx.task, level, name, &value);
        // TCP and UDP look at the size before the name.
        let is_short = len < size_of::<i32>() && is_own_level(&open, level);
        set.map_err(|errno| if is_short && errno == Errno::ENOPROTOOPT { Errno::EINVAL } else { errno })
    }
}

/// UDP takes UDP-Lite's level for its own (udp_setsockopt).
fn own_name_of(open: &OpenSocket, level: i32) -> i32 {
    if level == UDP_LITE && open.socket.identity().protocol == UDP { UDP } else { level }
}

/// Whether a level is that of the socket's own transport.
fn is_own_level(open: &OpenSocket, level: i32) -> bool {
    matches!(level, TCP | UDP) && open.socket.identity().protocol == level
}

/// getsockopt(2).
pub(crate) fn sys_getsockopt(cx: &Cx, fd: Fd, level: i32, name: i32, at: u64, len_at: u64) -> SysResult<()> {
    let open = OpenSocket::get(cx, fd)?;
    let level = own_name_of(&open, level);
    let len_at = UserRef::<i32>::new(len_at);
    let read_len = || usize::try_from(cx.mem().read(len_at)?).map_err(|_| Errno::EINVAL);
    let (value, wanted) = if level == SOL_SOCKET {
        let wanted = read_len()?;
        (options::get(&*open.socket, name, wanted)?, wanted)
    } else {
        let domain = open.socket.identity().domain;
        if is_own_level(&open, level) || level == IP && matches!(domain, AF_INET | AF_INET6) {
            read_len()?;
        }
        let wanted = read_len().unwrap_or(0).min(MOST);
        let value = open.socket.option(&*cx.task, level, name, wanted)?;
        (value, read_len()?)
    };
    if level == SOL_SOCKET && name == so::PEERGROUPS && wanted < value.len() {
        cx.mem().write(len_at, &(value.len() as i32))?;
        return Err(Errno::ERANGE);
    }
    let given = value.get(..wanted).unwrap_or(&value);
    if level == SOL_SOCKET {
        cx.mem().write_bytes(at, given)?;
        return cx.mem().write(len_at, &(given.len() as i32));
    }
    // Protocols tell the length first (do_tcp_getsockopt, do_ip_getsockopt).
    cx.mem().write(len_at, &(given.len() as i32))?;
    cx.mem().write_bytes(at, given)
}
