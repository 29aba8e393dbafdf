//! Processes that are put into a running container from outside (`palisade exec`): our own children, so that their
//! exit status is ours to collect, with a listener of their own.
//!
//! The container's pid namespace waits at its end until each of them has been reaped (kernel/pid_namespace.c:
//! zap_pid_ns_processes); the reactor does it as soon as it hears of the death.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use abi_linux::SysResult;
use host_sys::pidfd::{self, Ending};
use parking_lot::Mutex;
use platform_api::{HostTid, KernelEvents, Worker};
use rustc_hash::FxHashMap;

use crate::line::Line;
use crate::platform::NotifyPlatform;
use crate::run;
use crate::spawn::{self, Container, SpawnError, SpawnSpec};

/// Told how a process ended, on the reactor's thread; must not block.
type OnExit = Box<dyn FnOnce(Ending) + Send>;

/// A process in the container that waits in its first call. Dropping it kills it.
pub struct Joined(Container);

impl Joined {
    /// Its id in our pid namespace.
    #[must_use]
    pub fn pid(&self) -> HostTid {
        self.0.init()
    }
}

struct Watched {
    pidfd: OwnedFd,
    on_exit: OnExit,
}

/// Those that run.
#[derive(Default)]
pub(crate) struct JoinedProcesses {
    running: Mutex<FxHashMap<HostTid, Watched>>,
}

impl JoinedProcesses {
    pub(crate) fn has(&self, pid: HostTid) -> bool {
        self.running.lock().contains_key(&pid)
    }
}

impl NotifyPlatform {
    /// Makes a process in the container. Its filter, program and ids are as for the init's.
    pub fn join(&self, spec: SpawnSpec<'_>) -> Result<Joined, SpawnError> {
        spawn::join(spec, (self.init(), self.pidfd().as_fd()), self.loader()).map(Joined)
    }

    /// Lets a process that the kernel knows go on. `on_exit` hears of its end.
    pub fn admit(
        self: &Arc<Self>,
        joined: Joined,
        workers: Vec<Box<dyn Worker>>,
        on_exit: OnExit,
    ) -> SysResult<()> {
        let pid = joined.pid();
        let parts = joined.0.into_parts()?;
        let line = Line::new(parts.listener);
        self.lines().add(&line);
        self.joined.running.lock().insert(pid, Watched { pidfd: parts.pidfd, on_exit });
        // Once more, for one whose death was told before it was in the map.
        self.reactor().watch_exit(pid)?;
        run::start(self, &line, workers)
    }

    /// The host says that a process is dead: if it is ours it is reaped.
    fn reap_joined(&self, pid: HostTid) {
        let watched = self.joined.running.lock().remove(&pid);
        let Some(Watched { pidfd, on_exit }) = watched else { return };
        match pidfd::reap(pidfd.as_fd()) {
            Ok(ending) => on_exit(ending),
            Err(error) => {
                tracing::error!(pid, %error, "cannot collect an exit status");
                on_exit(Ending::Killed(libc::SIGKILL));
            }
        }
    }

    /// The last thread that could call on this listener is gone.
    pub(crate) fn drop_line(&self, line: &Arc<Line>) {
        self.lines().remove(line);
    }

    /// Has `workers`, a thread each, take the calls of the init and its descendants; once.
    ///
    /// One worker is enough for correctness; two let a call that blocks (a disk read) not hold up the others.
    pub fn serve(self: &Arc<Self>, workers: Vec<Box<dyn Worker>>) -> SysResult<()> {
        run::start(self, self.lines().first(), workers)
    }

    /// Delivers events to `events` on the calling thread until the container's init is dead; then ends the workers
    /// and reaps it. Call it on the thread that spawned the init, and once.
    pub fn deliver(self: &Arc<Self>, events: &Arc<dyn KernelEvents>) -> SysResult<Ending> {
        let deaths = Deaths { platform: self, events: &**events };
        let delivered = self.reactor().run(self.init(), &deaths);
        if delivered.is_err() {
            let _ = self.kill();
        }
        for line in self.lines().all() {
            run::finish(&line);
        }
        let ending = pidfd::reap(self.pidfd().as_fd())?;
        self.mark_reaped();
        delivered.map(|()| ending)
    }

    /// [`NotifyPlatform::serve`] and [`NotifyPlatform::deliver`].
    pub fn run(
        self: &Arc<Self>,
        workers: Vec<Box<dyn Worker>>,
        events: &Arc<dyn KernelEvents>,
    ) -> SysResult<Ending> {
        if let Err(error) = self.serve(workers) {
            let _ = self.kill();
            run::finish(self.lines().first());
            return Err(error);
        }
        self.deliver(events)
    }
}

/// Reaps after the kernel has heard of a death.
struct Deaths<'a> {
    platform: &'a NotifyPlatform,
    events: &'a dyn KernelEvents,
}

impl KernelEvents for Deaths<'_> {
    fn exited(&self, tgid: HostTid) {
        self.events.exited(tgid);
        self.platform.reap_joined(tgid);
    }
    fn timer_expired(&self) {
        self.events.timer_expired();
    }
    fn drain(&self) {
        self.events.drain();
    }
}
