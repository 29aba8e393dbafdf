//! A container: made, started, joined by further processes, ended.
//!
//! It belongs to the thread that made it, which then delivers its events until its init is dead
//! ([`Container::deliver`]); everything else may be called from any thread.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use host_seccomp::SockFilter;
use kernel_base::sync::Mutex;
use kernel_base::user_ns::UserNamespace;
use kernel_fs::tty::PtyMaster;
use kernel_syscalls::{Engine, Observers};
use kernel_task::kernel::{ExitStatus, Uts};
use kernel_task::namespaces::{IpcNamespace, UtsNamespace};
use kernel_task::{Kernel, Process};
use platform_api::{HostTid, Platform};
use platform_notify::home::Home;
use platform_notify::maker::Maker;
use platform_notify::{Ending, GuestIds, Instruction, Joined, NotifyPlatform, SpawnError, SpawnSpec, Step};
use runtime_control::observe::{Depth, Inspection, Stats, TraceFilter};
use runtime_control::{Place as HostPlace, Places, State, WindowSize};
use runtime_oci::cgroup::Cgroup;
use runtime_oci::{ContainerSpec, MountKind, ProcessSpec};

use crate::beside::{self, Beside};
use crate::console::Console;
use crate::credentials;
use crate::error::Error;
use crate::group::Group;
use crate::jobs::Jobs;
use crate::launch::{self, Place, Sandbox};
use crate::life::Life;
use crate::network;
use crate::observe::LiveTrace;
use crate::observe::inspect;
use crate::observe::security::Monitor;
use crate::observe::stats::Counters;
use crate::observe::strace::{self, TraceTo};
use crate::owner::Owner;
use crate::pod::Shared;
use crate::publish::{self, Published, Publisher};
use crate::settings;
use crate::stdio::Streams;
use crate::trees::Trees;

/// Worker threads of a listener: one is hot, the other takes over while it is in a long host call.
pub(crate) const WORKERS: usize = 2;

/// How a container is to be made, apart from its specification.
pub(crate) struct Making {
    pub(crate) streams: Streams,
    /// The first size of its terminal, where that is behind a pty of the host.
    pub(crate) size: Option<WindowSize>,
    pub(crate) cgroup: Option<Cgroup>,
    /// Who makes its processes, where this process may not.
    pub(crate) maker: Option<Arc<Maker>>,
    pub(crate) trace: Option<TraceTo>,
    /// What of the host's files it needs.
    pub(crate) places: Places,
    pub(crate) home: Arc<Home>,
}

/// A container.
pub(crate) struct Container {
    spec: ContainerSpec,
    filter: Vec<Instruction>,
    ids: GuestIds,
    pub(crate) cgroup: Option<Group>,
    maker: Option<Arc<Maker>>,
    pub(crate) home: Arc<Home>,
    /// Until it is forgotten.
    trees: Mutex<Option<Trees>>,
    pub(crate) platform: Arc<NotifyPlatform>,
    pub(crate) uts: Arc<UtsNamespace>,
    pub(crate) ipc: Arc<IpcNamespace>,
    pub(crate) user_ns: Arc<UserNamespace>,
    /// Where it has no process namespace of its own.
    beside: Option<Beside>,
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) engine: Engine,
    /// Who looks at its calls.
    pub(crate) observers: Arc<Observers>,
    /// Of its calls, and of their parts.
    counters: Counters,
    /// Threads that have something to write when it has ended.
    writers: Mutex<Vec<JoinHandle<()>>>,
    pub(crate) sandbox: Sandbox,
    /// The host's master of the first process's terminal, until somebody takes it.
    master: Mutex<Option<OwnedFd>>,
    pub(crate) init: Arc<Life>,
    joined: Mutex<BTreeMap<String, Option<Arc<Life>>>>,
    started: AtomicBool,
    /// Ports that are served from its start on.
    published: Mutex<Option<Published>>,
    publisher: Mutex<Publisher>,
}

impl Container {
    /// Makes a container on this thread, which has to deliver then.
    pub(crate) fn create(
        spec: ContainerSpec,
        mut making: Making,
        shared: Shared,
    ) -> Result<Arc<Self>, Error> {
        let rules = syscall_table::seccomp::plan(spec.strict);
        let program = host_seccomp::compile(&rules).map_err(Error::Filter)?;
        let filter: Vec<Instruction> = program.iter().map(instruction).collect();
        let ids = GuestIds { uid: spec.process.user.uid, gid: spec.process.user.gid };
        let names = Uts { hostname: spec.hostname.clone(), domainname: spec.domainname.clone() };
        let user_ns = shared.user.map_or_else(|| credentials::user_namespace(&spec), Ok)?;
        let uts = shared.uts.unwrap_or_else(|| UtsNamespace::initial(names, &user_ns));
        let ipc = shared.ipc.unwrap_or_else(|| IpcNamespace::initial(&user_ns));
        let places = &mut making.places;
        let group = making.cgroup.as_ref().map(|cgroup| Group::new(cgroup, places));
        let trees = Trees::hang(&spec, places, &making.home)?;
        let (cgroup, maker) = (group.as_ref(), making.maker.as_deref());
        let first = First { spec: &spec, filter: &filter, ids, cgroup, maker };
        if let Some(host) = &shared.pid {
            let joined = first.join(&host.platform, &spec.process)?;
            let place = Place {
                uts: &uts,
                ipc: &ipc,
                user_ns: &user_ns,
                terminals: Some(&host.sandbox.tree.terminals),
            };
            let pid = joined.pid();
            let sandbox = launch::launch_beside((&spec, &trees), &making.streams, &host.kernel, place, pid)?;
            let (console, master) =
                behind_pty(sandbox.terminal.as_ref(), making.size, &host.engine, &making.home)?;
            return Ok(Arc::new(Self {
                cgroup: group,
                maker: making.maker,
                home: making.home,
                trees: Mutex::new(Some(trees)),
                published: Mutex::new(None),
                publisher: Mutex::default(),
                platform: Arc::clone(&host.platform),
                beside: Some(Beside::new(joined)),
                kernel: Arc::clone(&host.kernel),
                engine: host.engine.clone(),
                observers: Arc::clone(&host.observers),
                counters: Counters::default(),
                writers: Mutex::default(),
                init: Life::new(pid, console),
                master: Mutex::new(master),
                joined: Mutex::default(),
                started: AtomicBool::new(false),
                spec,
                filter,
                ids,
                uts,
                ipc,
                user_ns,
                sandbox,
            }));
        }
        let published = publish::listen(&spec.network.publish)?;
        let platform =
            NotifyPlatform::new(first.spawn(joined_network(&spec, places))?).map_err(Error::Platform)?;
        enter_cpu_groups(&platform, group.as_ref());
        let host: Arc<dyn Platform> = Arc::<NotifyPlatform>::clone(&platform);
        let kernel = Kernel::within(host, Arc::clone(&uts), Arc::clone(&ipc));
        network::install(&spec, &kernel, platform.init(), shared.net);
        // On an error the platform goes, and the init with it: it has done nothing yet.
        let place = Place { uts: &uts, ipc: &ipc, user_ns: &user_ns, terminals: None };
        let sandbox = launch::launch((&spec, &trees), &making.streams, &kernel, place, platform.init())?;
        let observers = Observers::new();
        if let Some(to) = making.trace {
            observers.add(strace::printer(to), &*kernel.platform);
        }
        let engine = Engine::new(&kernel, &observers, &shared.ready);
        let (console, master) = match &making.streams {
            Streams::Own(..) => (None, None),
            _ => behind_pty(sandbox.terminal.as_ref(), making.size, &engine, &making.home)?,
        };
        Ok(Arc::new(Self {
            init: Life::new(platform.init(), console),
            beside: None,
            master: Mutex::new(master),
            joined: Mutex::default(),
            started: AtomicBool::new(false),
            cgroup: group,
            home: making.home,
            trees: Mutex::new(Some(trees)),
            spec,
            filter,
            ids,
            maker: making.maker,
            platform,
            uts,
            ipc,
            user_ns,
            kernel,
            engine,
            observers,
            counters: Counters::default(),
            writers: Mutex::default(),
            sandbox,
            published: Mutex::new(Some(published)),
            publisher: Mutex::default(),
        }))
    }

    /// Whether its process 1 is its own.
    pub(crate) fn has_own_processes(&self) -> bool {
        self.beside.is_none()
    }

    /// Says who hears of what happens in it; once, before it starts.
    pub(crate) fn set_owner(&self, jobs: Option<Arc<Jobs>>) {
        // Of a pod's process namespace, once.
        let _ = self.kernel.events.set(Arc::new(Owner::new(jobs, Arc::clone(&self.sandbox.tree.terminals))));
    }

    pub(crate) fn spec(&self) -> &ContainerSpec {
        &self.spec
    }

    /// The host's master of the first process's terminal; once.
    pub(crate) fn take_master(&self) -> Option<OwnedFd> {
        self.master.lock().take()
    }

    /// Runs its program.
    pub(crate) fn start(&self) -> Result<(), Error> {
        if self.init.has_ended() {
            return Err(Error::WrongState("cannot start a container that has stopped"));
        }
        if self.started.swap(true, Ordering::SeqCst) {
            return Err(Error::WrongState("cannot start an already running container"));
        }
        if let Some(published) = self.published.lock().take() {
            *self.publisher.lock() = publish::start(published, &self.kernel, self.engine.events())?;
        }
        self.init.begin(&**self.engine.events());
        if let Some(beside) = &self.beside {
            return beside.start(self);
        }
        self.platform.serve(self.engine.workers(WORKERS)).map_err(Error::Platform)
    }

    /// Delivers events until the container has ended.
    pub(crate) fn deliver(&self) -> Result<ExitStatus, Error> {
        if self.beside.is_some() {
            let status = Beside::wait(self);
            self.forget_mount_points();
            return Ok(status);
        }
        let init = self.kernel.init();
        let ending = self.platform.deliver(self.engine.events());
        let status = match ending {
            // Only the loader can have said so: it has nobody to tell once the filter is in place.
            Ok(Ending::Exited(_)) if init.is_some_and(|init| !init.image.read().has_begun()) => {
                Err(Error::NeverStarted)
            }
            Ok(ending) => Ok(status(ending)),
            Err(errno) => Err(Error::Platform(errno)),
        };
        self.forget_mount_points();
        self.observers.end();
        let writers = std::mem::take(&mut *self.writers.lock());
        writers.into_iter().for_each(|writer| drop(writer.join()));
        // The kernel keeps the dead until they have been waited for, and they the kernel.
        drop(self.kernel.zombies());
        self.init.end(*status.as_ref().unwrap_or(&ExitStatus::Signal(Signal::SIGKILL.raw())));
        self.init.drain();
        std::mem::take(&mut *self.publisher.lock()).finish();
        status
    }

    /// A container that has never run leaves its root as it was.
    fn forget_mount_points(&self) {
        if !self.started.load(Ordering::SeqCst) {
            self.sandbox.tree.mount_points.remove();
        }
    }

    /// Makes a process in the container and runs it; with the master of its terminal.
    pub(crate) fn exec(
        self: &Arc<Self>,
        exec_id: &str,
        process: ProcessSpec,
        streams: &Streams,
        size: Option<WindowSize>,
    ) -> Result<(Arc<Life>, Option<OwnedFd>), Error> {
        if self.init.has_ended() {
            return Err(Error::WrongState("cannot exec in a stopped container"));
        }
        match self.joined.lock().entry(exec_id.to_owned()) {
            Slot::Vacant(slot) => slot.insert(None),
            Slot::Occupied(_) => return Err(Error::ExecExists(exec_id.to_owned())),
        };
        let made = self.join(process, streams, size);
        let mut joined = self.joined.lock();
        match &made {
            Ok((life, _)) => joined.insert(exec_id.to_owned(), Some(Arc::clone(life))),
            Err(_) => joined.remove(exec_id),
        };
        made
    }

    fn join(
        self: &Arc<Self>,
        process: ProcessSpec,
        streams: &Streams,
        size: Option<WindowSize>,
    ) -> Result<(Arc<Life>, Option<OwnedFd>), Error> {
        let (cgroup, maker) = (self.cgroup.as_ref(), self.maker.as_deref());
        let making = First { spec: &self.spec, filter: &self.filter, ids: self.ids, cgroup, maker };
        let joined = making.join(&self.platform, &process)?;
        let spec = ContainerSpec { process, ..self.spec.clone() };
        let first = self.process_of(self.init.pid).ok_or(Error::Platform(Errno::ESRCH))?;
        let terminal = launch::launch_joined(&spec, streams, &first, &self.sandbox.tree, joined.pid())?;
        let (console, master) = behind_pty(terminal.as_ref(), size, &self.engine, &self.home)?;
        let life = Life::new(joined.pid(), console);
        life.begin(&**self.engine.events());
        let told = Arc::clone(&life);
        let on_exit = Box::new(move |ending| {
            told.end(status(ending));
        });
        self.platform.admit(joined, self.engine.workers(WORKERS), on_exit).map_err(Error::Platform)?;
        Ok((life, master))
    }

    /// A process by its exec id, the first without one.
    pub(crate) fn life(&self, exec_id: Option<&str>) -> Result<Arc<Life>, Error> {
        let Some(exec_id) = exec_id else { return Ok(Arc::clone(&self.init)) };
        let found = self.joined.lock().get(exec_id).cloned().flatten();
        found.ok_or_else(|| Error::NotFound(format!("process {exec_id:?}")))
    }

    /// Forgets a process that has ended.
    pub(crate) fn forget(&self, exec_id: &str) -> Result<(), Error> {
        if !self.life(Some(exec_id))?.has_ended() {
            return Err(Error::WrongState("cannot delete a process that has not ended"));
        }
        self.joined.lock().remove(exec_id);
        Ok(())
    }

    pub(crate) fn state(&self) -> State {
        self.init.state()
    }

    /// Sends a signal to a process of the container.
    pub(crate) fn kill(&self, exec_id: Option<&str>, signal: i32) -> Result<(), Error> {
        let life = self.life(exec_id)?;
        if life.has_ended() {
            return Err(Error::WrongState("container not running"));
        }
        if exec_id.is_none() && !self.started.load(Ordering::SeqCst) {
            return self.kill_created(signal);
        }
        let process = self.process_of(life.pid);
        // Between its end and the news of it there is nobody to signal.
        let Some(process) = process else { return Ok(()) };
        self.send(&process, signal)
    }

    fn process_of(&self, pid: HostTid) -> Option<Arc<Process>> {
        self.kernel.processes().into_iter().find(|process| process.tgid == pid)
    }

    /// Sends a signal to all processes.
    pub(crate) fn kill_all(&self, signal: i32) -> Result<(), Error> {
        if self.init.has_ended() {
            return Err(Error::WrongState("container not running"));
        }
        if !self.started.load(Ordering::SeqCst) {
            return self.kill_created(signal);
        }
        self.processes().iter().try_for_each(|process| self.send(process, signal))
    }

    fn send(&self, process: &Arc<Process>, signal: i32) -> Result<(), Error> {
        if signal == 0 {
            return Ok(());
        }
        let sent = Signal::new(signal).ok_or(Error::NoSignal(signal))?;
        match self.kernel.signal_process(process, sent) {
            // It ended meanwhile.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(Error::Platform(errno)),
        }
        self.engine.events().drain();
        Ok(())
    }

    /// The program that a signal's action would belong to does not run yet: what would end a program ends it all.
    fn kill_created(&self, signal: i32) -> Result<(), Error> {
        const HARMLESS: [Signal; 4] = [Signal::SIGCHLD, Signal::SIGCONT, Signal::SIGURG, Signal::SIGWINCH];
        if signal == 0 || HARMLESS.iter().any(|harmless| harmless.raw() == signal) {
            return Ok(());
        }
        Signal::new(signal).ok_or(Error::NoSignal(signal))?;
        self.destroy()
    }

    /// Kills everything in it.
    pub(crate) fn destroy(&self) -> Result<(), Error> {
        let killed = match &self.beside {
            Some(beside) => beside.destroy(self),
            None => self.platform.kill(),
        };
        match killed {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(Error::Platform(errno)),
        }
    }

    /// Begins to look at its calls.
    pub(crate) fn trace(&self, filter: &TraceFilter) -> Result<LiveTrace, Error> {
        LiveTrace::begin(&self.observers, &self.kernel, filter)
    }

    /// Counts its calls for `lease` from now on, and tells what was counted so far.
    pub(crate) fn stats(&self, depth: Depth, lease: Duration) -> Stats {
        self.counters.ask(depth, lease, &self.observers, &self.kernel)
    }

    /// What it is doing at this moment.
    pub(crate) fn inspect(&self) -> Inspection {
        inspect::inspect(&self.kernel)
    }

    /// Writes its security events to `to` from now on.
    pub(crate) fn monitor(&self, id: &str, to: OwnedFd) -> Result<(), Error> {
        let volumes = self.spec.mounts.iter().filter(|mount| matches!(mount.kind, MountKind::Bind(_)));
        let volumes = volumes.map(|mount| mount.destination.clone()).collect();
        let writer = Monitor::start(id, volumes, to, &self.observers, &self.kernel)?;
        self.writers.lock().push(writer);
        Ok(())
    }

    /// Lets go of the host's files: nobody asks for it any more.
    pub(crate) fn let_go(&self) {
        drop(self.trees.lock().take());
    }

    /// Its processes by their host ids.
    pub(crate) fn pids(&self) -> Vec<HostTid> {
        if self.init.has_ended() {
            return Vec::new();
        }
        self.processes().iter().map(|process| process.tgid).collect()
    }

    fn processes(&self) -> Vec<Arc<Process>> {
        if self.has_own_processes() { self.kernel.processes() } else { beside::processes(self) }
    }
}

/// What a container's processes are made with on the host.
struct First<'a> {
    spec: &'a ContainerSpec,
    filter: &'a [Instruction],
    ids: GuestIds,
    cgroup: Option<&'a Group>,
    maker: Option<&'a Maker>,
}

impl First<'_> {
    /// Makes an init.
    fn spawn(&self, network: Option<BorrowedFd<'_>>) -> Result<platform_notify::Container, Error> {
        let (process, doors) = (&self.spec.process, self.cgroup.and_then(Group::doors));
        platform_notify::spawn(SpawnSpec {
            filter: self.filter,
            program: guest_loader::LOADER,
            argv: c_strings(&process.args, "argument")?,
            envp: c_strings(&process.env, "environment variable")?,
            ids: self.ids,
            place: &|pid| self.place(pid),
            doors: doors.unwrap_or_default(),
            network,
            maker: self.maker,
            oom_score_adj: process.oom_score_adj,
            sysctls: &network::sysctls(self.spec),
        })
        .map_err(|error| spawn_error(error, process))
    }

    /// Makes another process, in the namespaces of this platform's init.
    fn join(&self, platform: &NotifyPlatform, process: &ProcessSpec) -> Result<Joined, Error> {
        let doors = self.cgroup.and_then(Group::doors);
        let spec = SpawnSpec {
            filter: self.filter,
            program: guest_loader::LOADER,
            argv: c_strings(&process.args, "argument")?,
            envp: c_strings(&process.env, "environment variable")?,
            ids: self.ids,
            place: &|pid| {
                settings::start_on(process, pid)?;
                self.place(pid)
            },
            doors: doors.unwrap_or_default(),
            network: None,
            maker: self.maker,
            oom_score_adj: process.oom_score_adj,
            sysctls: &[],
        };
        platform.join(spec).map_err(|error| spawn_error(error, process))
    }

    /// Puts a process into the cgroup that cannot enter it by itself.
    fn place(&self, pid: HostTid) -> SysResult<()> {
        let placed = self.cgroup.filter(|group| group.doors().is_none());
        placed.map_or(Ok(()), |group| group.place(pid, self.maker))
    }
}

/// Puts a terminal of the container behind a pty of the host.
fn behind_pty(
    terminal: Option<&Arc<PtyMaster>>,
    size: Option<WindowSize>,
    engine: &Engine,
    home: &Home,
) -> Result<(Option<Console>, Option<OwnedFd>), Error> {
    let Some(terminal) = terminal else { return Ok((None, None)) };
    let master =
        home.new_pty().map_err(|errno| Error::Terminal(std::io::Error::from_raw_os_error(errno.raw())))?;
    Console::start(Arc::clone(terminal), master, size, Arc::clone(engine.events()))
        .map(|(a, b)| (Some(a), Some(b)))
}

/// The network namespace that linux.namespaces gives by a path.
fn joined_network<'a>(spec: &ContainerSpec, places: &'a Places) -> Option<BorrowedFd<'a>> {
    let index = spec.namespaces.iter().position(|namespace| namespace.kind == "network")?;
    places.get(HostPlace::Namespace(index))
}

fn spawn_error(error: SpawnError, process: &ProcessSpec) -> Error {
    match (error.step, process.oom_score_adj) {
        (Step::OomScore, Some(adj)) => {
            let (field, wanted) = ("process.oomScoreAdj", adj.to_string());
            Error::Setting { field, wanted, errno: error.errno }
        }
        _ => Error::Spawn(error),
    }
}

/// Has the threads that take the container's calls enter its groups of CPU time, where they can be apart from their
/// process: what they do is the guests' work, and counts as it does where the kernel does it. Calls are quicker, too,
/// as the scheduler does not have to go from one group to another.
fn enter_cpu_groups(platform: &NotifyPlatform, cgroup: Option<&Group>) {
    let doors = cgroup.map(Group::cpu_doors).unwrap_or_default();
    platform.set_worker_start(Box::new(move || {
        for door in &doors {
            if let Err(error) = rustix::io::write(door, b"0") {
                tracing::debug!(%error, "a worker stays outside the container's group of CPU time");
            }
        }
    }));
}

pub(crate) fn status(ending: Ending) -> ExitStatus {
    match ending {
        Ending::Exited(code) => ExitStatus::Code(code),
        Ending::Killed(signal) => ExitStatus::Signal(signal),
    }
}

pub(crate) fn instruction(filter: &SockFilter) -> Instruction {
    Instruction { code: filter.code, jt: filter.jt, jf: filter.jf, k: filter.k }
}

fn c_strings(strings: &[Vec<u8>], what: &'static str) -> Result<Vec<CString>, Error> {
    strings.iter().map(|bytes| CString::new(bytes.as_slice()).map_err(|_| Error::NulByte(what))).collect()
}
