//! POSIX message queues: mq_open(2) and its relatives (ipc/mqueue.c, Linux v6.18).

use std::sync::{Arc, Weak};

use abi_linux::fs::OpenFlags;
use abi_linux::signal::Signal;
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_base::reg::Fd;
use kernel_base::user::{UserCStr, UserRef};
use kernel_fs::mqueue;
use kernel_ipc::mqueue::{
    Attributes, Maker, Notification, NotifyKind, PRIORITY_MAX, PosixQueue, Sender, Waiting,
};
use kernel_net::SocketFile;
use kernel_net::netlink::NetlinkSocket;
use kernel_task::limits::Resource;
use kernel_task::process::Process;
use kernel_vfs::file::File;
use kernel_vfs::path::Path;
use platform_api::{SignalInfo, SignalTarget};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::cx::Cx;

const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD: i32 = 2;
/// `si_code` of a notification (SI_MESGQ).
const SI_MESGQ: i32 = -3;
/// The cookie of SIGEV_THREAD, and what its last byte says (include/linux/mqueue.h).
const COOKIE_LEN: usize = 32;
const NOTIFY_WOKENUP: u8 = 1;
const NOTIFY_REMOVED: u8 = 2;
/// What of open(2)'s flags means something to a queue.
/// What the name keeps of it, and what the queue's open file shows afterwards (do_mq_open takes all).
const OPEN_KNOWN: OpenFlags = OpenFlags::all().union(OpenFlags::from_bits_retain(3));

/// `struct mq_attr`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct MqAttr {
    flags: i64,
    maxmsg: i64,
    msgsize: i64,
    curmsgs: i64,
    reserved: [i64; 4],
}

/// `struct sigevent`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct SigEvent {
    value: u64,
    signo: i32,
    notify: i32,
    rest: [u64; 6],
}

fn root(cx: &Cx) -> Path {
    mqueue::root_of(&cx.process.ipc(), &cx.kernel().platform)
}

/// The queue behind a descriptor; EBADF for other files.
fn queue_of(file: &File) -> SysResult<&Arc<PosixQueue>> {
    mqueue::queue_of(file).ok_or(Errno::EBADF)
}

/// A queue's name (getname): ENOENT for an empty one.
fn read_name(cx: &Cx, name: UserCStr) -> SysResult<Vec<u8>> {
    let name = cx.mem().read_path(name)?;
    if name.is_empty() { Err(Errno::ENOENT) } else { Ok(name) }
}

fn waiting(file: &File) -> Waiting {
    if file.is_nonblocking() { Waiting::No } else { Waiting::Allowed }
}

/// mq_open(2). The descriptor is close-on-exec whatever the flags say.
pub(crate) fn sys_mq_open(cx: &Cx, name: UserCStr, oflag: u32, mode: u32, attr: u64) -> SysResult<Fd> {
    let attr = UserRef::<MqAttr>::new(attr).non_null().map(|at| cx.mem().read(at)).transpose()?;
    let name = read_name(cx, name)?;
    cx.process.files.check_room(cx.process.limits.files())?;
    // Negative numbers are none (EINVAL below), as 0.
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    let wanted =
        attr.map(|attr| Attributes { max_messages: number(attr.maxmsg), message_size: number(attr.msgsize) });
    let creds = cx.credentials();
    let maker = Maker {
        ruid: creds.ruid,
        limit: cx.process.limits.get(Resource::Msgqueue).soft,
        is_privileged: creds.has(Cap::SYS_RESOURCE),
    };
    let root = root(cx);
    let flags = OpenFlags::from_bits_retain(oflag) & OPEN_KNOWN;
    let file = cx.with_walk(|walk| {
        walk.open_child(&root, &name, flags, mode, |node| mqueue::create(&root, &name, node, wanted, maker))
    })?;
    if flags.contains(OpenFlags::DIRECT) {
        // No queue can be read past a cache (do_dentry_open).
        return Err(Errno::EINVAL);
    }
    cx.install(file, true)
}

/// mq_unlink(2).
pub(crate) fn sys_mq_unlink(cx: &Cx, name: UserCStr) -> SysResult<()> {
    let name = read_name(cx, name)?;
    cx.with_walk(|walk| walk.unlink_child(&root(cx), &name))
}

/// A time of the real-time clock as one of the monotonic clock; EINVAL for what is none.
fn deadline(cx: &Cx, timeout: UserRef<Timespec>) -> SysResult<Option<u64>> {
    let Some(at) = timeout.non_null() else { return Ok(None) };
    let at = cx.mem().read(at)?.to_ns().ok_or(Errno::EINVAL)?;
    let left = at.saturating_sub(cx.now_realtime_ns());
    Ok(Some(cx.kernel().timers.now_ns().saturating_add(left)))
}

/// mq_timedsend(2).
pub(crate) async fn sys_mq_timedsend(
    cx: &Cx,
    fd: Fd,
    at: u64,
    len: usize,
    priority: u32,
    timeout: UserRef<Timespec>,
) -> SysResult<()> {
    let deadline = deadline(cx, timeout)?;
    if priority >= PRIORITY_MAX {
        return Err(Errno::EINVAL);
    }
    let file = cx.file(fd)?;
    let queue = queue_of(&file)?;
    file.check_writable()?;
    if len as u64 > queue.attributes().message_size {
        return Err(Errno::EMSGSIZE);
    }
    let mut text = vec![0; len];
    cx.mem().read_bytes(at, &mut text)?;
    let from = Sender { pid: cx.process.pid, ruid: cx.credentials().ruid };
    let sent = queue.send(text.into(), priority, waiting(&file), from);
    cx.kernel().timers.limit(deadline, sent).await.ok_or(Errno::ETIMEDOUT)?
}

/// mq_timedreceive(2).
pub(crate) async fn sys_mq_timedreceive(
    cx: &Cx,
    fd: Fd,
    at: u64,
    len: usize,
    priority_at: UserRef<u32>,
    timeout: UserRef<Timespec>,
) -> SysResult<usize> {
    let deadline = deadline(cx, timeout)?;
    let file = cx.file(fd)?;
    let queue = queue_of(&file)?;
    file.check_readable()?;
    if (len as u64) < queue.attributes().message_size {
        return Err(Errno::EMSGSIZE);
    }
    let received = queue.receive(waiting(&file));
    let (text, priority) = cx.kernel().timers.limit(deadline, received).await.ok_or(Errno::ETIMEDOUT)??;
    priority_at.non_null().map_or(Ok(()), |at| cx.mem().write(at, &priority))?;
    cx.mem().write_bytes(at, &text)?;
    Ok(text.len())
}

/// SIGEV_NONE.
struct Silent;

impl Notification for Silent {
    fn kind(&self) -> NotifyKind {
        NotifyKind::None
    }
    fn arrived(&self, _from: Sender) {}
    fn removed(&self) {}
}

/// SIGEV_SIGNAL; without a signal (0) nothing is sent.
struct BySignal {
    process: Weak<Process>,
    number: i32,
    value: u64,
}

impl Notification for BySignal {
    fn kind(&self) -> NotifyKind {
        NotifyKind::Signal(self.number)
    }
    fn arrived(&self, _from: Sender) {
        let (Some(process), Some(signal)) = (self.process.upgrade(), Signal::new(self.number)) else {
            return;
        };
        let kernel = &process.kernel;
        let info = SignalInfo::Queue { code: SI_MESGQ, errno: 0, value: self.value };
        if kernel.platform.queue_signal(SignalTarget::Process(process.tgid), signal, info).is_ok() {
            kernel.check_signals(&process);
        }
    }
    fn removed(&self) {}
}

/// SIGEV_THREAD: the cookie goes to a netlink socket.
struct ByCookie {
    socket: Arc<File>,
    cookie: [u8; COOKIE_LEN],
}

impl ByCookie {
    fn tell(&self, what: u8) {
        let mut message = self.cookie;
        message[COOKIE_LEN - 1] = what;
        if let Ok(socket) = netlink_of(&self.socket) {
            socket.deliver(Box::from(message));
        }
    }
}

impl Notification for ByCookie {
    fn kind(&self) -> NotifyKind {
        NotifyKind::Thread
    }
    fn arrived(&self, _from: Sender) {
        self.tell(NOTIFY_WOKENUP);
    }
    fn removed(&self) {
        self.tell(NOTIFY_REMOVED);
    }
}

/// netlink_getsockbyfd: ENOTSOCK, EINVAL for a socket of another family.
fn netlink_of(file: &File) -> SysResult<&NetlinkSocket> {
    SocketFile::of(file)?.socket().as_any().downcast_ref().ok_or(Errno::EINVAL)
}

fn notification(cx: &Cx, event: SigEvent) -> SysResult<Arc<dyn Notification>> {
    match event.notify {
        SIGEV_NONE => Ok(Arc::new(Silent)),
        SIGEV_SIGNAL if event.signo == 0 || Signal::new(event.signo).is_some() => {
            let process = Arc::downgrade(&cx.process);
            Ok(Arc::new(BySignal { process, number: event.signo, value: event.value }))
        }
        SIGEV_THREAD => {
            let mut cookie = [0; COOKIE_LEN];
            cx.mem().read_bytes(event.value, &mut cookie)?;
            let socket = cx.file(Fd(event.signo))?;
            netlink_of(&socket)?;
            Ok(Arc::new(ByCookie { socket, cookie }))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// mq_notify(2). Without an event the caller's own registration ends; that of another is left alone.
pub(crate) fn sys_mq_notify(cx: &Cx, fd: Fd, event: u64) -> SysResult<()> {
    let event = UserRef::<SigEvent>::new(event).non_null().map(|at| cx.mem().read(at)).transpose()?;
    let how = event.map(|event| notification(cx, event)).transpose()?;
    let file = cx.file(fd)?;
    let queue = queue_of(&file)?;
    match how {
        Some(how) => queue.register(cx.process.pid, how)?,
        None => queue.unregister(cx.process.pid),
    }
    mqueue::touch(&file);
    Ok(())
}

/// mq_getsetattr(2): O_NONBLOCK is all that can be set.
pub(crate) fn sys_mq_getsetattr(cx: &Cx, fd: Fd, new: u64, old: u64) -> SysResult<()> {
    let nonblock = i64::from(OpenFlags::NONBLOCK.bits());
    let new = UserRef::<MqAttr>::new(new).non_null().map(|at| cx.mem().read(at)).transpose()?;
    if new.is_some_and(|new| new.flags & !nonblock != 0) {
        return Err(Errno::EINVAL);
    }
    let file = cx.file(fd)?;
    let queue = queue_of(&file)?;
    let (Attributes { max_messages, message_size }, status) = (queue.attributes(), queue.status());
    let now = MqAttr {
        flags: i64::from((file.flags() & OpenFlags::NONBLOCK).bits()),
        maxmsg: max_messages as i64,
        msgsize: message_size as i64,
        curmsgs: status.messages as i64,
        reserved: [0; 4],
    };
    if let Some(new) = new {
        let mut flags = file.flags();
        flags.set(OpenFlags::NONBLOCK, new.flags & nonblock != 0);
        file.set_status_flags(flags);
        mqueue::touch(&file);
    }
    UserRef::new(old).non_null().map_or(Ok(()), |at| cx.mem().write(at, &now))
}
