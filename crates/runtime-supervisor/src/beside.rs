//! A container in the process namespace of another one of its pod (Kubernetes' shareProcessNamespace). It has no init of
//! its own: its first process is put in from outside, as by exec, and the other's kernel serves it. Root, cgroup and
//! filter are its own; its processes are those in its cgroup.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use abi_linux::SysResult;
use kernel_base::sync::Mutex;
use kernel_task::Process;
use kernel_task::kernel::ExitStatus;
use platform_notify::Joined;
use rustc_hash::FxHashSet;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::container::{Container, WORKERS, status};
use crate::error::Error;
use crate::group::Group;

/// How long processes may take to die of SIGKILL.
const DEATH: Duration = Duration::from_secs(10);
/// Between looks at whether they have.
const PAUSE: Duration = Duration::from_millis(2);

/// Its first process until the start, which waits in its first call.
pub(crate) struct Beside {
    waiting: Mutex<Option<Joined>>,
}

impl Beside {
    pub(crate) fn new(first: Joined) -> Self {
        Self { waiting: Mutex::new(Some(first)) }
    }

    /// Runs its program.
    pub(crate) fn start(&self, container: &Container) -> Result<(), Error> {
        let Some(first) = self.waiting.lock().take() else {
            return Err(Error::WrongState("cannot start a container that has stopped"));
        };
        let told = Arc::clone(&container.init);
        let on_exit = Box::new(move |ending| {
            told.end(status(ending));
        });
        let workers = container.engine.workers(WORKERS);
        container.platform.admit(first, workers, on_exit).map_err(Error::Platform)
    }

    /// Waits for the end of its first process, and ends the others then.
    pub(crate) fn wait(container: &Container) -> ExitStatus {
        let (tell, end) = channel();
        container.init.on_end(Box::new(move |exit| {
            let _ = tell.send(exit);
        }));
        // The sender is kept until it has been used.
        let status = end.recv().map_or(0, |exit| exit.status);
        kill_all(container);
        container.init.drain();
        ExitStatus::Code(status.into())
    }

    /// Kills everything in it.
    pub(crate) fn destroy(&self, container: &Container) -> SysResult<()> {
        if let Some(first) = self.waiting.lock().take() {
            drop(first);
            container.init.end(ExitStatus::Signal(abi_linux::signal::Signal::SIGKILL.raw()));
        }
        kill_all(container);
        Ok(())
    }
}

/// Kills what is in its cgroup, until nothing is.
fn kill_all(container: &Container) {
    let Some(cgroup) = &container.cgroup else { return };
    let until = Instant::now() + DEATH;
    loop {
        let pids = cgroup.pids();
        if pids.is_empty() {
            return;
        }
        if Instant::now() > until {
            return tracing::warn!(?pids, "a container's processes do not die");
        }
        pids.into_iter().for_each(|pid| kill(cgroup, pid));
        thread::sleep(PAUSE);
    }
}

/// By a descriptor, as the supervisor has no kill(2): of a process that is still the one in the cgroup.
fn kill(cgroup: &Group, number: i32) {
    // It may be gone at any point.
    if let Some(pid) = Pid::from_raw(number)
        && let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
        && cgroup.pids().contains(&number)
    {
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}

/// Its processes among all of the namespace.
pub(crate) fn processes(container: &Container) -> Vec<Arc<Process>> {
    let Some(cgroup) = &container.cgroup else { return Vec::new() };
    let own: FxHashSet<i32> = cgroup.pids().into_iter().collect();
    container.kernel.processes().into_iter().filter(|process| own.contains(&process.tgid)).collect()
}
