//! A thread group of a guest.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use kernel_base::cred::Credentials;
use kernel_base::sync::{Mutex, RwLock};
use kernel_base::wait::WaitQueue;
use kernel_ipc::sem::UndoList;
use kernel_ipc::shm::Attachments;
use kernel_vfs::mount::MountNamespace;
use platform_api::HostTid;

use crate::aio::AioContexts;
use crate::exec::{ExecState, Image};
use crate::fd_table::FdTable;
use crate::fork::ForkSnapshot;
use crate::fs::Fs;
use crate::itimer::RealTimer;
use crate::kernel::Kernel;
use crate::limits::Limits;
use crate::namespaces::{Changed, Namespaces};
use crate::posix_timer::PosixTimers;
use crate::seccomp::{Filter, Mode};
use crate::settings::Settings;
use crate::shareable::Shareable;
use crate::signal_actions::SignalActions;
use crate::task::Task;
use crate::thread_credentials::CredentialSlot;

/// What a container's kernel keeps of a process.
pub struct Process {
    /// The container's kernel.
    pub kernel: Arc<Kernel>,
    /// Host id of the leader.
    pub tgid: HostTid,
    /// Process id inside the container.
    pub pid: i32,
    /// Open descriptors, shared by all threads.
    pub files: FdTable,
    /// Root, working directory, umask. A path walk keeps those that it started with.
    pub fs: Fs,
    /// Those of the leader, by which others judge the process.
    pub(crate) credentials: CredentialSlot,
    namespaces: RwLock<Arc<Namespaces>>,
    /// Those of threads that have made no call yet.
    pub(crate) newborn_credentials: RwLock<Arc<Credentials>>,
    pub(crate) newborn_seccomp: Mutex<Mode>,
    /// What the runtime wants its first image to run under.
    pub(crate) start_filter: Mutex<Option<Arc<Filter>>>,
    /// Resource limits.
    pub limits: Limits,
    /// The running program.
    pub image: RwLock<Arc<Image>>,
    /// Threads that have been seen.
    pub(crate) tasks: Mutex<Vec<Arc<Task>>>,
    /// The leader's name, once it has ended.
    pub(crate) last_comm: Mutex<[u8; 16]>,
    pub(crate) parent: Mutex<Weak<Process>>,
    pub(crate) children: Mutex<Vec<Weak<Process>>>,
    pub(crate) pgid: AtomicI32,
    pub(crate) sid: AtomicI32,
    pub(crate) exec: Mutex<ExecState>,
    /// Host fd numbers that mmap installed and that the host has to close with the guest's.
    pub(crate) mapped_fds: Mutex<Vec<i32>>,
    /// Shared memory that its address space has attached.
    pub(crate) shm: Mutex<Arc<Attachments>>,
    /// What its end does to semaphores.
    pub sem_undo: UndoList,
    /// Exiting: its ids may be used again by the host at any time.
    pub(crate) dying: AtomicBool,
    /// Until when (monotonic ns) a signal may be on its way: parking calls look.
    pub(crate) signal_hint_until: AtomicU64,
    /// ITIMER_REAL.
    pub real_timer: Arc<RealTimer>,
    /// Handlers that the host does not have as the guest installed them.
    pub(crate) signal_actions: Shareable<SignalActions>,
    /// The host says that it is dead.
    pub(crate) exited: AtomicBool,
    /// Held while its death is written down.
    pub(crate) burial: Mutex<()>,
    /// Woken by its death.
    pub exit_queue: WaitQueue,
    /// timer_create(2).
    pub posix_timers: PosixTimers,
    /// Contexts of asynchronous I/O.
    pub aio: AioContexts,
    /// PR_SET_CHILD_SUBREAPER.
    pub child_subreaper: AtomicBool,
    /// Has called execve since its fork (setpgid of a child answers EACCES then).
    pub did_exec: AtomicBool,
    /// PR_SET_DUMPABLE.
    pub dumpable: AtomicU32,
    /// personality(2): kept; PER_LINUX32 changes what uname(2) says, STICKY_TIMEOUTS what select(2) writes.
    pub personality: AtomicU32,
    /// What /proc takes.
    pub settings: Settings,
    /// PR_SET_PDEATHSIG of the container's first process, whose real one ends the sandbox.
    pub death_signal: AtomicI32,
    /// Monotonic time of its start.
    pub start_ns: u64,
}

/// What a new process starts from.
pub(crate) struct Birth {
    pub tgid: HostTid,
    pub pid: i32,
    pub parent: Weak<Process>,
    pub start_ns: u64,
}

impl Process {
    pub(crate) fn new(kernel: Arc<Kernel>, birth: Birth, from: ForkSnapshot) -> Arc<Self> {
        let tgid = birth.tgid;
        let namespaces = from.namespaces.unwrap_or_else(|| {
            let mount = Arc::clone(&from.fs.get().root.mount);
            let mnt = mount.namespace().unwrap_or_else(|| MountNamespace::new(mount));
            Namespaces::initial(mnt, &kernel.uts, &kernel.ipc)
        });
        Arc::new(Self {
            real_timer: RealTimer::new(Arc::downgrade(&kernel), tgid),
            kernel,
            tgid,
            pid: birth.pid,
            files: from.files,
            fs: from.fs,
            namespaces: RwLock::new(namespaces),
            newborn_seccomp: Mutex::new(from.seccomp),
            start_filter: Mutex::default(),
            newborn_credentials: RwLock::new(Arc::clone(&from.credentials)),
            credentials: Arc::new(RwLock::new(from.credentials)),
            limits: from.limits,
            image: RwLock::new(from.image),
            tasks: Mutex::default(),
            last_comm: Mutex::default(),
            parent: Mutex::new(birth.parent),
            children: Mutex::default(),
            pgid: AtomicI32::new(from.pgid),
            sid: AtomicI32::new(from.sid),
            exec: Mutex::new(from.exec),
            mapped_fds: Mutex::new(from.mapped_fds),
            shm: Mutex::new(from.shm),
            sem_undo: UndoList::default(),
            dying: AtomicBool::new(false),
            signal_hint_until: AtomicU64::new(0),
            signal_actions: from.signal_actions,
            exited: AtomicBool::new(false),
            burial: Mutex::default(),
            exit_queue: WaitQueue::new(),
            posix_timers: PosixTimers::default(),
            aio: AioContexts::default(),
            child_subreaper: AtomicBool::new(false),
            did_exec: AtomicBool::new(false),
            dumpable: AtomicU32::new(from.dumpable),
            personality: AtomicU32::new(from.personality),
            settings: from.settings,
            death_signal: AtomicI32::new(0),
            start_ns: birth.start_ns,
        })
    }

    /// The leader's credentials.
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        Arc::clone(&self.credentials.read())
    }

    /// Replaces the credentials of a process that has one thread.
    pub fn set_credentials(&self, credentials: Credentials) {
        let credentials = Arc::new(credentials);
        *self.newborn_credentials.write() = Arc::clone(&credentials);
        *self.credentials.write() = credentials;
    }

    /// The namespaces that it is in.
    #[must_use]
    pub fn namespaces(&self) -> Arc<Namespaces> {
        Arc::clone(&self.namespaces.read())
    }

    /// Moves it, which has one thread, into other namespaces: unshare(2), setns(2).
    pub fn change_namespaces(&self, changed: Changed) {
        self.set_credentials(changed.credentials);
        if !Arc::ptr_eq(&changed.namespaces.ipc, &self.namespaces().ipc) {
            // ksys_unshare: CLONE_NEWIPC implies CLONE_SYSVSEM.
            self.undo_semaphores();
        }
        let old = std::mem::replace(&mut *self.namespaces.write(), Arc::new(changed.namespaces));
        if !Arc::ptr_eq(&old.mnt, &self.namespaces().mnt) {
            drop(self.fs.replace(changed.fs));
        }
        // Outside the locks: these may hold the last references to mounts.
        drop(old);
    }

    /// Process group id.
    #[must_use]
    pub fn pgid(&self) -> i32 {
        self.pgid.load(Ordering::Relaxed)
    }

    /// Session id.
    #[must_use]
    pub fn sid(&self) -> i32 {
        self.sid.load(Ordering::Relaxed)
    }

    /// The session whose terminal it has; 0 when it gave it up.
    #[must_use]
    pub fn terminal_session(&self) -> i32 {
        if self.settings.without_terminal.load(Ordering::Relaxed) { 0 } else { self.sid() }
    }

    /// The parent's process id; 0 for the container's first process.
    #[must_use]
    pub fn ppid(&self) -> i32 {
        self.parent().map_or(0, |parent| parent.pid)
    }

    /// The parent, `None` for the container's first process.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Self>> {
        self.parent.lock().upgrade()
    }

    /// Children that are alive.
    #[must_use]
    pub fn children(&self) -> Vec<Arc<Self>> {
        self.children.lock().iter().filter_map(Weak::upgrade).filter(|child| !child.is_dying()).collect()
    }

    /// Threads that have been seen.
    #[must_use]
    pub fn tasks(&self) -> Vec<Arc<Task>> {
        self.tasks.lock().clone()
    }

    /// The leader's task, or any while the leader has exited.
    #[must_use]
    pub fn any_task(&self) -> Option<Arc<Task>> {
        let tasks = self.tasks.lock();
        tasks.iter().find(|task| task.is_leader()).or(tasks.first()).cloned()
    }

    /// Its name: the leader's, which it keeps as a zombie.
    #[must_use]
    pub fn comm(&self) -> [u8; 16] {
        self.any_task().map_or_else(|| *self.last_comm.lock(), |task| task.comm())
    }

    /// Whether it is on its way out.
    #[must_use]
    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::Relaxed)
    }

    /// Notes that the host's table now holds a file at `number`.
    pub fn note_mapped_fd(&self, number: i32) {
        let mut mapped = self.mapped_fds.lock();
        if !mapped.contains(&number) {
            mapped.push(number);
        }
    }

    /// Whether the host's table held a file at `number`; it is then up to the caller to have it closed.
    pub fn forget_mapped_fd(&self, number: i32) -> bool {
        let mut mapped = self.mapped_fds.lock();
        let found = mapped.iter().position(|&n| n == number);
        found.map(|at| mapped.swap_remove(at)).is_some()
    }
}
