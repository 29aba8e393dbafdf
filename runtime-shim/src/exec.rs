//! Processes that join a container.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use containerd_shim_protos::api::ExecProcessRequest;
use containerd_shim_protos::events::task::{TaskExecAdded, TaskExecStarted};
use containerd_shim_protos::topics::{TASK_EXEC_ADDED_EVENT_TOPIC, TASK_EXEC_STARTED_EVENT_TOPIC};
use runtime_control::Exec;
use runtime_oci::ProcessSpec;

use crate::container::Container;
use crate::create::wanted;
use crate::error::Error;
use crate::events::Events;
use crate::process::{Process, Stage, killed};
use crate::relay;
use crate::stdio::{Kept, Paths, Streams};

impl Container {
    /// Takes note of a process that is to be started.
    pub(crate) fn exec(&self, request: &ExecProcessRequest, events: &Events) -> Result<(), Error> {
        if self.init.exit().is_some() {
            return Err(Error::Precondition("cannot exec in a stopped container".to_owned()));
        }
        let config = request.spec.as_ref().map(|any| any.value.as_slice()).unwrap_or_default();
        let config = serde_json::from_slice(config)
            .map_err(|error| Error::Invalid(format!("the process to run: {error}")))?;
        let mut spec = runtime_oci::process_from_json(&config)?;
        spec.terminal = request.terminal;
        spec.set_home(&self.record().spec.rootfs);
        let paths = Paths {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
            id: request.exec_id.clone(),
            namespace: events.namespace().to_owned(),
        };
        let process = Process::joining(request.exec_id.clone(), paths, spec);
        {
            let mut execs = self.execs();
            if execs.contains_key(&request.exec_id) {
                return Err(Error::Exists(format!("process {:?}", request.exec_id)));
            }
            execs.insert(request.exec_id.clone(), Arc::new(process));
        }
        let mut event = TaskExecAdded::new();
        event.container_id = self.id();
        event.exec_id.clone_from(&request.exec_id);
        events.publish(TASK_EXEC_ADDED_EVENT_TOPIC, &event);
        Ok(())
    }

    /// Starts a process that was noted.
    pub(crate) fn start_exec(self: &Arc<Self>, exec_id: &str, events: &Events) -> Result<i32, Error> {
        let process = self.process(exec_id)?;
        let mut life = process.life();
        let spec = match &mut life.stage {
            Stage::Created(spec) => spec.take(),
            _ => None,
        };
        let Some(spec) = spec else {
            return Err(Error::Precondition("the process has been started already".to_owned()));
        };
        let (pid, kept) = match self.join(exec_id, *spec, &process.paths) {
            Ok(made) => made,
            Err(error) => {
                // It can be deleted, as if it had run.
                process.end(&mut life, killed());
                return Err(error);
            }
        };
        life.pid = pid;
        life.kept = kept;
        life.stage = Stage::Running;
        let mut event = TaskExecStarted::new();
        event.container_id = self.id();
        event.exec_id = exec_id.to_owned();
        event.pid = pid.cast_unsigned();
        events.publish(TASK_EXEC_STARTED_EVENT_TOPIC, &event);
        drop(life);
        self.watch(&process, events)?;
        Ok(pid)
    }

    fn join(&self, exec_id: &str, process: ProcessSpec, paths: &Paths) -> Result<(i32, Kept), Error> {
        let Streams { input, output, errors, kept } = Streams::open(paths)?;
        let streams = wanted(&process);
        let fds: Vec<BorrowedFd<'_>> = match paths.terminal {
            true => Vec::new(),
            false => vec![input.as_fd(), output.as_fd(), errors.as_fd()],
        };
        let request = Exec { id: self.id(), exec_id: exec_id.to_owned(), process, streams, forget: false };
        let (started, master) = self.client()?.exec(request, &fds)?;
        if let Some(master) = master {
            relay::start(master, input, output)?;
        }
        Ok((started.pid, kept))
    }
}
