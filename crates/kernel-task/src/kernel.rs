//! A container's userspace kernel: what all its processes share.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use abi_linux::{Errno, SysResult};
use kernel_base::sync::{Mutex, RwLock};
use kernel_base::timer::Timers;
use kernel_base::tunable::Tunable;
use kernel_base::user_ns::UserNamespace;
use kernel_base::wait::WaitQueue;
use kernel_net::NetNamespace;
use kernel_vfs::filesystem::{FileSystemType, FileSystemTypes};
use kernel_vfs::notify::Accounts;
use platform_api::{HostTid, Platform, Restart, Syscall};
use rustc_hash::FxHashMap;

use crate::dead::Dead;
use crate::mapped::MappedFiles;
use crate::namespaces::{IpcNamespace, UtsNamespace};
use crate::orphan::OrphanSnapshot;
use crate::process::Process;
use crate::task::{Task, comm_from};

/// Host and domain name (uts_namespace), at most 64 bytes each.
#[derive(Clone, Debug)]
pub struct Uts {
    pub hostname: Vec<u8>,
    pub domainname: Vec<u8>,
}

/// A call that waits.
#[derive(Clone, Copy, Debug)]
pub struct ParkedCall {
    pub call: Syscall,
    /// Monotonic time from which on it has waited.
    pub since_ns: u64,
}

/// The parked calls, as the signal code needs them. kernel-syscalls implements it over its executor.
pub trait ParkedCalls: Send + Sync {
    /// The call that a thread waits in.
    fn parked(&self, tid: HostTid) -> Option<Syscall>;
    /// Drops it, so that somebody else can answer it.
    fn cancel(&self, tid: HostTid) -> Option<Syscall>;
    /// All of them.
    fn all(&self) -> Vec<ParkedCall>;
    /// How a call restarts after a signal.
    fn restart_of(&self, nr: i32) -> Restart;
}

/// How the container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// exit_group(2) with this code, 0 to 255.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
}

/// Makes a network namespace, on the thread that needs it first.
pub type NetMaker = Box<dyn Fn() -> Arc<NetNamespace> + Send + Sync>;

/// What the container's owner wants to hear.
pub trait ContainerEvents: Send + Sync {
    /// The main child of an init (`palisade do`) became the foreground job.
    fn attached(&self, pid: i32);
    /// It was stopped by a signal.
    fn stopped(&self, pid: i32, signal: i32);
    /// It goes on.
    fn continued(&self, pid: i32);
    /// The leader of a session is dead.
    fn session_ended(&self, sid: i32);
    /// The container's program ended.
    fn finished(&self, status: ExitStatus);
}

/// The system that guests see (uname(2), /proc/version): the ABI promised is Linux 6.18's.
pub const RELEASE: &str = "6.18.0-palisade";
/// uname(2)'s version.
pub const VERSION: &str = "#1 SMP PREEMPT_DYNAMIC";

/// All threads, by host id.
type TaskMap = FxHashMap<HostTid, Arc<Task>>;

/// Reports of panics that are kept.
const MOST_REPORTS: usize = 8;

impl Counts {
    /// A handler has panicked.
    pub fn note_panic(&self, report: String) {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let mut reports = self.panic_reports.lock();
        if reports.len() == MOST_REPORTS {
            reports.remove(0);
        }
        reports.push(report);
    }
}

/// What the container's owner wants to know of: counted whether somebody looks or not.
#[derive(Debug, Default)]
pub struct Counts {
    /// Calls of the native kind whose registers were refused.
    pub gate_refusals: AtomicU64,
    /// Handlers that panicked: bugs of ours.
    pub panics: AtomicU64,
    /// What is known of the last of them.
    pub panic_reports: Mutex<Vec<String>>,
}

/// One container's kernel.
pub struct Kernel {
    pub platform: Arc<dyn Platform>,
    pub timers: Arc<Timers>,
    /// Host name of the container's own UTS namespace.
    pub uts: Arc<UtsNamespace>,
    /// The container's own IPC namespace.
    pub ipc: Arc<IpcNamespace>,
    /// Deadline-free state of the container's owner.
    pub events: OnceLock<Arc<dyn ContainerEvents>>,
    parked: OnceLock<Arc<dyn ParkedCalls>>,
    /// Woken when signals may have come to some process: what reads of signalfds wait for.
    pub signal_arrivals: WaitQueue,
    pub(crate) dead: Dead,
    /// Threads by host id; a process is found through its leader's entry in `processes`.
    pub(crate) tasks: RwLock<TaskMap>,
    processes: RwLock<FxHashMap<HostTid, Arc<Process>>>,
    by_pid: RwLock<HashMap<i32, Arc<Process>>>,
    pub(crate) orphan_snapshots: Mutex<Vec<OrphanSnapshot>>,
    /// Held while a new thread or process is introduced, so that it is introduced once. The outermost lock,
    /// and the only one under which the host is asked.
    pub(crate) discovery: Mutex<()>,
    pub(crate) is_finished: AtomicBool,
    /// The filesystem instance of memfd_create(2), made with the first file; kernel-syscalls knows its type.
    pub memory_files: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// fs.pipe-max-size: most that F_SETPIPE_SZ gives an ordinary user.
    pub pipe_max_size: Tunable,
    /// Limits of inotify and what its users have.
    pub inotify: Arc<Accounts>,
    /// Names of mapped files in memory.
    pub mapped_files: MappedFiles,
    /// The network namespace; made with the first socket unless the pod has set one.
    pub net: OnceLock<Arc<NetNamespace>>,
    /// Makes it, where it is not lo alone.
    net_maker: OnceLock<NetMaker>,
    /// Logins so far (the audit session ids of /proc/pid/sessionid).
    pub logins: AtomicU32,
    /// What guests wrote to /proc/sys, by path, where it is kept without an effect: /proc knows which may be.
    pub sysctls: Mutex<BTreeMap<&'static str, String>>,
    /// What the runtime limits the container to, as files of its cgroup show it: by name, where it is not the default.
    pub cgroup_files: RwLock<BTreeMap<String, String>>,
    /// /proc/sys/kernel/random/boot_id, made when it is first read.
    pub boot_id: OnceLock<String>,
    /// Types of filesystems that guests may mount.
    pub filesystems: OnceLock<FileSystemTypes>,
    pub counts: Counts,
    /// Monotonic time of the container's start.
    pub boot_ns: u64,
}

impl Kernel {
    /// A kernel without processes, with namespaces of its own.
    #[must_use]
    pub fn new(platform: Arc<dyn Platform>, uts: Uts) -> Arc<Self> {
        let user_ns = UserNamespace::initial();
        Self::within(platform, UtsNamespace::initial(uts, user_ns), IpcNamespace::initial(user_ns))
    }

    /// A kernel without processes in these namespaces, which may be those of another container.
    #[must_use]
    pub fn within(platform: Arc<dyn Platform>, uts: Arc<UtsNamespace>, ipc: Arc<IpcNamespace>) -> Arc<Self> {
        let timers = Arc::new(Timers::new(Arc::clone(&platform)));
        let boot_ns = timers.now_ns();
        Arc::new(Self {
            platform,
            timers,
            uts,
            ipc,
            events: OnceLock::new(),
            parked: OnceLock::new(),
            signal_arrivals: WaitQueue::new(),
            dead: Dead::default(),
            tasks: RwLock::default(),
            processes: RwLock::default(),
            by_pid: RwLock::default(),
            orphan_snapshots: Mutex::default(),
            discovery: Mutex::default(),
            is_finished: AtomicBool::new(false),
            memory_files: OnceLock::new(),
            net: OnceLock::new(),
            net_maker: OnceLock::new(),
            pipe_max_size: Tunable::new(1 << 20, 4096, i32::MAX as u64),
            inotify: Arc::default(),
            mapped_files: MappedFiles::default(),
            logins: AtomicU32::new(0),
            sysctls: Mutex::default(),
            cgroup_files: RwLock::default(),
            boot_id: OnceLock::new(),
            filesystems: OnceLock::new(),
            counts: Counts::default(),
            boot_ns,
        })
    }

    /// The network namespace of its processes.
    #[must_use]
    pub fn net(&self) -> &Arc<NetNamespace> {
        self.net.get_or_init(|| self.net_maker.get().map_or_else(NetNamespace::new, |make| make()))
    }

    /// Says what makes the network namespace; once, before there is one.
    pub fn set_net_maker(&self, make: NetMaker) {
        let _ = self.net_maker.set(make);
    }

    /// The type of filesystem with this name; ENODEV.
    pub fn filesystem(&self, name: &[u8]) -> SysResult<&Arc<dyn FileSystemType>> {
        let mut all = self.filesystems.get().into_iter().flatten();
        all.find(|kind| kind.name().as_bytes() == name).ok_or(Errno::ENODEV)
    }

    /// Says where calls are parked; once.
    pub fn set_parked_calls(&self, parked: Arc<dyn ParkedCalls>) {
        let _ = self.parked.set(parked);
    }

    /// All calls that wait.
    #[must_use]
    pub fn waiting(&self) -> Vec<ParkedCall> {
        self.parked.get().map(|parked| parked.all()).unwrap_or_default()
    }

    pub(crate) fn parked_calls(&self) -> Option<&Arc<dyn ParkedCalls>> {
        self.parked.get()
    }

    /// The thread with this host id, if it has been seen.
    #[must_use]
    pub fn known_task(&self, tid: HostTid) -> Option<Arc<Task>> {
        self.tasks.read().get(&tid).cloned()
    }

    /// The thread that made a call; introduces it when it is new. ESRCH when it is gone.
    pub fn task(self: &Arc<Self>, tid: HostTid) -> SysResult<Arc<Task>> {
        match self.known_task(tid) {
            Some(task) => {
                if task.recheck.load(Ordering::Relaxed) {
                    task.recheck.store(false, Ordering::Relaxed);
                    self.recheck_signalled(&task);
                    self.recheck_waited(&task);
                }
                Ok(task)
            }
            None => self.discover(tid),
        }
    }

    pub(crate) fn knows(&self, tgid: HostTid) -> bool {
        self.processes.read().contains_key(&tgid)
    }

    pub(crate) fn process_by_host(&self, tgid: HostTid) -> Option<Arc<Process>> {
        self.processes.read().get(&tgid).cloned()
    }

    /// The process with this id inside the container, alive.
    #[must_use]
    pub fn process(self: &Arc<Self>, pid: i32) -> Option<Arc<Process>> {
        let known = self.known_process(pid);
        if known.is_none() && pid > 0 {
            self.find_newborns();
            return self.known_process(pid);
        }
        known
    }

    fn known_process(&self, pid: i32) -> Option<Arc<Process>> {
        self.by_pid.read().get(&pid).cloned()
    }

    pub(crate) fn tasks_with_pending_fork(&self) -> Vec<Arc<Task>> {
        let tasks = self.tasks.read();
        tasks.values().filter(|task| task.pending_fork.lock().is_some()).cloned().collect()
    }

    /// The container's first process.
    #[must_use]
    pub fn init(&self) -> Option<Arc<Process>> {
        self.known_process(1)
    }

    /// All processes, in order of their ids.
    #[must_use]
    pub fn processes(self: &Arc<Self>) -> Vec<Arc<Process>> {
        self.find_newborns();
        let mut all: Vec<_> = self.by_pid.read().values().cloned().collect();
        all.sort_by_key(|process| process.pid);
        all
    }

    /// The thread with this id inside the container.
    #[must_use]
    pub fn task_by_guest_tid(self: &Arc<Self>, tid: i32) -> Option<Arc<Task>> {
        if let Some(process) = self.process(tid) {
            return process.any_task();
        }
        self.tasks.read().values().find(|task| task.guest_tid == tid).cloned()
    }

    pub(crate) fn register(&self, process: &Arc<Process>, comm: [u8; 16]) {
        self.processes.write().insert(process.tgid, Arc::clone(process));
        self.by_pid.write().insert(process.pid, Arc::clone(process));
        let leader = Task::new(process.tgid, process.pid, Arc::clone(process), comm);
        process.tasks.lock().push(Arc::clone(&leader));
        self.tasks.write().insert(process.tgid, leader);
        if let Err(error) = self.platform.watch_exit(process.tgid) {
            tracing::debug!(tgid = process.tgid, %error, "process died before it could be watched");
        }
    }

    pub(crate) fn add_task(&self, tid: HostTid, guest_tid: i32, process: &Arc<Process>) -> Arc<Task> {
        let comm = process.any_task().map_or_else(|| comm_from(b""), |task| task.comm());
        let task = Task::new(tid, guest_tid, Arc::clone(process), comm);
        process.tasks.lock().push(Arc::clone(&task));
        self.tasks.write().insert(tid, Arc::clone(&task));
        task
    }

    /// Drops what a dying thread waits in.
    pub(crate) fn cancel_call(&self, task: &Task) {
        if let Some(parked) = self.parked_calls() {
            parked.cancel(task.tid);
        }
    }

    /// Forgets a thread.
    pub(crate) fn remove_task(&self, task: &Task) {
        self.cancel_call(task);
        self.keep_orphan_snapshot(task);
        let mut tasks = self.tasks.write();
        if tasks.get(&task.tid).is_some_and(|known| std::ptr::eq(&raw const **known, task)) {
            tasks.remove(&task.tid);
        }
        drop(tasks);
        if task.is_leader() {
            *task.process.last_comm.lock() = task.comm();
        }
        task.process.tasks.lock().retain(|known| !std::ptr::eq(&raw const **known, task));
    }

    /// Forgets a process.
    pub(crate) fn remove_process(&self, process: &Arc<Process>) {
        for task in process.tasks() {
            self.remove_task(&task);
        }
        let mut processes = self.processes.write();
        if processes.get(&process.tgid).is_some_and(|known| Arc::ptr_eq(known, process)) {
            processes.remove(&process.tgid);
        }
        drop(processes);
        let mut by_pid = self.by_pid.write();
        if by_pid.get(&process.pid).is_some_and(|known| Arc::ptr_eq(known, process)) {
            by_pid.remove(&process.pid);
        }
    }
}
