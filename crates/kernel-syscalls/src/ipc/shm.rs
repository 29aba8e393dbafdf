//! Shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2) (ipc/shm.c, Linux v6.18).
//!
//! shmat has the thread map the segment's memfd, which the supervisor has put into the host's table at a
//! number that the guest does not use; the filter knows such a mapping by its offset.

use std::os::fd::AsFd;

use abi_linux::raw::general::{MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::{TASK_SIZE, UserRef};
use kernel_ipc::Key;
use kernel_ipc::perm::{READ, WRITE};
use kernel_ipc::shm::{Attachment, Locked, PAGE_SIZE, SHM_MAP_OFFSET, Status};
use kernel_task::limits::Resource;
use platform_api::{Performed, Step};

use super::layout::{Perm64, ShmId, ShmInfo, ShmInfo64};
use super::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, not_negative};
use crate::cx::{Cx, Outcome};
use crate::mem::LOADER_FD;

const SHM_RDONLY: u32 = 0o10000;
const SHM_RND: u32 = 0o20000;
const SHM_REMAP: u32 = 0o40000;
const SHM_EXEC: u32 = 0o100000;

const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;

const MMAP: i32 = 9;
const MUNMAP: i32 = 11;

/// shmget(2).
pub(crate) fn sys_shmget(cx: &Cx, key: i32, size: usize, flags: u32) -> SysResult<i32> {
    cx.with_actor(|who| cx.process.ipc().shm.get(Key::new(key), size as u64, flags, who))
}

/// Address and mmap flags of an attachment (do_shmat).
fn placement(addr: u64, flags: u32) -> SysResult<(u64, u32)> {
    let remap = flags & SHM_REMAP != 0;
    if addr == 0 {
        return if remap { Err(Errno::EINVAL) } else { Ok((0, MAP_SHARED)) };
    }
    let aligned = addr & !(PAGE_SIZE - 1);
    if aligned != addr && flags & SHM_RND == 0 || aligned == 0 && remap || aligned >= TASK_SIZE {
        return Err(Errno::EINVAL);
    }
    if aligned == 0 {
        return Ok((0, MAP_SHARED));
    }
    Ok((aligned, MAP_SHARED | if remap { MAP_FIXED } else { MAP_FIXED_NOREPLACE }))
}

/// A number in the host's table that no descriptor of the guest's has, which one of its own mmap(2)s could
/// have just put its file at.
fn spare_number(cx: &Cx) -> SysResult<i32> {
    let is_free = |number: &i32| cx.process.files.get(Fd(*number)).is_err();
    (3..LOADER_FD).rev().chain(LOADER_FD + 1..1024).find(is_free).ok_or(Errno::EMFILE)
}

fn failure(errno: Errno) -> i64 {
    -i64::from(errno.raw())
}

/// shmat(2).
pub(crate) fn sys_shmat(cx: &Cx, id: i32, addr: u64, flags: u32) -> SysResult<Outcome> {
    not_negative(id)?;
    let (addr, map_flags) = placement(addr, flags)?;
    let (mut prot, mut wanted) = (PROT_READ, READ);
    if flags & SHM_RDONLY == 0 {
        (prot, wanted) = (prot | PROT_WRITE, wanted | WRITE);
    }
    if flags & SHM_EXEC != 0 {
        (prot, wanted) = (prot | PROT_EXEC, wanted | 0o111);
    }
    let ipc = cx.process.ipc();
    let segment = ipc.shm.ids.find(id)?;
    cx.with_actor(|who| segment.check(who, wanted))?;
    let len = segment.mapped_size();
    if addr.checked_add(len).is_none_or(|end| end > TASK_SIZE) {
        return Err(Errno::EINVAL);
    }
    let memory = segment.memory()?;
    let fd = if flags & SHM_RDONLY == 0 { memory.data().mapping_fd() } else { memory.read_only_fd() };
    let number = spare_number(cx)?;
    let kernel = cx.kernel();
    kernel.platform.install_fd(cx.call.id, number, fd.as_fd())?;
    cx.process.note_mapped_fd(number);
    kernel.mapped_files.note(memory.label(), &segment.path());
    let args = [addr, len, u64::from(prot), u64::from(map_flags), number as u64, SHM_MAP_OFFSET];
    let mapped = |addr: u64| {
        cx.with_actor(|who| {
            let attachment = Attachment::new(&ipc, &segment, who.pid, who.now_s);
            cx.process.shm().add(addr, attachment, who.pid, who.now_s);
        });
        Step::Return(addr.cast_signed())
    };
    cx.perform(|performed| match performed {
        Performed::Started => Step::Perform { nr: MMAP, args },
        Performed::Interrupted => Step::Again,
        Performed::Result(error) if (-4095..0).contains(&error) => {
            let taken = error == failure(Errno::EEXIST);
            Step::Return(if taken { failure(Errno::EINVAL) } else { error })
        }
        Performed::Result(addr) => mapped(addr.cast_unsigned()),
    })
}

/// shmdt(2).
pub(crate) fn sys_shmdt(cx: &Cx, addr: u64) -> SysResult<Outcome> {
    let len = cx.process.shm().len_at(addr).ok_or(Errno::EINVAL)?;
    cx.perform(|performed| match performed {
        Performed::Started => Step::Perform { nr: MUNMAP, args: [addr, len, 0, 0, 0, 0] },
        Performed::Interrupted => Step::Again,
        Performed::Result(0) => {
            cx.with_actor(|who| cx.process.shm().remove(addr, who.pid, who.now_s));
            Step::Return(0)
        }
        Performed::Result(error) => Step::Return(error),
    })
}

fn show(cx: &Cx, status: &Status, at: u64) -> SysResult<()> {
    let shown = ShmId {
        perm: Perm64::new(&status.perm, &cx.credentials()),
        size: status.size,
        atime: status.atime,
        dtime: status.dtime,
        ctime: status.ctime,
        cpid: status.cpid,
        lpid: status.lpid,
        nattch: status.attached,
        unused: [0; 2],
    };
    cx.mem().write(UserRef::new(at), &shown)
}

/// shmctl(2).
pub(crate) fn sys_shmctl(cx: &Cx, id: i32, op: i32, buf: u64) -> SysResult<i32> {
    not_negative(id)?;
    let ipc = cx.process.ipc();
    let shm = &ipc.shm;
    match op {
        IPC_INFO => {
            let shmmni = shm.shmmni.get();
            let (shmmax, shmall) = (shm.shmmax.get(), shm.shmall.get());
            let info = ShmInfo64 { shmmax, shmmin: 1, shmmni, shmseg: shmmni, shmall, unused: [0; 4] };
            cx.mem().write(UserRef::new(buf), &info)?;
            Ok(shm.totals().highest)
        }
        SHM_INFO => {
            let totals = shm.totals();
            let info =
                ShmInfo { used_ids: totals.segments as u64, total: totals.pages, ..ShmInfo::default() };
            cx.mem().write(UserRef::new(buf), &info)?;
            Ok(totals.highest)
        }
        IPC_STAT => {
            let status = cx.with_actor(|who| shm.ids.stat(id, who))?;
            show(cx, &status, buf).map(|()| 0)
        }
        SHM_STAT | SHM_STAT_ANY => {
            let status = match op {
                SHM_STAT => cx.with_actor(|who| shm.ids.stat_at(id, who))?,
                _ => shm.ids.stat_any(id)?,
            };
            show(cx, &status, buf).map(|()| status.id)
        }
        IPC_SET => {
            let wanted: ShmId = cx.mem().read(UserRef::new(buf))?;
            let wanted = wanted.perm.wanted(&cx.credentials())?;
            cx.with_actor(|who| shm.set(id, wanted, who)).map(|()| 0)
        }
        IPC_RMID => cx.with_actor(|who| shm.remove(id, who)).map(|()| 0),
        SHM_LOCK | SHM_UNLOCK => {
            let locked = if op == SHM_LOCK { Locked::Yes } else { Locked::No };
            let may_lock = cx.process.limits.get(Resource::Memlock).soft > 0;
            cx.with_actor(|who| shm.set_locked(id, locked, who, may_lock)).map(|()| 0)
        }
        _ => Err(Errno::EINVAL),
    }
}
