//! capget(2) and capset(2): 64-bit sets in one or two 32-bit halves, by the header's version.

use abi_linux::process::{CapData, CapHeader};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::CapSet;
use kernel_base::user::UserRef;
use kernel_task::credentials::{self, ThreeSets};

use crate::cx::Cx;

const VERSION_1: u32 = 0x1998_0330;
const VERSION_2: u32 = 0x2007_1026;
const VERSION_3: u32 = 0x2008_0522;

/// The header, and how many halves its version has. `None`: the version is unknown and the caller has been
/// told which one to use (kernel/capability.c cap_validate_magic).
fn header(cx: &Cx, at: UserRef<CapHeader>) -> SysResult<Option<(CapHeader, usize)>> {
    let mut header = cx.mem().read(at)?;
    match header.version {
        VERSION_1 => Ok(Some((header, 1))),
        VERSION_2 | VERSION_3 => Ok(Some((header, 2))),
        _ => {
            header.version = VERSION_3;
            cx.mem().write(UserRef::new(at.addr()), &header.version)?;
            Ok(None)
        }
    }
}

/// capget(2).
pub(crate) fn sys_capget(cx: &Cx, hdrp: UserRef<CapHeader>, datap: UserRef<CapData>) -> SysResult<()> {
    let Some((header, halves)) = header(cx, hdrp)? else {
        // Without data the call only asks for the version.
        return if datap.is_null() { Ok(()) } else { Err(Errno::EINVAL) };
    };
    if datap.is_null() {
        return Ok(());
    }
    if header.pid < 0 {
        return Err(Errno::EINVAL);
    }
    let creds = match header.pid {
        0 => cx.credentials(),
        pid => cx.kernel().task_by_guest_tid(pid).ok_or(Errno::ESRCH)?.credentials(),
    };
    let half = |shift: u32| CapData {
        effective: (creds.effective.0 >> shift) as u32,
        permitted: (creds.permitted.0 >> shift) as u32,
        inheritable: (creds.inheritable.0 >> shift) as u32,
    };
    let data = [half(0), half(32)];
    cx.mem().write_array(datap, data.get(..halves).unwrap_or_default())
}

/// capset(2): only of the caller itself.
pub(crate) fn sys_capset(cx: &Cx, hdrp: UserRef<CapHeader>, datap: UserRef<CapData>) -> SysResult<()> {
    let (header, halves) = header(cx, hdrp)?.ok_or(Errno::EINVAL)?;
    if header.pid != 0 && header.pid != cx.guest_tid {
        return Err(Errno::EPERM);
    }
    let data = cx.mem().read_array(datap, halves)?;
    let join = |field: fn(&CapData) -> u32| {
        let word = |at: usize| data.get(at).map_or(0, |half| u64::from(field(half)));
        CapSet(word(0) | word(1) << 32)
    };
    let wanted = ThreeSets {
        effective: join(|half| half.effective),
        permitted: join(|half| half.permitted),
        inheritable: join(|half| half.inheritable),
    };
    cx.change_credentials(|old| credentials::set_capabilities(old, wanted))
}
