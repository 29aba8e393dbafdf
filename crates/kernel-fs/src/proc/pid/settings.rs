//! Small files: names and knobs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_task::settings::UNSET;
use kernel_vfs::inode::Inode;
use platform_api::ProcFile;

use super::{Subject, Target};
use crate::pseudo::{Content, Id, PseudoFile, StaticDir, text};

/// Largest oom_score_adj (include/uapi/linux/oom.h).
const OOM_SCORE_ADJ_MAX: i32 = 1000;
/// MMF_DUMP_FILTER_MASK: nine kinds of mappings (include/linux/mm_types.h).
const COREDUMP_BITS: u32 = 0x1ff;

pub(super) fn comm(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.extend_from_slice(&target.comm());
    out.push(b'\n');
    Ok(())
}

/// Threads name each other within their process (comm_write).
pub(super) fn set_comm(target: &Target, who: &dyn Caller, data: &[u8]) -> SysResult<()> {
    if target.process.pid != who.pid() {
        return Err(Errno::EINVAL);
    }
    let task = target.task.clone().or_else(|| target.process.any_task()).ok_or(Errno::ESRCH)?;
    // The newline stays, as it does on Linux: programs write the name alone.
    task.set_comm(data.get(..data.len().min(15)).unwrap_or_default());
    Ok(())
}

/// A setting that nobody may change.
pub(super) fn refused(_target: &Target, _who: &dyn Caller, _data: &[u8]) -> SysResult<()> {
    Err(Errno::EPERM)
}

pub(super) fn empty(_target: &Target, _who: &dyn Caller, _out: &mut Vec<u8>) -> SysResult<()> {
    Ok(())
}

pub(super) fn slash(_target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "/\n");
    Ok(())
}

pub(super) fn cgroup(_target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "0::/\n");
    Ok(())
}

pub(super) fn time_offsets(_target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "monotonic           0         0\nboottime            0         0\n");
    Ok(())
}

pub(super) fn personality(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "{:08x}\n", target.process.personality.load(Ordering::Relaxed));
    Ok(())
}

pub(super) fn core_filter(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "{:08x}\n", target.process.settings.coredump_filter.load(Ordering::Relaxed));
    Ok(())
}

/// proc_coredump_filter_write; unknown bits are dropped.
pub(super) fn set_core_filter(target: &Target, _who: &dyn Caller, data: &[u8]) -> SysResult<()> {
    let value = number_of_any_base(data)?;
    target.process.settings.coredump_filter.store(value & COREDUMP_BITS, Ordering::Relaxed);
    Ok(())
}

pub(super) fn timer_slack(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "{}\n", target.process.settings.timer_slack_ns.load(Ordering::Relaxed));
    Ok(())
}

pub(super) fn login_uid(target: &Target, who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let shown = match target.process.settings.login_uid.load(Ordering::Relaxed) {
        UNSET => UNSET,
        uid => who.credentials().user_ns.show_uid(uid),
    };
    text!(out, "{shown}");
    Ok(())
}

/// proc_loginuid_write, kernel/audit.c audit_set_loginuid, Linux v6.18: everybody may say once who logged in.
pub(super) fn set_login_uid(target: &Target, who: &dyn Caller, data: &[u8]) -> SysResult<()> {
    if target.process.pid != who.pid() {
        return Err(Errno::EPERM);
    }
    let own = who.credentials();
    let uid = match decimal(data)? {
        UNSET => UNSET,
        uid => own.user_ns.uid(uid).ok_or(Errno::EINVAL)?,
    };
    let settings = &target.process.settings;
    if settings.login_uid.load(Ordering::Relaxed) != UNSET && !own.has(Cap::AUDIT_CONTROL) {
        return Err(Errno::EPERM);
    }
    let session = match uid {
        UNSET => UNSET,
        _ => target.proc.kernel.logins.fetch_add(1, Ordering::Relaxed).wrapping_add(1),
    };
    settings.login_uid.store(uid, Ordering::Relaxed);
    settings.session_id.store(session, Ordering::Relaxed);
    Ok(())
}

pub(super) fn session_id(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "{}", target.process.settings.session_id.load(Ordering::Relaxed));
    Ok(())
}

pub(super) fn oom_score(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.append(&mut target.host_file(ProcFile::OomScore)?);
    Ok(())
}

pub(super) fn oom_score_adj(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "{}\n", target.process.settings.oom_score_adj.load(Ordering::Relaxed));
    Ok(())
}

pub(super) fn set_oom_score_adj(target: &Target, who: &dyn Caller, data: &[u8]) -> SysResult<()> {
    let value = signed(data)?;
    if !(-OOM_SCORE_ADJ_MAX..=OOM_SCORE_ADJ_MAX).contains(&value) {
        return Err(Errno::EINVAL);
    }
    adjust(target, who, value)
}

/// The older scale, -17 to 15 (oom_adj_read).
pub(super) fn oom_adj(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let value = target.process.settings.oom_score_adj.load(Ordering::Relaxed);
    let shown = if value == OOM_SCORE_ADJ_MAX { 15 } else { value * 17 / OOM_SCORE_ADJ_MAX };
    text!(out, "{shown}\n");
    Ok(())
}

/// oom_adj_write.
pub(super) fn set_oom_adj(target: &Target, who: &dyn Caller, data: &[u8]) -> SysResult<()> {
    match signed(data)? {
        15 => adjust(target, who, OOM_SCORE_ADJ_MAX),
        value @ -17..=14 => adjust(target, who, value * OOM_SCORE_ADJ_MAX / 17),
        _ => Err(Errno::EINVAL),
    }
}

/// Kept, and without effect on the host. Lowering it takes CAP_SYS_RESOURCE (__set_oom_adj).
fn adjust(target: &Target, who: &dyn Caller, value: i32) -> SysResult<()> {
    let setting = &target.process.settings.oom_score_adj;
    if value < setting.load(Ordering::Relaxed) && !who.credentials().has(Cap::SYS_RESOURCE) {
        return Err(Errno::EACCES);
    }
    setting.store(value, Ordering::Relaxed);
    Ok(())
}

fn text_of(data: &[u8]) -> SysResult<&str> {
    std::str::from_utf8(data).map(str::trim).map_err(|_| Errno::EINVAL)
}

fn signed(data: &[u8]) -> SysResult<i32> {
    text_of(data)?.parse().map_err(|_| Errno::EINVAL)
}

fn decimal(data: &[u8]) -> SysResult<u32> {
    text_of(data)?.parse().map_err(|_| Errno::EINVAL)
}

/// A number as kstrtouint takes it with base 0.
fn number_of_any_base(data: &[u8]) -> SysResult<u32> {
    let text = text_of(data)?;
    let (digits, base) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // from_str_radix takes a sign, which the kernel does not before hexadecimal digits.
    if !digits.starts_with(|first: char| first.is_digit(base)) {
        return Err(Errno::EINVAL);
    }
    u32::from_str_radix(digits, base).map_err(|_| Errno::EINVAL)
}

/// attr/: there is no security module, which EINVAL says.
struct NoModule;

impl Content for NoModule {
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        Err(Errno::EINVAL)
    }
    fn store(&self, _who: &dyn Caller, _data: &[u8]) -> SysResult<()> {
        Err(Errno::EINVAL)
    }
}

pub(super) fn attributes(_subject: &Subject, id: Id, parent: u64) -> SysResult<Arc<dyn Inode>> {
    let names = ["current", "exec", "fscreate", "keycreate", "prev", "sockcreate"];
    let entry = |name: &str| {
        let mode = if name == "prev" { 0o444 } else { 0o666 };
        let file: Arc<dyn Inode> = PseudoFile::new(id.child(name.as_bytes(), mode), Arc::new(NoModule));
        (name.as_bytes().to_vec(), file)
    };
    Ok(Arc::new(StaticDir::new(id, parent, names.into_iter().map(entry).collect())))
}
