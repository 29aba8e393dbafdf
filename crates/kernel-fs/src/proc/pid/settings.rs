//! Small files: names and knobs.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_task::Process;
use kernel_vfs::inode::Inode;
use platform_api::ProcFile;

use super::{Subject, Target};
use crate::pseudo::{Content, Id, PseudoFile, StaticDir, text};

/// Generations of parents that an inherited oom_score_adj is looked for in.
const MAX_ANCESTORS: usize = 64;

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

pub(super) fn personality(_target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "00000000\n");
    Ok(())
}

pub(super) fn core_filter(_target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "00000033\n");
    Ok(())
}

pub(super) fn timer_slack(_target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "50000\n");
    Ok(())
}

/// loginuid and sessionid of who never logged in.
pub(super) fn unset_id(_target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "{}", u32::MAX);
    Ok(())
}

pub(super) fn oom_score(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.append(&mut target.host_file(ProcFile::OomScore)?);
    Ok(())
}

/// The value set for a process or, inherited, for its nearest ancestor that has one.
fn adjustment(target: &Target) -> i32 {
    let known = |process: &Arc<Process>| {
        let table = target.proc.oom_adj.lock();
        let (owner, value) = table.get(&process.pid)?;
        std::ptr::eq(owner.as_ptr(), Arc::as_ptr(process)).then_some(*value)
    };
    let mut process = Some(Arc::clone(&target.process));
    for _ in 0..MAX_ANCESTORS {
        let Some(this) = process else { break };
        if let Some(value) = known(&this) {
            return value;
        }
        process = this.parent();
    }
    0
}

pub(super) fn oom_adj(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "{}\n", adjustment(target));
    Ok(())
}

/// Kept, and without effect on the host. Lowering it takes CAP_SYS_RESOURCE (__set_oom_adj).
pub(super) fn set_oom_adj(target: &Target, who: &dyn Caller, data: &[u8]) -> SysResult<()> {
    let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
    let value: i32 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
    if !(-1000..=1000).contains(&value) {
        return Err(Errno::EINVAL);
    }
    if value < adjustment(target) && !who.credentials().has(Cap::SYS_RESOURCE) {
        return Err(Errno::EACCES);
    }
    let mut table = target.proc.oom_adj.lock();
    table.retain(|_, (owner, _)| owner.strong_count() > 0);
    table.insert(target.process.pid, (Arc::downgrade(&target.process), value));
    Ok(())
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
