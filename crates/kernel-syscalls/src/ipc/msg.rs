//! Message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2) (ipc/msg.c, Linux v6.18).

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::user::UserRef;
use kernel_ipc::msg::{Message, Room, Status, Waiting, Wanted};
use kernel_ipc::{Actor, Key};

use super::layout::{MsgId, MsgInfo, Perm64, int};
use super::{IPC_INFO, IPC_NOWAIT, IPC_RMID, IPC_SET, IPC_STAT, not_negative};
use crate::cx::Cx;

const MSG_NOERROR: u32 = 0o10000;
const MSG_EXCEPT: u32 = 0o20000;
const MSG_COPY: u32 = 0o40000;
const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;
/// Bytes before a message's text in the guest's memory: its type.
const TYPE_LEN: u64 = 8;

/// msgget(2).
pub(crate) fn sys_msgget(cx: &Cx, key: i32, flags: u32) -> SysResult<i32> {
    cx.with_actor(|who| cx.process.ipc().msg.get(Key::new(key), flags, who))
}

fn waiting(flags: u32) -> Waiting {
    if flags & IPC_NOWAIT == 0 { Waiting::Allowed } else { Waiting::No }
}

fn now_s(cx: &Cx) -> i64 {
    (cx.now_realtime_ns() / 1_000_000_000) as i64
}

/// msgsnd(2).
pub(crate) async fn sys_msgsnd(cx: &Cx, id: i32, at: u64, size: usize, flags: u32) -> SysResult<()> {
    let mtype: i64 = cx.mem().read(UserRef::new(at))?;
    let ipc = cx.process.ipc();
    if size as u64 > ipc.msg.msgmax.get() || id < 0 || mtype < 1 {
        return Err(Errno::EINVAL);
    }
    let mut text = vec![0; size];
    cx.mem().read_bytes(at.saturating_add(TYPE_LEN), &mut text)?;
    let queue = ipc.msg.ids.find(id)?;
    let creds = cx.credentials();
    let who = Actor { creds: &creds, pid: cx.process.pid, now_s: now_s(cx) };
    queue.send(Message { mtype, text: text.into() }, waiting(flags), &who).await
}

/// msgrcv(2).
pub(crate) async fn sys_msgrcv(
    cx: &Cx,
    id: i32,
    at: u64,
    size: usize,
    mtype: i64,
    flags: u32,
) -> SysResult<usize> {
    if id < 0 || size > i64::MAX as usize {
        return Err(Errno::EINVAL);
    }
    let copies = flags & MSG_COPY != 0;
    if copies && (flags & MSG_EXCEPT != 0 || flags & IPC_NOWAIT == 0) {
        return Err(Errno::EINVAL);
    }
    let queue = cx.process.ipc().msg.ids.find(id)?;
    let room = Room { bytes: size, cut: flags & MSG_NOERROR != 0 };
    let creds = cx.credentials();
    let who = Actor { creds: &creds, pid: cx.process.pid, now_s: now_s(cx) };
    let message = if copies {
        queue.copy(mtype, room, &who)?
    } else {
        let wanted = Wanted::new(mtype, flags & MSG_EXCEPT != 0);
        queue.receive(wanted, room, waiting(flags), &who).await?
    };
    cx.mem().write(UserRef::new(at), &message.mtype)?;
    let text = message.text.get(..size.min(message.text.len())).unwrap_or_default();
    cx.mem().write_bytes(at.saturating_add(TYPE_LEN), text)?;
    Ok(text.len())
}

fn show(cx: &Cx, status: &Status, at: u64) -> SysResult<()> {
    let shown = MsgId {
        perm: Perm64::new(&status.perm, &cx.credentials()),
        stime: status.stime,
        rtime: status.rtime,
        ctime: status.ctime,
        cbytes: status.bytes as u64,
        qnum: status.messages as u64,
        qbytes: status.max_bytes as u64,
        lspid: status.lspid,
        lrpid: status.lrpid,
        unused: [0; 2],
    };
    cx.mem().write(UserRef::new(at), &shown)
}

/// IPC_INFO and MSG_INFO.
fn info(cx: &Cx, op: i32, at: u64) -> SysResult<i32> {
    let ipc = cx.process.ipc();
    let msg = &ipc.msg;
    // MSGPOOL, MSGMAP, MSGSSZ, MSGTQL, MSGSEG of include/uapi/linux/msg.h: of no use but to be shown.
    let mut info = MsgInfo {
        pool: 512_000,
        map: 16384,
        max: int(msg.msgmax.get()),
        mnb: int(msg.msgmnb.get()),
        mni: int(msg.msgmni.get()),
        ssz: 16,
        tql: 16384,
        seg: u16::MAX,
        pad: 0,
    };
    if op == MSG_INFO {
        let queues = msg.ids.list();
        let sum = |of: fn(&Status) -> usize| int(queues.iter().map(of).sum::<usize>() as u64);
        info.pool = int(queues.len() as u64);
        (info.map, info.tql) = (sum(|queue| queue.messages), sum(|queue| queue.bytes));
    }
    cx.mem().write(UserRef::new(at), &info)?;
    Ok(msg.highest())
}

/// msgctl(2).
pub(crate) fn sys_msgctl(cx: &Cx, id: i32, op: i32, buf: u64) -> SysResult<i32> {
    not_negative(id)?;
    let ipc = cx.process.ipc();
    let msg = &ipc.msg;
    match op {
        IPC_INFO | MSG_INFO => info(cx, op, buf),
        IPC_STAT => {
            let status = cx.with_actor(|who| msg.ids.stat(id, who))?;
            show(cx, &status, buf).map(|()| 0)
        }
        MSG_STAT | MSG_STAT_ANY => {
            let status = match op {
                MSG_STAT => cx.with_actor(|who| msg.ids.stat_at(id, who))?,
                _ => msg.ids.stat_any(id)?,
            };
            show(cx, &status, buf).map(|()| status.id)
        }
        IPC_SET => {
            let wanted: MsgId = cx.mem().read(UserRef::new(buf))?;
            let owner = wanted.perm.wanted(&cx.credentials())?;
            cx.with_actor(|who| msg.set(id, owner, wanted.qbytes, who)).map(|()| 0)
        }
        IPC_RMID => cx.with_actor(|who| msg.remove(id, who)).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
}
