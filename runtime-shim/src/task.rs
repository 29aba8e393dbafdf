//! containerd's Task service: each request is translated, and carried out on a thread that may wait.

use std::sync::Arc;

use async_trait::async_trait;
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest,
    CreateTaskResponse, DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest,
    PidsRequest, PidsResponse, ProcessInfo, ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest,
    StartResponse, StateRequest, StateResponse, StatsRequest, StatsResponse, Status, UpdateTaskRequest,
    WaitRequest, WaitResponse,
};
use containerd_shim_protos::shim::oci::ProcessDetails;
use containerd_shim_protos::shim_async::Task;
use containerd_shim_protos::ttrpc::r#async::TtrpcContext;
use containerd_shim_protos::ttrpc::{self, Result};
use runtime_control::{Request, WindowSize};

use crate::container::Container;
use crate::error::Error;
use crate::events::any;
use crate::metrics;
use crate::pod::Pod;
use crate::process::{Stage, exited_at};

/// The service.
pub(crate) struct Service {
    pod: Arc<Pod>,
}

impl Service {
    pub(crate) fn new(pod: Arc<Pod>) -> Self {
        Self { pod }
    }

    /// Does something that waits for files, the supervisor or programs.
    async fn perform<T: Send + 'static>(
        &self,
        body: impl FnOnce(&Pod) -> std::result::Result<T, Error> + Send + 'static,
    ) -> Result<T> {
        let pod = Arc::clone(&self.pod);
        let done = tokio::task::spawn_blocking(move || body(&pod)).await;
        self.pod.has_served();
        match done {
            Ok(done) => done.map_err(|error| {
                tracing::debug!("{error}");
                error.into()
            }),
            Err(error) => Err(ttrpc::Error::Others(error.to_string())),
        }
    }
}

#[async_trait]
impl Task for Service {
    async fn create(&self, _: &TtrpcContext, request: CreateTaskRequest) -> Result<CreateTaskResponse> {
        let pid = self.perform(move |pod| pod.create(&request)).await?;
        let mut response = CreateTaskResponse::new();
        response.pid = pid.cast_unsigned();
        Ok(response)
    }

    async fn start(&self, _: &TtrpcContext, request: StartRequest) -> Result<StartResponse> {
        let start = move |pod: &Pod| {
            let container = pod.find(&request.id)?;
            match request.exec_id.as_str() {
                "" => container.start(&pod.events),
                exec_id => container.start_exec(exec_id, &pod.events),
            }
        };
        let mut response = StartResponse::new();
        response.pid = self.perform(start).await?.cast_unsigned();
        Ok(response)
    }

    async fn delete(&self, _: &TtrpcContext, request: DeleteRequest) -> Result<DeleteResponse> {
        let (pid, exit) = self.perform(move |pod| pod.delete(&request.id, &request.exec_id)).await?;
        let mut response = DeleteResponse::new();
        response.pid = pid.cast_unsigned();
        response.exit_status = exit.status.into();
        response.exited_at = Some(exited_at(&exit)).into();
        Ok(response)
    }

    async fn exec(&self, _: &TtrpcContext, request: ExecProcessRequest) -> Result<Empty> {
        self.perform(move |pod| pod.find(&request.id)?.exec(&request, &pod.events)).await?;
        Ok(Empty::new())
    }

    async fn state(&self, _: &TtrpcContext, request: StateRequest) -> Result<StateResponse> {
        self.perform(move |pod| state(&*pod.find(&request.id)?, &request)).await
    }

    async fn pids(&self, _: &TtrpcContext, request: PidsRequest) -> Result<PidsResponse> {
        self.perform(move |pod| pids(&*pod.find(&request.id)?)).await
    }

    async fn pause(&self, _: &TtrpcContext, request: PauseRequest) -> Result<Empty> {
        self.perform(move |pod| pod.find(&request.id)?.pause(&pod.events)).await?;
        Ok(Empty::new())
    }

    async fn resume(&self, _: &TtrpcContext, request: ResumeRequest) -> Result<Empty> {
        self.perform(move |pod| pod.find(&request.id)?.resume(&pod.events)).await?;
        Ok(Empty::new())
    }

    async fn checkpoint(&self, _: &TtrpcContext, _: CheckpointTaskRequest) -> Result<Empty> {
        Err(Error::Unimplemented("checkpoint").into())
    }

    async fn kill(&self, _: &TtrpcContext, request: KillRequest) -> Result<Empty> {
        let kill = move |pod: &Pod| {
            pod.find(&request.id)?.kill(&request.exec_id, request.signal.cast_signed(), request.all)
        };
        self.perform(kill).await?;
        Ok(Empty::new())
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: ResizePtyRequest) -> Result<Empty> {
        let resize = move |pod: &Pod| {
            let container = pod.find(&request.id)?;
            let exec_id = container.process(&request.exec_id)?.exec_id.clone();
            let short = |length: u32| u16::try_from(length).unwrap_or(u16::MAX);
            let size = WindowSize { rows: short(request.height), columns: short(request.width) };
            container.client()?.call(&Request::Resize { id: request.id, exec_id, size }, &[])?;
            Ok(())
        };
        self.perform(resize).await?;
        Ok(Empty::new())
    }

    async fn close_io(&self, _: &TtrpcContext, request: CloseIORequest) -> Result<Empty> {
        let close = move |pod: &Pod| {
            let process = pod.find(&request.id)?.process(&request.exec_id)?;
            if request.stdin {
                process.life().kept.close_input();
            }
            Ok(())
        };
        self.perform(close).await?;
        Ok(Empty::new())
    }

    async fn update(&self, _: &TtrpcContext, request: UpdateTaskRequest) -> Result<Empty> {
        let update = move |pod: &Pod| {
            let change = request.resources.as_ref().map(|any| any.value.as_slice()).unwrap_or_default();
            let change = serde_json::from_slice(change)
                .map_err(|error| Error::Invalid(format!("linux.resources: {error}")))?;
            pod.find(&request.id)?.update(&change)
        };
        self.perform(update).await?;
        Ok(Empty::new())
    }

    async fn wait(&self, _: &TtrpcContext, request: WaitRequest) -> Result<WaitResponse> {
        let process = self.pod.find(&request.id)?.process(&request.exec_id)?;
        let exit = process.wait().await;
        let mut response = WaitResponse::new();
        response.exit_status = exit.status.into();
        response.exited_at = Some(exited_at(&exit)).into();
        Ok(response)
    }

    async fn stats(&self, _: &TtrpcContext, request: StatsRequest) -> Result<StatsResponse> {
        let stats = self.perform(move |pod| metrics::of(&pod.find(&request.id)?.cgroup()?)).await?;
        let mut response = StatsResponse::new();
        response.stats = Some(stats).into();
        Ok(response)
    }

    async fn connect(&self, _: &TtrpcContext, request: ConnectRequest) -> Result<ConnectResponse> {
        let mut response = ConnectResponse::new();
        response.shim_pid = std::process::id();
        response.task_pid =
            self.pod.find(&request.id).map_or(0, |container| container.init.life().pid.cast_unsigned());
        env!("CARGO_PKG_VERSION").clone_into(&mut response.version);
        Ok(response)
    }

    async fn shutdown(&self, _: &TtrpcContext, _: ShutdownRequest) -> Result<Empty> {
        self.pod.shutdown();
        Ok(Empty::new())
    }
}

fn state(container: &Container, request: &StateRequest) -> std::result::Result<StateResponse, Error> {
    let process = container.process(&request.exec_id)?;
    let mut response = StateResponse::new();
    let life = process.life();
    let frozen = || container.cgroup().is_ok_and(|cgroup| cgroup.is_frozen());
    let status = match life.stage {
        Stage::Created(_) => Status::CREATED,
        Stage::Running if process.exec_id.is_none() && frozen() => Status::PAUSED,
        Stage::Running => Status::RUNNING,
        Stage::Stopped => Status::STOPPED,
    };
    response.id.clone_from(&request.id);
    response.bundle = container.bundle.display().to_string();
    response.pid = life.pid.cast_unsigned();
    response.status = status.into();
    response.stdin.clone_from(&process.paths.stdin);
    response.stdout.clone_from(&process.paths.stdout);
    response.stderr.clone_from(&process.paths.stderr);
    response.terminal = process.paths.terminal;
    response.exec_id.clone_from(&request.exec_id);
    if let Some(exit) = process.exit() {
        response.exit_status = exit.status.into();
        response.exited_at = Some(exited_at(&exit)).into();
    }
    Ok(response)
}

fn pids(container: &Container) -> std::result::Result<PidsResponse, Error> {
    let joined: Vec<_> = container.execs().values().cloned().collect();
    let mut response = PidsResponse::new();
    for pid in container.client()?.pids(&container.id())? {
        let mut info = ProcessInfo::new();
        info.pid = pid.cast_unsigned();
        if let Some(exec_id) =
            joined.iter().find(|one| one.life().pid == pid).and_then(|one| one.exec_id.clone())
        {
            let mut details = ProcessDetails::new();
            details.exec_id = exec_id;
            info.info = Some(any(&details)).into();
        }
        response.processes.push(info);
    }
    Ok(response)
}
