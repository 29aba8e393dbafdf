//! /proc/sysvipc and the numbers of IPC below /proc/sys (ipc/{shm,sem,msg,ipc_sysctl,mq_sysctl}.c), as
//! the reader's IPC namespace has them.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::tunable::Tunable;
use kernel_ipc::IpcNamespace;
use kernel_ipc::perm::Perm;
use kernel_task::Kernel;

use super::sysctl::parse_number;
use super::{Proc, Row, row};
use crate::pseudo::{Content, TreeBuilder, text};

pub(super) static FILES: &[Row] = &[
    row("sysvipc/shm", 0o444, shm),
    row("sysvipc/sem", 0o444, sem),
    row("sysvipc/msg", 0o444, msg),
    Row { path: "sys/kernel/sem", mode: 0o644, show: show_sem, store: Some(set_sem) },
];

/// Where a number is.
type NumberOf = fn(&IpcNamespace) -> &Tunable;

/// Numbers that root may set: path below /proc/sys.
static NUMBERS: &[(&str, NumberOf)] = &[
    ("kernel/shmmax", |ipc| &ipc.shm.shmmax),
    ("kernel/shmall", |ipc| &ipc.shm.shmall),
    ("kernel/shmmni", |ipc| &ipc.shm.shmmni),
    ("kernel/msgmax", |ipc| &ipc.msg.msgmax),
    ("kernel/msgmnb", |ipc| &ipc.msg.msgmnb),
    ("kernel/msgmni", |ipc| &ipc.msg.msgmni),
    ("fs/mqueue/queues_max", |ipc| &ipc.mqueue.limits.queues_max),
    ("fs/mqueue/msg_max", |ipc| &ipc.mqueue.limits.msg_max),
    ("fs/mqueue/msgsize_max", |ipc| &ipc.mqueue.limits.msgsize_max),
    ("fs/mqueue/msg_default", |ipc| &ipc.mqueue.limits.msg_default),
    ("fs/mqueue/msgsize_default", |ipc| &ipc.mqueue.limits.msgsize_default),
];

struct Number {
    kernel: Arc<Kernel>,
    of: NumberOf,
}

impl Content for Number {
    fn generate(&self, who: &dyn Caller) -> SysResult<Vec<u8>> {
        let ipc = ipc_of(&self.kernel, who)?;
        Ok(format!("{}\n", (self.of)(&ipc).get()).into_bytes())
    }
    fn store(&self, who: &dyn Caller, data: &[u8]) -> SysResult<()> {
        let ipc = ipc_of(&self.kernel, who)?;
        (self.of)(&ipc).set(parse_number(data)?)
    }
}

/// Adds the numbers.
pub(super) fn add(tree: &mut TreeBuilder, kernel: &Arc<Kernel>) {
    for &(path, of) in NUMBERS {
        let number: Arc<dyn Content> = Arc::new(Number { kernel: Arc::clone(kernel), of });
        tree.file(&format!("sys/{path}"), 0o644, number);
    }
    for (name, value) in [("shm_rmid_forced", "0"), ("auto_msgmni", "0")] {
        let content: Arc<dyn Content> = Arc::new(crate::pseudo::Fixed(format!("{value}\n").into_bytes()));
        tree.file(&format!("sys/kernel/{name}"), 0o644, content);
    }
}

fn ipc_of(kernel: &Arc<Kernel>, who: &dyn Caller) -> SysResult<Arc<IpcNamespace>> {
    kernel.process(who.pid()).map(|process| process.ipc()).ok_or(Errno::ESRCH)
}

/// uid, gid, cuid, cgid as the reader sees them.
fn owners(who: &dyn Caller, perm: &Perm) -> [u32; 4] {
    let creds = who.credentials();
    let ns = &creds.user_ns;
    [ns.show_uid(perm.uid), ns.show_gid(perm.gid), ns.show_uid(perm.cuid), ns.show_gid(perm.cgid)]
}

fn shm(proc: &Proc, who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(
        out,
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      \
         atime      dtime      ctime                   rss                  swap\n"
    );
    for one in ipc_of(&proc.kernel, who)?.shm.ids.list() {
        let [uid, gid, cuid, cgid] = owners(who, &one.perm);
        let (key, mode) = (one.perm.key, one.perm.mode);
        text!(out, "{key:10} {:10}  {mode:4o} {:21} {:5} {:5}  ", one.id, one.size, one.cpid, one.lpid);
        text!(out, "{:5} {uid:5} {gid:5} {cuid:5} {cgid:5} ", one.attached);
        text!(out, "{:10} {:10} {:10} {:21} {:21}\n", one.atime, one.dtime, one.ctime, 0, 0);
    }
    Ok(())
}

fn sem(proc: &Proc, who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(out, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    for one in ipc_of(&proc.kernel, who)?.sem.ids.list() {
        let [uid, gid, cuid, cgid] = owners(who, &one.perm);
        let (key, mode) = (one.perm.key, one.perm.mode);
        text!(out, "{key:10} {:10}  {mode:4o} {:10} ", one.id, one.nsems);
        text!(out, "{uid:5} {gid:5} {cuid:5} {cgid:5} {:10} {:10}\n", one.otime, one.ctime);
    }
    Ok(())
}

fn msg(proc: &Proc, who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    text!(
        out,
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      \
         rtime      ctime\n"
    );
    for one in ipc_of(&proc.kernel, who)?.msg.ids.list() {
        let [uid, gid, cuid, cgid] = owners(who, &one.perm);
        let (key, mode) = (one.perm.key, one.perm.mode);
        text!(out, "{key:10} {:10}  {mode:4o}  {:10} {:10} ", one.id, one.bytes, one.messages);
        text!(out, "{:5} {:5} {uid:5} {gid:5} {cuid:5} {cgid:5} ", one.lspid, one.lrpid);
        text!(out, "{:10} {:10} {:10}\n", one.stime, one.rtime, one.ctime);
    }
    Ok(())
}

/// The four numbers of kernel.sem, in their order.
fn sem_limits(ipc: &IpcNamespace) -> [&Tunable; 4] {
    [&ipc.sem.semmsl, &ipc.sem.semmns, &ipc.sem.semopm, &ipc.sem.semmni]
}

fn show_sem(proc: &Proc, who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let ipc = ipc_of(&proc.kernel, who)?;
    let [msl, mns, opm, mni] = sem_limits(&ipc).map(Tunable::get);
    text!(out, "{msl}\t{mns}\t{opm}\t{mni}\n");
    Ok(())
}

fn set_sem(proc: &Proc, who: &dyn Caller, data: &[u8]) -> SysResult<()> {
    let ipc = ipc_of(&proc.kernel, who)?;
    let words = data.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let values: Vec<u64> = words.map(parse_number).collect::<SysResult<_>>()?;
    if values.len() > 4 {
        return Err(Errno::EINVAL);
    }
    sem_limits(&ipc).iter().zip(values).try_for_each(|(limit, value)| limit.set(value))
}
