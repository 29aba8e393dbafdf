//! ioctl(2) on interfaces (netdevice(7); net/core/dev_ioctl.c, net/ipv4/devinet.c), which every family of sockets answers,
//! and what lo says to them.

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_base::user::UserRef;

use super::address::{AF_INET, LOOPBACK_INDEX};
use crate::stack::InetStack;

/// `struct ifreq`, and the length of the name that it begins with.
pub const SIZE: usize = 40;
const NAME: usize = 16;
/// `struct ifreq`.
pub type Ifreq = [u8; SIZE];
const LOOPBACK: &[u8] = b"lo";
/// IFF_UP | IFF_LOOPBACK | IFF_RUNNING.
const FLAGS: u16 = 0x49;
const MTU: i32 = 65_536;
/// ARPHRD_LOOPBACK.
const HARDWARE: u16 = 772;

/// include/uapi/linux/sockios.h.
const SIOCGIFNAME: u32 = 0x8910;
const SIOCGIFCONF: u32 = 0x8912;
const SIOCGIFFLAGS: u32 = 0x8913;
const SIOCGIFADDR: u32 = 0x8915;
const SIOCGIFDSTADDR: u32 = 0x8917;
const SIOCGIFBRDADDR: u32 = 0x8919;
const SIOCGIFNETMASK: u32 = 0x891b;
const SIOCGIFMETRIC: u32 = 0x891d;
const SIOCGIFMTU: u32 = 0x8921;
const SIOCGIFHWADDR: u32 = 0x8927;
const SIOCGIFINDEX: u32 = 0x8933;
const SIOCGIFTXQLEN: u32 = 0x8942;
const SIOCGIFMAP: u32 = 0x8970;
/// What can be asked of an interface.
pub const QUESTIONS: [u32; 12] = [
    SIOCGIFNAME,
    SIOCGIFFLAGS,
    SIOCGIFADDR,
    SIOCGIFDSTADDR,
    SIOCGIFBRDADDR,
    SIOCGIFNETMASK,
    SIOCGIFMETRIC,
    SIOCGIFMTU,
    SIOCGIFHWADDR,
    SIOCGIFINDEX,
    SIOCGIFTXQLEN,
    SIOCGIFMAP,
];
/// Everything else of this kind is a change, or a question to a driver.
const ALL: std::ops::RangeInclusive<u32> = 0x8901..=0x89ff;
const SIOCETHTOOL: u32 = 0x8946;

fn socket_address(ip: [u8; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&AF_INET.to_ne_bytes());
    bytes[4..8].copy_from_slice(&ip);
    bytes
}

/// The union of `struct ifreq` as the answer to `request`.
fn answer(request: u32) -> SysResult<[u8; SIZE - NAME]> {
    let mut value = [0; SIZE - NAME];
    let mut put = |bytes: &[u8]| {
        if let Some(to) = value.get_mut(..bytes.len()) {
            to.copy_from_slice(bytes);
        }
    };
    match request {
        SIOCGIFFLAGS => put(&FLAGS.to_ne_bytes()),
        SIOCGIFADDR | SIOCGIFDSTADDR => put(&socket_address([127, 0, 0, 1])),
        SIOCGIFBRDADDR => put(&socket_address([0; 4])),
        SIOCGIFNETMASK => put(&socket_address([255, 0, 0, 0])),
        SIOCGIFMETRIC | SIOCGIFMAP => {}
        SIOCGIFMTU => put(&MTU.to_ne_bytes()),
        SIOCGIFHWADDR => put(&HARDWARE.to_ne_bytes()),
        SIOCGIFINDEX => put(&LOOPBACK_INDEX.to_ne_bytes()),
        SIOCGIFTXQLEN => put(&1000i32.to_ne_bytes()),
        _ => return Err(Errno::EOPNOTSUPP),
    }
    Ok(value)
}

/// `struct ifconf`: the interfaces with an address, as many as fit.
fn list(stack: &dyn InetStack, who: &dyn Caller, arg: u64) -> SysResult<()> {
    let mem = who.mem();
    let [len, buffer]: [u64; 2] = mem.read(UserRef::new(arg))?;
    let entries = stack.interfaces()?.concat();
    let mut written = entries.len();
    // Without a buffer the length is not looked at: the JVM passes any.
    if buffer != 0 {
        let len = usize::try_from(len as u32 as i32).map_err(|_| Errno::EINVAL)?;
        written = written.min(len / SIZE * SIZE);
        mem.write_bytes(buffer, entries.get(..written).unwrap_or_default())?;
    }
    mem.write(UserRef::new(arg), &i32::try_from(written).unwrap_or(i32::MAX))
}

/// Performs an ioctl on interfaces; `None` when it is none.
pub fn ioctl(stack: &dyn InetStack, who: &dyn Caller, request: u32, arg: u64) -> Option<SysResult<i64>> {
    ALL.contains(&request).then(|| perform(stack, who, request, arg).map(|()| 0))
}

fn perform(stack: &dyn InetStack, who: &dyn Caller, request: u32, arg: u64) -> SysResult<()> {
    if request == SIOCGIFCONF {
        return list(stack, who, arg);
    }
    let is_question = QUESTIONS.contains(&request);
    let is_change = matches!(request, 0x8911 | 0x8914..=0x8947 | 0x890b..=0x890d | 0x8953..=0x8955);
    if !is_question && !is_change {
        return Err(Errno::ENOTTY);
    }
    let mut ifreq: Ifreq = [0; SIZE];
    who.mem().read_bytes(arg, &mut ifreq)?;
    if request == SIOCETHTOOL {
        // The name is looked at first.
        stack.interface(SIOCGIFINDEX, &mut ifreq)?;
        return Err(Errno::EOPNOTSUPP);
    }
    if !is_question {
        // The network is the runtime's, whatever the guest may do in it.
        let may = who.credentials().has(Cap::NET_ADMIN);
        return Err(if may { Errno::EOPNOTSUPP } else { Errno::EPERM });
    }
    stack.interface(request, &mut ifreq)?;
    who.mem().write_bytes(arg, &ifreq)
}

/// The name in an ifreq.
#[must_use]
pub fn name_of(ifreq: &Ifreq) -> &[u8] {
    let name = ifreq.get(..NAME - 1).unwrap_or_default();
    name.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// What lo answers.
pub(super) fn loopback(request: u32, ifreq: &mut Ifreq) -> SysResult<()> {
    if request == SIOCGIFNAME {
        let index: [u8; 4] = ifreq.get(NAME..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        if u32::from_ne_bytes(index) != LOOPBACK_INDEX {
            return Err(Errno::ENODEV);
        }
        ifreq[..NAME].fill(0);
        ifreq[..LOOPBACK.len()].copy_from_slice(LOOPBACK);
        return Ok(());
    }
    // An alias (lo:0) is none of these; what follows the colon is only for addresses.
    if name_of(ifreq) != LOOPBACK {
        return Err(Errno::ENODEV);
    }
    ifreq[NAME..].copy_from_slice(&answer(request)?);
    Ok(())
}

/// lo in a list.
pub(super) fn loopback_entry() -> Ifreq {
    let mut entry = [0; SIZE];
    entry[..LOOPBACK.len()].copy_from_slice(LOOPBACK);
    entry[NAME..NAME + 16].copy_from_slice(&socket_address([127, 0, 0, 1]));
    entry
}
