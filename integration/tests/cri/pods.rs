//! Pods as a test makes them.

use std::sync::atomic::{AtomicU32, Ordering};

use integration::containerd::{Containerd, IMAGE};

use crate::client::Cri;
use crate::messages::{
    ContainerConfig, ContainerSecurity, CreateContainerRequest, Id, ImageStatusRequest, ImageStatusResponse,
    LinuxContainerConfig, LinuxContainerResources, LinuxPodSandboxConfig, NamespaceMode, NamespaceOption,
    Nothing, PodSandboxConfig, PodSandboxMetadata, RunPodSandboxRequest, SandboxSecurity, StatusResponse,
};

/// A pod that runs.
pub(crate) struct Pod {
    pub(crate) id: String,
    config: PodSandboxConfig,
    namespaces: NamespaceOption,
}

/// Where the containers' logs are, in the scratch directory.
pub(crate) const LOGS: &str = "logs";

/// What a kubelet asks for unless the pod wants its containers to share processes.
pub(crate) const OWN_PROCESSES: NamespaceOption = NamespaceOption {
    network: NamespaceMode::Pod as i32,
    pid: NamespaceMode::Container as i32,
    ipc: NamespaceMode::Pod as i32,
};

/// A client of a containerd whose CRI service is ready to run pods.
pub(crate) fn connect(containerd: &Containerd) -> Cri {
    let cri = Cri::new(&containerd.socket());
    wait_ready(containerd, &cri);
    cri
}

/// Waits until the service, its network and the image are there: it takes them up one by one.
pub(crate) fn wait_ready(containerd: &Containerd, cri: &Cri) {
    containerd.eventually("CRI is ready", || {
        let status = cri.ask::<StatusResponse>("RuntimeService/Status", Nothing {});
        let status = status.ok().and_then(|response| response.status).unwrap_or_default();
        !status.conditions.is_empty() && status.conditions.iter().all(|condition| condition.status)
    });
    containerd.eventually("CRI knows the image", || {
        let request = ImageStatusRequest { image: Some(Id { id: IMAGE.to_owned() }) };
        let found = cri.ask::<ImageStatusResponse>("ImageService/ImageStatus", request);
        found.is_ok_and(|response| response.image.is_some())
    });
}

/// Runs a pod with this handler.
pub(crate) fn run(containerd: &Containerd, cri: &Cri, handler: &str, namespaces: NamespaceOption) -> Pod {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("pod-{handler}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let uid = format!("{name}-{}", std::process::id());
    let metadata = PodSandboxMetadata { name, uid, namespace: "test".to_owned() };
    let security_context = Some(SandboxSecurity { namespace_options: Some(namespaces) });
    let linux = LinuxPodSandboxConfig { cgroup_parent: containerd.cgroup_parent(), security_context };
    let config = PodSandboxConfig {
        metadata: Some(metadata),
        hostname: "podhost".to_owned(),
        log_directory: containerd.scratch().join(LOGS).display().to_string(),
        linux: Some(linux),
    };
    let request = RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: handler.to_owned() };
    let run: Id = cri.must("RunPodSandbox", request);
    Pod { id: run.id, config, namespaces }
}

impl Pod {
    /// Makes a container of the pod that runs a shell script.
    pub(crate) fn create(&self, cri: &Cri, name: &str, script: &str) -> String {
        let resources = LinuxContainerResources { memory_limit_in_bytes: 256 << 20 };
        let namespace_options = Some(self.namespaces);
        let security_context = ContainerSecurity { namespace_options, seccomp: Some(Nothing {}) };
        let linux =
            LinuxContainerConfig { resources: Some(resources), security_context: Some(security_context) };
        let config = ContainerConfig {
            metadata: Some(Id { id: name.to_owned() }),
            image: Some(Id { id: IMAGE.to_owned() }),
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            log_path: format!("{name}.log"),
            linux: Some(linux),
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: self.id.clone(),
            config: Some(config),
            sandbox_config: Some(self.config.clone()),
        };
        let made: Id = cri.must("CreateContainer", request);
        made.id
    }

    /// Makes a container and starts it.
    pub(crate) fn start(&self, cri: &Cri, name: &str, script: &str) -> String {
        let id = self.create(cri, name, script);
        cri.tell("StartContainer", &id);
        id
    }

    /// Ends the pod and removes it, with all that is in it.
    pub(crate) fn remove(self, cri: &Cri) {
        cri.tell("StopPodSandbox", &self.id);
        cri.tell("RemovePodSandbox", &self.id);
    }
}
