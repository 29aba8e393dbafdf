//! What the container's kernel tells the sandbox's owner.

use std::sync::Arc;

use kernel_fs::tty::Terminals;
use kernel_task::kernel::{ContainerEvents, ExitStatus};

use crate::jobs::Jobs;

/// The supervisor as the kernel sees it.
pub(crate) struct Owner {
    /// Where a user's shell knows us as a job.
    jobs: Option<Arc<Jobs>>,
    terminals: Arc<Terminals>,
}

impl Owner {
    pub(crate) fn new(jobs: Option<Arc<Jobs>>, terminals: Arc<Terminals>) -> Self {
        Self { jobs, terminals }
    }
}

impl ContainerEvents for Owner {
    fn attached(&self, pid: i32) {
        if let Some(jobs) = &self.jobs {
            jobs.attached(pid);
        }
    }
    fn stopped(&self, pid: i32, signal: i32) {
        if let Some(jobs) = &self.jobs {
            jobs.stopped(pid, signal);
        }
    }
    fn continued(&self, _pid: i32) {}
    fn session_ended(&self, sid: i32) {
        self.terminals.leader_exited(sid);
    }
    fn finished(&self, status: ExitStatus) {
        tracing::debug!(?status, "program ended");
    }
}
