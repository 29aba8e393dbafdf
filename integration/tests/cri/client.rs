//! containerd's CRI service: what a kubelet asks of it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tonic::client::Grpc;

use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;
use tungstenite::http::uri::PathAndQuery;

use crate::messages::{
    ContainerStatus, ContainerStatusResponse, ExecRequest, ExecSyncRequest, ExecSyncResponse, Id, Nothing,
    PodSandboxStatus, PodSandboxStatusResponse, StopContainerRequest,
};

/// Nothing that a test asks takes this long.
const LIMIT: Duration = Duration::from_secs(60);

/// A client, which connects again after containerd's restart.
pub(crate) struct Cri {
    runtime: Runtime,
    channel: Channel,
}

impl Cri {
    /// A client of the containerd with this socket.
    pub(crate) fn new(socket: &Path) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let socket = PathBuf::from(socket);
        let connect = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
        });
        let channel = {
            let _inside = runtime.enter();
            Endpoint::from_static("http://containerd").timeout(LIMIT).connect_with_connector_lazy(connect)
        };
        Self { runtime, channel }
    }

    /// Calls a method, `RuntimeService/Version` say.
    pub(crate) fn ask<R>(&self, method: &str, request: impl Message + 'static) -> Result<R, Status>
    where
        R: Message + Default + 'static,
    {
        let path = format!("/runtime.v1.{method}").parse::<PathAndQuery>().expect("a path");
        self.runtime.block_on(async {
            let mut client = Grpc::new(self.channel.clone());
            client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let answer = client.unary(Request::new(request), path, ProstCodec::default()).await?;
            Ok(answer.into_inner())
        })
    }

    /// As [`Cri::ask`] of the runtime service, which has to succeed.
    pub(crate) fn must<R: Message + Default + 'static>(
        &self,
        method: &str,
        request: impl Message + 'static,
    ) -> R {
        let done = self.ask(&format!("RuntimeService/{method}"), request);
        done.unwrap_or_else(|status| panic!("{method}: {status}"))
    }

    pub(crate) fn pod_status(&self, pod: &str) -> PodSandboxStatus {
        let response: PodSandboxStatusResponse = self.must("PodSandboxStatus", Id { id: pod.to_owned() });
        response.status.expect("a status")
    }

    pub(crate) fn status(&self, container: &str) -> ContainerStatus {
        let response: ContainerStatusResponse = self.must("ContainerStatus", Id { id: container.to_owned() });
        response.status.expect("a status")
    }

    /// Runs a shell script in a container to its end: what it wrote, and its status.
    pub(crate) fn sh(&self, container: &str, script: &str) -> (String, i32) {
        let cmd = ["sh", "-c", script].map(str::to_owned).to_vec();
        let request = ExecSyncRequest { container_id: container.to_owned(), cmd, timeout: 30 };
        let done: ExecSyncResponse = self.must("ExecSync", request);
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (text(done.stdout) + &text(done.stderr), done.exit_code)
    }

    /// Where to connect to for a process that runs a shell script.
    pub(crate) fn exec(&self, container: &str, script: &str) -> String {
        let cmd = ["sh", "-c", script].map(str::to_owned).to_vec();
        let container_id = container.to_owned();
        let request = ExecRequest { container_id, cmd, tty: false, stdin: true, stdout: true, stderr: true };
        let answer: Id = self.must("Exec", request);
        answer.id
    }

    pub(crate) fn stop(&self, container: &str, timeout: i64) {
        let request = StopContainerRequest { container_id: container.to_owned(), timeout };
        let Nothing {} = self.must("StopContainer", request);
    }

    /// Calls a method that names a pod or container and answers nothing.
    pub(crate) fn tell(&self, method: &str, id: &str) {
        let Nothing {} = self.must(method, Id { id: id.to_owned() });
    }
}
