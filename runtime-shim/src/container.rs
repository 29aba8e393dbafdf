//! A container of the pod, and what can be done to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use containerd_shim_protos::events::task::{TaskExit, TaskOOM, TaskPaused, TaskResumed, TaskStart};
use containerd_shim_protos::topics::{
    TASK_EXIT_EVENT_TOPIC, TASK_OOM_EVENT_TOPIC, TASK_PAUSED_EVENT_TOPIC, TASK_RESUMED_EVENT_TOPIC,
    TASK_START_EVENT_TOPIC,
};
use runtime_control::{CallError, Client, Exit, Kind};
use runtime_oci::cgroup::Cgroup;
use runtime_oci::hooks::{self, HookKind};
use runtime_oci::{Record, Status, Store};

use crate::ending;
use crate::error::{Error, io};
use crate::events::Events;
use crate::process::{Process, Stage, exited_at, killed};
use crate::serve::STACK;

/// Directories of a bundle: the container's root, its record's store, and the supervisor's of the pod's first.
pub(crate) const ROOTFS: &str = "rootfs";
pub(crate) const STORE: &str = "palisade";
pub(crate) const SUPERVISOR: &str = "palisade-supervisor";

/// A container.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) bundle: PathBuf,
    /// As it was created; [`Container::update`] changes the limits.
    pub(crate) record: Mutex<Record>,
    pub(crate) init: Arc<Process>,
    execs: Mutex<BTreeMap<String, Arc<Process>>>,
    /// Kills for want of memory that have been told.
    oom_kills: AtomicU64,
}

impl Container {
    pub(crate) fn new(bundle: PathBuf, record: Record, init: Process) -> Self {
        let (record, init) = (Mutex::new(record), Arc::new(init));
        Self { bundle, record, init, execs: Mutex::default(), oom_kills: AtomicU64::new(0) }
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn execs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Process>>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn id(&self) -> String {
        self.record().id.clone()
    }

    pub(crate) fn store(&self) -> Store {
        Store::new(self.bundle.join(STORE))
    }

    pub(crate) fn cgroup(&self) -> Result<Cgroup, Error> {
        let cgroup = self.record().cgroup.clone();
        cgroup.ok_or_else(|| Error::Precondition("the container has no cgroup".to_owned()))
    }

    /// A connection to the supervisor.
    pub(crate) fn client(&self) -> Result<Client, Error> {
        let sandbox = self.record().sandbox.clone();
        runtime_control::connect(&sandbox).map_err(io("the supervisor does not answer"))
    }

    /// A process by its exec id, the first by an empty one.
    pub(crate) fn process(&self, exec_id: &str) -> Result<Arc<Process>, Error> {
        match exec_id {
            "" => Ok(Arc::clone(&self.init)),
            id => self.execs().get(id).cloned().ok_or_else(|| Error::NotFound(format!("process {id:?}"))),
        }
    }

    /// Runs the container's program.
    pub(crate) fn start(self: &Arc<Self>, events: &Events) -> Result<i32, Error> {
        let mut life = self.init.life();
        match life.stage {
            Stage::Created(_) => {}
            Stage::Running => return Err(Error::Precondition("container is already running".to_owned())),
            Stage::Stopped => {
                return Err(Error::Precondition("cannot start a container that has stopped".to_owned()));
            }
        }
        let id = self.id();
        self.client()?.start(&id)?;
        life.stage = Stage::Running;
        let mut event = TaskStart::new();
        event.container_id.clone_from(&id);
        event.pid = life.pid.cast_unsigned();
        events.publish(TASK_START_EVENT_TOPIC, &event);
        let pid = life.pid;
        drop(life);
        let record = self.record().clone();
        // config.md: a failure is logged, and life goes on.
        if let Err(error) =
            hooks::run(HookKind::Poststart, &record.spec.hooks, &record.oci_state(Status::Running))
        {
            tracing::warn!("{error}");
        }
        Ok(pid)
    }

    /// Has a thread wait for a process's end.
    pub(crate) fn watch(self: &Arc<Self>, process: &Arc<Process>, events: &Events) -> Result<(), Error> {
        let client = self.client()?;
        let (container, process, events) = (Arc::clone(self), Arc::clone(process), events.clone());
        let body = move || {
            let id = container.id();
            let exit = client.wait(&id, process.exec_id.as_deref()).unwrap_or_else(|error| {
                // The supervisor is dead, and all its guests with it.
                tracing::warn!(%error, id, "a container's supervisor is gone");
                killed()
            });
            container.ended(&process, exit, &events);
        };
        thread::Builder::new()
            .name("wait".to_owned())
            .stack_size(STACK)
            .spawn(body)
            .map_err(io("a thread"))?;
        Ok(())
    }

    /// A process has ended.
    pub(crate) fn ended(&self, process: &Process, exit: Exit, events: &Events) {
        let mut life = process.life();
        let id = self.id();
        self.tell_oom(events);
        if process.exec_id.is_none() {
            // Whatever is left when the supervisor was killed.
            if let Ok(cgroup) = self.cgroup() {
                let _ = cgroup.thaw();
                let _ = cgroup.kill_all();
            }
        }
        let mut event = TaskExit::new();
        event.id = process.exec_id.clone().unwrap_or_else(|| id.clone());
        event.container_id = id;
        event.pid = life.pid.cast_unsigned();
        event.exit_status = exit.status.into();
        event.exited_at = Some(exited_at(&exit)).into();
        events.publish(TASK_EXIT_EVENT_TOPIC, &event);
        process.end(&mut life, exit);
    }

    /// Tells of kills for want of memory that nobody has heard of.
    pub(crate) fn tell_oom(&self, events: &Events) {
        let Ok(cgroup) = self.cgroup() else { return };
        let now = cgroup.oom_kills();
        if now > self.oom_kills.swap(now, Ordering::Relaxed) {
            let mut event = TaskOOM::new();
            event.container_id = self.id();
            events.publish(TASK_OOM_EVENT_TOPIC, &event);
        }
    }

    /// Sends a signal.
    pub(crate) fn kill(&self, exec_id: &str, signal: i32, all: bool) -> Result<(), Error> {
        let gone = || Error::NotFound("process already finished".to_owned());
        let process = self.process(exec_id)?;
        if process.exit().is_some() {
            return Err(gone());
        }
        if process.life().pid == 0 {
            return Err(Error::Precondition("the process has not been started".to_owned()));
        }
        let sent = self.client()?.kill(&self.id(), process.exec_id.as_deref(), signal, all);
        match sent {
            Err(error) if matches!(error.kind(), Some(Kind::WrongState | Kind::NotFound)) => Err(gone()),
            Err(CallError::Connection(_)) => Err(gone()),
            other => Ok(other?),
        }?;
        // SIGKILL does not reach frozen processes in version 1.
        if signal == rustix::process::Signal::KILL.as_raw()
            && let Ok(cgroup) = self.cgroup()
            && cgroup.is_frozen()
        {
            cgroup.thaw()?;
        }
        Ok(())
    }

    pub(crate) fn pause(&self, events: &Events) -> Result<(), Error> {
        self.running()?;
        self.cgroup()?.freeze()?;
        let mut event = TaskPaused::new();
        event.container_id = self.id();
        events.publish(TASK_PAUSED_EVENT_TOPIC, &event);
        Ok(())
    }

    pub(crate) fn resume(&self, events: &Events) -> Result<(), Error> {
        self.running()?;
        self.cgroup()?.thaw()?;
        let mut event = TaskResumed::new();
        event.container_id = self.id();
        events.publish(TASK_RESUMED_EVENT_TOPIC, &event);
        Ok(())
    }

    fn running(&self) -> Result<(), Error> {
        match self.init.life().stage {
            Stage::Running => Ok(()),
            _ => Err(Error::Precondition("the container is not running".to_owned())),
        }
    }

    /// Changes limits; what is not mentioned stays.
    pub(crate) fn update(&self, change: &serde_json::Value) -> Result<(), Error> {
        let resources = runtime_oci::resources_from_json(change)?;
        self.cgroup()?.update(&resources)?;
        // The limits hold; what follows is for those who look.
        let all = runtime_oci::cgroup::merged(&self.record().spec.resources, change)?;
        self.record().spec.resources = all.clone();
        let id = self.id();
        let entry = self.store().open(&id)?;
        if entry.lock()?
            && let Some(mut record) = entry.read()?
        {
            record.spec.resources = all.clone();
            entry.write(&record)?;
        }
        Ok(self.client()?.update(&id, &all)?)
    }

    /// Forgets a container that has ended, or has never started.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        let id = self.id();
        let asked = self.client().map(|client| client.delete(&id, None));
        if let Ok(Err(error)) = asked {
            tracing::debug!(%error, id, "the supervisor cannot delete a container");
        }
        let record = self.record().clone();
        if let Some(init) = record.init {
            let _ = init.wait_for_death(ending::DEATH);
        }
        match self.store().open(&id) {
            Ok(entry) if entry.lock()? => ending::clean_up(entry, &record)?,
            _ => {}
        }
        crate::rootfs::unmount_all(&self.bundle.join(ROOTFS));
        Ok(())
    }
}
