//! Semaphores: semget(2), semop(2), semtimedop(2), semctl(2) (ipc/sem.c, Linux v6.18).

use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::user::UserRef;
use kernel_ipc::sem::{Operation, Question, SemFlags, Status, VALUE_MAX};
use kernel_ipc::{Actor, Key};

use super::layout::{Perm64, SemBuf, SemId, SemInfo, int};
use super::{IPC_INFO, IPC_RMID, IPC_SET, IPC_STAT, not_negative};
use crate::cx::Cx;

const GETPID: i32 = 11;
const GETVAL: i32 = 12;
const GETALL: i32 = 13;
const GETNCNT: i32 = 14;
const GETZCNT: i32 = 15;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;

/// semget(2).
pub(crate) fn sys_semget(cx: &Cx, key: i32, nsems: i32, flags: u32) -> SysResult<i32> {
    cx.with_actor(|who| cx.process.ipc().sem.get(Key::new(key), nsems, flags, who))
}

/// semop(2).
pub(crate) async fn sys_semop(cx: &Cx, id: i32, ops: UserRef<SemBuf>, nsops: usize) -> SysResult<()> {
    operate(cx, id, ops, nsops, None).await
}

/// semtimedop(2).
pub(crate) async fn sys_semtimedop(
    cx: &Cx,
    id: i32,
    ops: UserRef<SemBuf>,
    nsops: usize,
    timeout: UserRef<Timespec>,
) -> SysResult<()> {
    let timeout = timeout.non_null().map(|at| cx.mem().read(at)).transpose()?;
    operate(cx, id, ops, nsops, timeout).await
}

/// __do_semtimedop.
async fn operate(
    cx: &Cx,
    id: i32,
    ops: UserRef<SemBuf>,
    nsops: usize,
    timeout: Option<Timespec>,
) -> SysResult<()> {
    let ipc = cx.process.ipc();
    // An unsigned int in Linux.
    let nsops = nsops & u32::MAX as usize;
    if nsops > ipc.sem.semopm.count() {
        return Err(Errno::E2BIG);
    }
    if nsops == 0 {
        return Err(Errno::EINVAL);
    }
    let raw = cx.mem().read_array(ops, nsops)?;
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let timers = &cx.kernel().timers;
    let limit_ns = timeout.map(|timeout| timeout.to_ns().ok_or(Errno::EINVAL)).transpose()?;
    let deadline_ns = limit_ns.map(|limit| timers.now_ns().saturating_add(limit));
    let operation = |raw: &SemBuf| Operation {
        number: raw.number,
        change: raw.change,
        flags: SemFlags::from_bits_retain(raw.flags),
    };
    let ops: Vec<Operation> = raw.iter().map(operation).collect();
    let set = ipc.sem.ids.find(id)?;
    let creds = cx.credentials();
    let now_s = (cx.now_realtime_ns() / 1_000_000_000) as i64;
    let who = Actor { creds: &creds, pid: cx.process.pid, now_s };
    let done = timers.limit(deadline_ns, set.operate(&ops, &who, &cx.process.sem_undo)).await;
    done.unwrap_or(Err(Errno::EAGAIN))
}

fn show(cx: &Cx, status: &Status, at: u64) -> SysResult<()> {
    let shown = SemId {
        perm: Perm64::new(&status.perm, &cx.credentials()),
        otime: status.otime,
        ctime: status.ctime,
        nsems: status.nsems as u64,
        ..SemId::default()
    };
    cx.mem().write(UserRef::new(at), &shown)
}

/// IPC_INFO and SEM_INFO.
fn info(cx: &Cx, op: i32, at: u64) -> SysResult<i32> {
    let ipc = cx.process.ipc();
    let sem = &ipc.sem;
    let (sets, semaphores, highest) = sem.totals();
    let total = int(sem.semmns.get());
    let mut info = SemInfo {
        map: total,
        mni: int(sem.semmni.get()),
        mns: total,
        mnu: total,
        msl: int(sem.semmsl.get()),
        opm: int(sem.semopm.get()),
        ume: 500,
        usz: 20,
        vmx: VALUE_MAX,
        aem: VALUE_MAX,
    };
    if op == SEM_INFO {
        (info.usz, info.aem) = (int(sets as u64), int(semaphores));
    }
    cx.mem().write(UserRef::new(at), &info)?;
    Ok(highest)
}

/// semctl(2).
pub(crate) fn sys_semctl(cx: &Cx, id: i32, number: i32, op: i32, arg: u64) -> SysResult<i32> {
    not_negative(id)?;
    let ipc = cx.process.ipc();
    let sem = &ipc.sem;
    match op {
        IPC_INFO | SEM_INFO => info(cx, op, arg),
        IPC_STAT => {
            let status = cx.with_actor(|who| sem.ids.stat(id, who))?;
            show(cx, &status, arg).map(|()| 0)
        }
        SEM_STAT | SEM_STAT_ANY => {
            let status = match op {
                SEM_STAT => cx.with_actor(|who| sem.ids.stat_at(id, who))?,
                _ => sem.ids.stat_any(id)?,
            };
            show(cx, &status, arg).map(|()| status.id)
        }
        IPC_SET => {
            let wanted: SemId = cx.mem().read(UserRef::new(arg))?;
            let wanted = wanted.perm.wanted(&cx.credentials())?;
            cx.with_actor(|who| sem.set(id, wanted, who)).map(|()| 0)
        }
        IPC_RMID => cx.with_actor(|who| sem.remove(id, who)).map(|()| 0),
        GETALL | SETALL => all_values(cx, id, op, arg).map(|()| 0),
        _ => one_value(cx, id, number, op, arg),
    }
}

fn all_values(cx: &Cx, id: i32, op: i32, array: u64) -> SysResult<()> {
    let set = cx.process.ipc().sem.ids.find(id)?;
    let array = UserRef::<u16>::new(array);
    if op == GETALL {
        let values = cx.with_actor(|who| set.values(who))?;
        return cx.mem().write_array(array, &values);
    }
    cx.with_actor(|who| set.check_alter(who))?;
    let values = cx.mem().read_array(array, set.len())?;
    cx.with_actor(|who| set.set_values(&values, who))
}

fn one_value(cx: &Cx, id: i32, number: i32, op: i32, arg: u64) -> SysResult<i32> {
    let question = match op {
        GETVAL => Question::Value,
        GETPID => Question::Pid,
        GETNCNT => Question::WaitingForMore,
        GETZCNT => Question::WaitingForZero,
        SETVAL => {
            let value = arg as i32;
            if !(0..=VALUE_MAX).contains(&value) {
                return Err(Errno::ERANGE);
            }
            let set = cx.process.ipc().sem.ids.find(id)?;
            let number = usize::try_from(number).map_err(|_| Errno::EINVAL)?;
            return cx.with_actor(|who| set.set_value(number, value, who)).map(|()| 0);
        }
        _ => return Err(Errno::EINVAL),
    };
    let set = cx.process.ipc().sem.ids.find(id)?;
    // One that is too large for any set: permission is looked at first.
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    cx.with_actor(|who| set.ask(number, question, who))
}
