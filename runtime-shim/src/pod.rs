//! The containers that share this shim, and their supervisor.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use containerd_shim_protos::api::CreateTaskRequest;
use containerd_shim_protos::events::task::{TaskCreate, TaskDelete, TaskIO};
use containerd_shim_protos::topics::{TASK_CREATE_EVENT_TOPIC, TASK_DELETE_EVENT_TOPIC};
use host_sys::image;
use runtime_control::{Client, Exit};
use tokio::sync::Notify;

use crate::container::{Container, SUPERVISOR};
use crate::create::{self, Making};
use crate::ending;
use crate::error::{Error, io};
use crate::events::Events;
use crate::memory;
use crate::options::{LogLevel, Options};
use crate::process::{Stage, exited_at, killed};

/// The supervisor's program.
const PROGRAM: &str = "palisade";
/// Stack of the thread that waits for the supervisor's death.
const STACK: usize = 64 * 1024;
/// How long nothing is asked until the shim is idle.
const QUIET: Duration = Duration::from_secs(1);

/// The pod.
pub(crate) struct Pod {
    debug: bool,
    pub(crate) events: Events,
    containers: Mutex<BTreeMap<String, Arc<Container>>>,
    /// The directory of the supervisor, while there is one.
    supervisor: Mutex<Option<PathBuf>>,
    end: Notify,
    /// A request has been carried out.
    served: Notify,
}

impl Pod {
    pub(crate) fn new(debug: bool, events: Events) -> Self {
        let (containers, supervisor) = (Mutex::default(), Mutex::default());
        Self { debug, events, containers, supervisor, end: Notify::new(), served: Notify::new() }
    }

    fn containers(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Container>>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn supervisor(&self) -> MutexGuard<'_, Option<PathBuf>> {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container by its id.
    pub(crate) fn find(&self, id: &str) -> Result<Arc<Container>, Error> {
        self.containers().get(id).cloned().ok_or_else(|| Error::NotFound(format!("container {id:?}")))
    }

    /// Says that a request has been carried out.
    pub(crate) fn has_served(&self) {
        self.served.notify_one();
    }

    /// Lets go of the program's pages whenever nothing has been asked for a while: most of them only requests need.
    pub(crate) async fn rest(&self) {
        loop {
            self.served.notified().await;
            while tokio::time::timeout(QUIET, self.served.notified()).await.is_ok() {}
            if let Err(error) = image::release() {
                tracing::debug!(%error, "cannot let go of the program's pages");
            }
        }
    }

    /// Waits until the pod has no more to do.
    pub(crate) async fn ended(&self) {
        self.end.notified().await;
    }

    /// Makes a container.
    pub(crate) fn create(&self, request: &CreateTaskRequest) -> Result<i32, Error> {
        if !request.checkpoint.is_empty() {
            return Err(Error::Unimplemented("restoring a checkpoint"));
        }
        if self.containers().contains_key(&request.id) {
            return Err(Error::Exists(format!("container {:?}", request.id)));
        }
        let options = Options::read(request.options.as_ref())?;
        let (sandbox, client) = self.connect(Path::new(&request.bundle), &options)?;
        let namespace = self.events.namespace();
        let making = Making { request, options: &options, sandbox: &sandbox, client: &client, namespace };
        let container = match create::create(&making) {
            Ok(container) => Arc::new(container),
            Err(error) => {
                self.end_if_empty();
                return Err(error);
            }
        };
        let pid = container.init.life().pid;
        self.containers().insert(request.id.clone(), Arc::clone(&container));
        let mut event = TaskCreate::new();
        event.container_id.clone_from(&request.id);
        event.bundle.clone_from(&request.bundle);
        event.rootfs.clone_from(&request.rootfs);
        event.pid = pid.cast_unsigned();
        let mut streams = TaskIO::new();
        streams.stdin.clone_from(&request.stdin);
        streams.stdout.clone_from(&request.stdout);
        streams.stderr.clone_from(&request.stderr);
        streams.terminal = request.terminal;
        event.io = Some(streams).into();
        self.events.publish(TASK_CREATE_EVENT_TOPIC, &event);
        container.watch(&container.init, &self.events)?;
        memory::watch(&container, &self.events);
        Ok(pid)
    }

    /// A connection to the supervisor, which is started for the first container.
    fn connect(&self, bundle: &Path, options: &Options) -> Result<(PathBuf, Client), Error> {
        let mut supervisor = self.supervisor();
        if let Some(dir) = &*supervisor {
            let client = runtime_control::connect(dir).map_err(io("the pod's supervisor is dead"))?;
            return Ok((dir.clone(), client));
        }
        let dir = bundle.join(SUPERVISOR);
        // Of one that has ended.
        let _ = fs::remove_dir_all(&dir);
        fs::DirBuilder::new().mode(0o700).create(&dir).map_err(io(dir.display()))?;
        let started = runtime_control::start(&dir, &self.options(bundle, options))
            .map_err(io("cannot start a supervisor (is palisade beside the shim, or in PATH?)"))?;
        let mut process = started.process;
        // `wait` closes no output: while this thread is there, the supervisor is.
        let reap = move || {
            let _ = process.wait();
        };
        let _ = thread::Builder::new().name("reap".to_owned()).stack_size(STACK).spawn(reap);
        *supervisor = Some(dir.clone());
        Ok((dir, started.client))
    }

    fn options(&self, bundle: &Path, options: &Options) -> runtime_control::Options {
        let mut arguments: Vec<OsString> = Vec::new();
        if self.debug || options.log_level == LogLevel::Debug {
            arguments.push("--debug".into());
        }
        if let (Some(log), Some(name)) = (&options.log, bundle.file_name()) {
            let mut name = name.to_owned();
            name.push(".log");
            arguments.extend(["--log".into(), log.join(name).into_os_string()]);
        }
        let program = options.palisade.clone().unwrap_or_else(program);
        runtime_control::Options { program: Some(program), arguments, single: false, tied: true }
    }

    /// Forgets a process or, with an empty exec id, a container.
    pub(crate) fn delete(&self, id: &str, exec_id: &str) -> Result<(i32, Exit), Error> {
        let container = self.find(id)?;
        let process = container.process(exec_id)?;
        let pid = {
            let life = process.life();
            if matches!(life.stage, Stage::Running) {
                return Err(Error::Precondition("cannot delete a running process".to_owned()));
            }
            life.pid
        };
        if exec_id.is_empty() {
            container.remove()?;
            self.containers().remove(id);
            self.end_if_empty();
        } else {
            if pid != 0 {
                // The supervisor may be gone, and the process with it.
                let _ = container.client().map(|client| client.delete(id, Some(exec_id)));
            }
            container.execs().remove(exec_id);
        }
        let exit = process.exit().unwrap_or_else(killed);
        if exec_id.is_empty() {
            let mut event = TaskDelete::new();
            event.container_id = id.to_owned();
            event.id = id.to_owned();
            event.pid = pid.cast_unsigned();
            event.exit_status = exit.status.into();
            event.exited_at = Some(exited_at(&exit)).into();
            self.events.publish(TASK_DELETE_EVENT_TOPIC, &event);
        }
        Ok((pid, exit))
    }

    /// Ends the supervisor when it has nothing to do.
    fn end_if_empty(&self) {
        let mut supervisor = self.supervisor();
        if self.containers().is_empty()
            && let Some(dir) = supervisor.take()
        {
            ending::end_supervisor(&dir);
            let _ = fs::remove_dir_all(dir);
        }
    }

    /// containerd needs the shim no more; while there are containers it is wrong.
    pub(crate) fn shutdown(&self) {
        if self.containers().is_empty() {
            self.end.notify_one();
        }
    }
}

/// `palisade` beside this program, else whichever PATH has.
fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(PROGRAM));
    beside.filter(|program| program.is_file()).unwrap_or_else(|| PathBuf::from(PROGRAM))
}
