//! A process that containerd asked for: a container's first, or one that joined it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use runtime_control::Exit;
use runtime_oci::ProcessSpec;
use tokio::sync::watch;

use crate::events;
use crate::stdio::{Kept, Paths};

/// Where it is in its life.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Its program does not run yet; a joining process is made when it starts.
    Created(Option<Box<ProcessSpec>>),
    Running,
    Stopped,
}

/// What changes.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) stage: Stage,
    /// Its host id; 0 before it exists.
    pub(crate) pid: i32,
    pub(crate) kept: Kept,
}

/// A process.
#[derive(Debug)]
pub(crate) struct Process {
    /// `None` for the container's first.
    pub(crate) exec_id: Option<String>,
    pub(crate) paths: Paths,
    /// Held while something is done to it: what happened is then told in its order.
    life: Mutex<Life>,
    exit: watch::Sender<Option<Exit>>,
}

impl Process {
    pub(crate) fn new(exec_id: Option<String>, paths: Paths, pid: i32, kept: Kept) -> Self {
        let life = Life { stage: Stage::Created(None), pid, kept };
        Self { exec_id, paths, life: Mutex::new(life), exit: watch::Sender::new(None) }
    }

    /// One that is to join a container.
    pub(crate) fn joining(exec_id: String, paths: Paths, spec: ProcessSpec) -> Self {
        let process = Self::new(Some(exec_id), paths, 0, Kept::default());
        process.life().stage = Stage::Created(Some(Box::new(spec)));
        process
    }

    pub(crate) fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it ended, if it has.
    pub(crate) fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Waits for its end.
    pub(crate) async fn wait(&self) -> Exit {
        let mut exits = self.exit.subscribe();
        let exit = exits.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
        // The sender lives as long as we do.
        exit.unwrap_or_else(killed)
    }

    /// It has ended; wakes who waits. `life` is its own, so that nothing comes between.
    pub(crate) fn end(&self, life: &mut Life, exit: Exit) {
        life.stage = Stage::Stopped;
        life.kept = Kept::default();
        self.exit.send_replace(Some(exit));
    }
}

/// The end of a process of which nothing is known but that it was killed, just now.
pub(crate) fn killed() -> Exit {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Exit { status: 137, at_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX) }
}

/// When a process ended, as protobuf has it.
pub(crate) fn exited_at(exit: &Exit) -> Timestamp {
    events::timestamp(SystemTime::UNIX_EPOCH + Duration::from_nanos(exit.at_ns))
}
