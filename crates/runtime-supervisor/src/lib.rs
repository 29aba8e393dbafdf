//! Puts sandboxes together: filter and platform below, kernel and filesystems above, the terminal beside.
//!
//! [`run`] is the whole life of one container, on the calling thread: it makes the init, builds the file tree,
//! starts the program and delivers calls until the init is dead. [`supervise`] serves a sandbox of any number of
//! containers, each on a thread of its own, over a control socket (`runtime-control`); a container of [`run`] can be
//! given one, too.
#![forbid(unsafe_code)]

mod beside;
mod confinement;
mod console;
mod container;
mod copy_up;
mod credentials;
mod error;
mod filesystems;
mod group;
mod jobs;
mod keeper;
mod launch;
mod life;
mod mount_points;
mod network;
mod observe;
mod owner;
mod pod;
mod publish;
mod registry;
mod server;
mod settings;
mod start_hooks;
mod stdio;
mod supervisor;
mod surface;
mod terminal;
mod trees;
mod tuning;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use abi_linux::Errno;
use runtime_control::observe::{Depth, Stats};
use runtime_control::{Needs, Place, Places};
use runtime_oci::cgroup::Cgroup;
use runtime_oci::hooks::HookKind;
use runtime_oci::{ContainerSpec, Entry, Record, Status};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::confinement::{Report, Sockets};
use crate::container::{Container, Making};
use crate::group::Placing;
use crate::keeper::Keeper;
use crate::pod::Shared;
use crate::stdio::{OwnTerminal, Streams};
use crate::supervisor::{Held, Supervisor};

pub use confinement::rules::{HostRule, RULES, SOCKETS};
pub use confinement::{CAPABILITIES, Kept, NET_CAPABILITIES, REPORT_REFUSED};
pub use error::Error;
pub use kernel_task::kernel::ExitStatus;
pub use observe::Trace;
pub use observe::strace::TraceTo;
pub use platform_notify::doctor::{Check, doctor};
pub use platform_notify::maker::{Errands, Maker};
pub use server::supervise;
pub use surface::{CveTable, Surface, cve_table, summary, surface};

/// How a container is run.
#[derive(Default)]
pub struct Options<'a> {
    /// Print each call.
    pub trace: Option<TraceTo>,
    /// Tell of each call.
    pub live: Option<Trace>,
    /// Write security events there, under this name of the container. Must not block.
    pub monitor: Option<(String, OwnedFd)>,
    /// Count where calls' time goes, and tell it at the end.
    pub profile: Option<Box<dyn FnOnce(Stats) + 'a>>,
    /// Where its host processes go.
    pub cgroup: Option<Cgroup>,
    /// Open in its first process from 3 on.
    pub descriptors: Vec<OwnedFd>,
    /// How others find it.
    pub control: Option<Control<'a>>,
}

/// What is done between a container's making and its start; a failure ends it.
pub type OnCreated<'a> = Box<dyn FnOnce(&Record) -> Result<(), String> + 'a>;

/// Whom the process that makes guests may signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Guests alone, and us.
    Guests,
    /// Whoever its user may: it runs hooks.
    Host,
}

/// Starts the process that makes a container's processes, since this one may not when it runs it. `errands` are done
/// there, with all the rights that this process has now. While there is one thread.
pub fn start_maker(reach: Reach, errands: Errands<'_>) -> Result<Arc<Maker>, Error> {
    if reach == Reach::Guests {
        confinement::scope();
    }
    let (mut placing, mut errands) = (Placing::default(), errands);
    let errands = move |what: &[u8]| placing.errand(what).unwrap_or_else(|| errands(what));
    Maker::start(Box::new(errands)).map(Arc::new).map_err(Error::Maker)
}

/// A container's place among others.
pub struct Control<'a> {
    pub listener: UnixListener,
    pub maker: Arc<Maker>,
    pub entry: Entry,
    pub record: Record,
    /// Called with the record when the container is made, before its program runs: hooks.
    pub created: OnCreated<'a>,
}

/// Longer than a container lives.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Exit status when Palisade itself could not do what was asked (as timeout(1), env(1) and runc do).
const FAILED: u8 = 125;

/// With a lower hard limit ordinary programs would find files that cannot be opened.
const FEWEST_DESCRIPTORS: u64 = 1024;
/// The usual fs.nr_open, beyond which no limit can be set.
const MOST_DESCRIPTORS: u64 = 1 << 20;

/// Runs a container in the foreground, to its end.
pub fn run(spec: &ContainerSpec, options: Options<'_>) -> Result<ExitStatus, Error> {
    prepare_process()?;
    let signals = jobs::block_signals()?;
    let terminal = match (spec.process.terminal, spec.init) {
        (false, _) => OwnTerminal::None,
        (true, true) => OwnTerminal::Where,
        (true, false) => OwnTerminal::All,
    };
    let Options { trace, live, profile, monitor, cgroup, descriptors, mut control } = options;
    let maker = control.as_ref().map(|control| Arc::clone(&control.maker));
    if maker.is_none() {
        confinement::scope();
    }
    let mut needs =
        Needs { spec, rootfs: trees::rootfs(spec), cgroup: cgroup.as_ref(), entry: None, trace: None };
    needs.entry = control.as_ref().map(|control| &control.entry);
    let mut places = Places::open(&needs)?;
    if let (Some(control), Some(directory)) = (&mut control, places.take(Place::Record).pop()) {
        control.entry = Entry::behind(&control.record.id, directory.as_fd()).map_err(Error::State)?;
    }
    let report = Report::wanted();
    let shared = Shared::find(spec, &places, &[], &Arc::default())?;
    if let (Some(maker), cgroup) = (&maker, &cgroup) {
        group::tell(cgroup.as_ref(), maker)?;
    }
    let mut home = confinement::leave(trees::host_root(spec))?;
    if let Some(maker) = &maker {
        home.leave_it_to(maker).map_err(Error::Maker)?;
    }
    let home = Arc::new(home);
    let streams = Streams::Own(terminal, descriptors);
    let making = Making { streams, size: None, cgroup, maker, trace, places, home: Arc::clone(&home) };
    let container = Container::create(spec.clone(), making, shared)?;
    // Before there are other threads, and before a guest's first instruction.
    confinement::settle(&home)?;
    confinement::confine(Sockets::of(spec), report)?;
    let (kernel, events) = (&container.kernel, container.engine.events());
    let relay = container.sandbox.terminal.clone();
    let relay = relay.map(|pty| terminal::Relay::start(pty, Arc::clone(events))).transpose()?;
    let jobs = jobs::Jobs::start(signals, kernel, spec, relay.clone(), Arc::clone(events))?;
    container.set_owner(Some(jobs));
    if let Some((id, to)) = monitor {
        container.monitor(&id, to)?;
    }
    if profile.is_some() {
        let _ = container.stats(Depth::Parts, FOREVER);
    }
    let tracing = live.map(|live| observe::start(live, &container)).transpose()?;
    let (supervisor, keeper) = control.map(|control| control.take(&container)).transpose()?.unzip();
    let (tell, begun) = channel();
    let starting = Arc::clone(&container);
    let begin = move || {
        let result = begin(&starting, keeper.as_deref());
        let failed = result.is_err();
        // Told before the end that it brings.
        let _ = tell.send(result);
        if failed {
            let _ = starting.destroy();
        }
    };
    if HookKind::StartContainer.of(&spec.hooks).is_empty() {
        begin();
    } else {
        // They are guests, of whose ends this thread tells.
        jobs::start_thread("start", begin)?;
    }
    let status = container.deliver();
    let status = begun.recv().unwrap_or(Ok(())).and(status);
    if let Some(relay) = relay {
        relay.finish();
    }
    if let Some(tell) = profile {
        tell(container.stats(Depth::Parts, Duration::ZERO));
    }
    if let Some(tracing) = tracing {
        let _ = tracing.join();
    }
    if let Some(supervisor) = supervisor {
        supervisor.wait_idle();
    }
    status
}

impl Control<'_> {
    /// Makes a container known, and says that it is about to run.
    fn take(self, container: &Arc<Container>) -> Result<(Arc<Supervisor>, Arc<Keeper>), Error> {
        let Self { listener, maker, entry, mut record, created } = self;
        let keeper = Arc::new(Keeper::new(entry, record.clone()));
        let supervisor =
            Supervisor::new(false, Sockets::of(container.spec()), maker, Arc::clone(&container.home));
        let held = Held { container: Arc::clone(container), keeper: Some(Arc::clone(&keeper)) };
        supervisor.adopt(&record.id, Arc::new(held))?;
        record.init = runtime_oci::ProcessId::of(container.init.pid);
        created(&record).map_err(Error::Hooks)?;
        let serving = Arc::clone(&supervisor);
        jobs::start_thread("control", move || server::serve(&listener, &serving))?;
        Ok((supervisor, keeper))
    }
}

/// Runs a container's program, after its startContainer hooks.
fn begin(container: &Arc<Container>, keeper: Option<&Keeper>) -> Result<(), Error> {
    if let Some(keeper) = keeper {
        container.run_start_hooks(&keeper.oci_state(Status::Created))?;
        keeper.running()?;
    }
    container.start()
}

/// What a process needs before it makes containers.
fn prepare_process() -> Result<(), Error> {
    note_panics();
    // Modes of files that guests make are the guest's umask's business.
    rustix::process::umask(rustix::fs::Mode::empty());
    allow_descriptors()
}

/// Has the place of a panic kept for the report of it.
fn note_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        kernel_task::current::note_panic(info.location().map(ToString::to_string).unwrap_or_default());
        usual(info);
    }));
}

/// The supervisor holds the host's side of all its guests' files, each of which has the limit to itself elsewhere: where
/// it may it takes what Linux gives one process at most, else what the hard limit allows.
fn allow_descriptors() -> Result<(), Error> {
    let limit = getrlimit(Resource::Nofile);
    if let Some(hard) = limit.maximum.filter(|&hard| hard < FEWEST_DESCRIPTORS) {
        return Err(Error::Descriptors(hard));
    }
    let most = Rlimit { current: Some(MOST_DESCRIPTORS), maximum: Some(MOST_DESCRIPTORS) };
    if limit.maximum.is_some_and(|hard| hard < MOST_DESCRIPTORS) && setrlimit(Resource::Nofile, most).is_ok()
    {
        return Ok(());
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .map_err(|errno| Error::Platform(Errno::from_raw(errno.raw_os_error())))
}
