//! Owners of open files, who are told by signals: F_SETOWN and its like, FIOASYNC (fs/fcntl.c, Linux v6.18).

use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::raw::general::{
    F_GETOWN, F_GETOWN_EX, F_GETOWNER_UIDS, F_GETSIG, F_SETOWN, F_SETOWN_EX, F_SETSIG,
};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_vfs::file::File;
use kernel_vfs::owner::Recipient;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::cx::Cx;

const F_OWNER_TID: i32 = 0;
const F_OWNER_PID: i32 = 1;
const F_OWNER_PGRP: i32 = 2;
const SIGNAL_MAX: u64 = 64;

/// `struct f_owner_ex`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct OwnerEx {
    kind: i32,
    pid: i32,
}

/// The commands of fcntl(2); `None` for others.
pub(super) fn on_owner(cx: &Cx, file: &File, op: u32, arg: u64) -> Option<SysResult<i64>> {
    Some(match op {
        F_SETOWN => set_plain(cx, file, arg as i32).map(|()| 0),
        F_GETOWN => Ok(i64::from(get_plain(file))),
        F_SETOWN_EX => set_ex(cx, file, arg).map(|()| 0),
        F_GETOWN_EX => get_ex(cx, file, arg).map(|()| 0),
        F_GETOWNER_UIDS => {
            let owner = file.owner();
            let user_ns = &cx.credentials().user_ns;
            let uids = [owner.ruid, owner.euid].map(|uid| user_ns.show_uid(uid));
            cx.mem().write(UserRef::new(arg), &uids).map(|()| 0)
        }
        F_SETSIG if arg > SIGNAL_MAX => Err(Errno::EINVAL),
        F_SETSIG => {
            file.change_owner(|owner| owner.signal = arg as i32);
            Ok(0)
        }
        F_GETSIG => Ok(i64::from(file.owner().signal)),
        _ => return None,
    })
}

/// __f_setown.
fn set(cx: &Cx, file: &File, recipient: Recipient) {
    let creds = cx.credentials();
    file.change_owner(|owner| {
        (owner.recipient, owner.ruid, owner.euid) = (recipient, creds.ruid, creds.euid);
    });
}

/// F_SETOWN, FIOSETOWN: a process, or a group's number negated; ESRCH when there is none.
pub(super) fn set_plain(cx: &Cx, file: &File, who: i32) -> SysResult<()> {
    let recipient = match who {
        0 => Recipient::Nobody,
        i32::MIN => return Err(Errno::EINVAL),
        1.. => process(cx, who)?,
        _ => group(cx, -who)?,
    };
    set(cx, file, recipient);
    Ok(())
}

fn process(cx: &Cx, pid: i32) -> SysResult<Recipient> {
    cx.kernel().process(pid).map(|_| Recipient::Process(pid)).ok_or(Errno::ESRCH)
}

fn group(cx: &Cx, pgid: i32) -> SysResult<Recipient> {
    if cx.kernel().group(pgid).is_empty() { Err(Errno::ESRCH) } else { Ok(Recipient::Group(pgid)) }
}

/// F_GETOWN: a thread looks like a process.
pub(super) fn get_plain(file: &File) -> i32 {
    match file.owner().recipient {
        Recipient::Nobody => 0,
        Recipient::Thread(id) | Recipient::Process(id) => id,
        Recipient::Group(pgid) => -pgid,
    }
}

fn set_ex(cx: &Cx, file: &File, at: u64) -> SysResult<()> {
    let OwnerEx { kind, pid } = cx.mem().read(UserRef::new(at))?;
    let recipient = match kind {
        F_OWNER_TID | F_OWNER_PID | F_OWNER_PGRP if pid == 0 => Recipient::Nobody,
        F_OWNER_TID => {
            cx.kernel().task_by_guest_tid(pid).map(|_| Recipient::Thread(pid)).ok_or(Errno::ESRCH)?
        }
        F_OWNER_PID => process(cx, pid)?,
        F_OWNER_PGRP => group(cx, pid)?,
        _ => return Err(Errno::EINVAL),
    };
    set(cx, file, recipient);
    Ok(())
}

fn get_ex(cx: &Cx, file: &File, at: u64) -> SysResult<()> {
    let (kind, pid) = match file.owner().recipient {
        // The type that a file begins with (PIDTYPE_PID).
        Recipient::Nobody => (F_OWNER_TID, 0),
        Recipient::Thread(tid) => (F_OWNER_TID, tid),
        Recipient::Process(pid) => (F_OWNER_PID, pid),
        Recipient::Group(pgid) => (F_OWNER_PGRP, pgid),
    };
    cx.mem().write(UserRef::new(at), &OwnerEx { kind, pid })
}

/// O_ASYNC by F_SETFL, which files that have no signals ignore.
pub(super) fn set_async(cx: &Cx, fd: Fd, file: &Arc<File>, is_on: bool) {
    let changes = file.flags().contains(OpenFlags::ASYNC) != is_on;
    if changes && file.ops.has_signals() {
        // Its signals come whether or not a call waits.
        cx.kernel().platform.always_tell();
        cx.kernel().signal_owner(file, fd.0, is_on);
    }
}

/// FIOASYNC, which they refuse.
pub(super) fn fioasync(cx: &Cx, fd: Fd, file: &Arc<File>, arg: u64) -> SysResult<i64> {
    let on: i32 = cx.mem().read(UserRef::new(arg))?;
    let changes = file.flags().contains(OpenFlags::ASYNC) != (on != 0);
    if changes && !file.ops.has_signals() {
        return Err(Errno::ENOTTY);
    }
    set_async(cx, fd, file, on != 0);
    Ok(0)
}
