//! Security modules and the kernel's log: a kernel with capabilities as its only module, whose log is empty
//! (security/lsm_syscalls.c, security/security.c, kernel/printk/printk.c, Linux v6.18).

use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::user::UserRef;

use crate::cx::Cx;

/// include/uapi/linux/lsm.h.
const LSM_ID_CAPABILITY: u64 = 100;
const LSM_ATTR_UNDEF: u32 = 0;
/// `struct lsm_ctx` without its context.
const CTX_LEN: u32 = 32;
const PAGE: u32 = 4096;

/// lsm_list_modules(2).
pub(crate) fn sys_lsm_list_modules(cx: &Cx, ids: u64, size: UserRef<u32>, flags: u32) -> SysResult<i32> {
    const LEN: u32 = 8;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let room = cx.mem().read(size)?;
    cx.mem().write(size, &LEN)?;
    if room < LEN {
        return Err(Errno::E2BIG);
    }
    cx.mem().write(UserRef::new(ids), &LSM_ID_CAPABILITY)?;
    Ok(1)
}

/// lsm_get_self_attr(2): capabilities have no attributes.
pub(crate) fn sys_lsm_get_self_attr(
    cx: &Cx,
    attr: u32,
    _ctx: u64,
    size: UserRef<u32>,
    flags: u32,
) -> SysResult<()> {
    const LSM_FLAG_SINGLE: u32 = 1;
    if attr == LSM_ATTR_UNDEF || size.is_null() {
        return Err(Errno::EINVAL);
    }
    cx.mem().read(size)?;
    if flags & !LSM_FLAG_SINGLE != 0 { Err(Errno::EINVAL) } else { Err(Errno::EOPNOTSUPP) }
}

/// lsm_set_self_attr(2).
pub(crate) fn sys_lsm_set_self_attr(cx: &Cx, _attr: u32, ctx: u64, size: u32, flags: u32) -> SysResult<()> {
    if flags != 0 || size < CTX_LEN {
        return Err(Errno::EINVAL);
    }
    if size > PAGE {
        return Err(Errno::E2BIG);
    }
    // id, flags, len, ctx_len.
    let [_, _, len, ctx_len] = cx.mem().read(UserRef::<[u64; 4]>::new(ctx))?;
    let needed = ctx_len.checked_add(CTX_LEN.into());
    let fits = u64::from(size) >= len && needed.is_some_and(|needed| len >= needed);
    if fits { Err(Errno::EOPNOTSUPP) } else { Err(Errno::EINVAL) }
}

/// syslog(2), with dmesg_restrict set.
pub(crate) fn sys_syslog(cx: &Cx, kind: i32, buf: u64, len: i32) -> SysResult<i32> {
    const READ: i32 = 2;
    const READ_CLEAR: i32 = 4;
    const CONSOLE_LEVEL: i32 = 8;
    const SIZE_BUFFER: i32 = 10;
    /// CONFIG_LOG_BUF_SHIFT 17.
    const BUFFER: i32 = 1 << 17;
    if !cx.credentials().has(Cap::SYSLOG) {
        return Err(Errno::EPERM);
    }
    match kind {
        READ..=READ_CLEAR if buf == 0 || len < 0 => Err(Errno::EINVAL),
        CONSOLE_LEVEL if !(1..=8).contains(&len) => Err(Errno::EINVAL),
        SIZE_BUFFER => Ok(BUFFER),
        0..SIZE_BUFFER => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
