//! unshare(2) and setns(2) (kernel/fork.c, kernel/nsproxy.c, Linux v6.18). The namespaces are ours; the host sees
//! nothing of them.

use abi_linux::raw::general::{
    CLONE_FILES, CLONE_FS, CLONE_NEWNS, CLONE_NEWUSER, CLONE_SIGHAND, CLONE_SYSVSEM, CLONE_THREAD, CLONE_VM,
};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user_ns::NamespaceKind;
use kernel_fs::nsfs;
use kernel_fs::pidfd::PidFd;
use kernel_task::Process;
use kernel_task::namespaces::{CLONE_NAMESPACES, Changed, Namespace};

use crate::cx::Cx;

/// What the caller, or its child, gets by the CLONE_NEW* in `flags`.
pub(super) fn unshared(cx: &Cx, flags: u32) -> SysResult<Changed> {
    let fs = cx.process.fs.get();
    cx.process.namespaces().unshare(flags, &cx.credentials(), &fs)
}

fn is_single_threaded(cx: &Cx) -> bool {
    cx.process.tasks().len() <= 1
}

/// unshare(2). The threads of one process have all in common and stay so.
pub(crate) fn sys_unshare(cx: &Cx, flags: u64) -> SysResult<()> {
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let shared = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
    if flags & !(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_NAMESPACES | shared) != 0 {
        return Err(Errno::EINVAL);
    }
    let alone = CLONE_FS | CLONE_FILES | CLONE_NAMESPACES | shared;
    if flags & alone != 0 && !is_single_threaded(cx) {
        return Err(Errno::EINVAL);
    }
    let process = &cx.process;
    if flags & (CLONE_SIGHAND | CLONE_VM) != 0 && process.shares_signal_actions()
        || flags & CLONE_VM != 0 && process.shares_memory()
    {
        return Err(Errno::EINVAL);
    }
    if flags & CLONE_FILES != 0 {
        process.files.unshare();
    }
    // ksys_unshare: directories of another namespace are not others'.
    if flags & (CLONE_FS | CLONE_NEWNS | CLONE_NEWUSER) != 0 {
        process.fs.unshare();
    }
    if flags & CLONE_NAMESPACES != 0 {
        cx.process.change_namespaces(unshared(cx, flags)?);
    }
    Ok(())
}

/// The namespaces of a process that `flags` name, in the order in which they are entered (validate_nsset).
fn chosen(process: &Process, flags: u32) -> Vec<Namespace> {
    let (namespaces, credentials) = (process.namespaces(), process.credentials());
    let order = [
        NamespaceKind::User,
        NamespaceKind::Mnt,
        NamespaceKind::Uts,
        NamespaceKind::Ipc,
        NamespaceKind::Pid,
        NamespaceKind::Cgroup,
        NamespaceKind::Net,
        NamespaceKind::Time,
    ];
    let wanted = order.into_iter().filter(|kind| flags & kind.flag() != 0);
    wanted.map(|kind| Namespace::of(kind, &namespaces, &credentials)).collect()
}

/// setns(2).
pub(crate) fn sys_setns(cx: &Cx, fd: Fd, nstype: u32) -> SysResult<()> {
    let file = cx.file(fd)?;
    let targets = if let Some(namespace) = nsfs::namespace_of(&file) {
        if nstype != 0 && nstype != namespace.id().kind().flag() {
            return Err(Errno::EINVAL);
        }
        vec![namespace.clone()]
    } else if let Some(pidfd) = file.ops.as_any().downcast_ref::<PidFd>() {
        if nstype == 0 || nstype & !CLONE_NAMESPACES != 0 {
            return Err(Errno::EINVAL);
        }
        let process = pidfd.process();
        if process.is_dying() {
            return Err(Errno::ESRCH);
        }
        if !super::pidfd::may_attach(cx, process) {
            return Err(Errno::EPERM);
        }
        chosen(process, nstype)
    } else {
        return Err(Errno::EINVAL);
    };
    let entered = targets.iter().fold(0, |flags, namespace| flags | namespace.id().kind().flag());
    let process = &cx.process;
    let is_alone = is_single_threaded(cx) && !process.fs.is_shared();
    if entered & (CLONE_NEWUSER | CLONE_NEWNS) != 0 && !is_alone {
        return Err(Errno::EINVAL);
    }
    let fs = process.fs.get();
    let mut changed = Changed {
        credentials: (*process.credentials()).clone(),
        namespaces: (*process.namespaces()).clone(),
        fs: (*fs).clone(),
    };
    for target in &targets {
        changed.enter(target)?;
    }
    process.change_namespaces(changed);
    Ok(())
}
