//! One look at sandboxes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime_control::observe::{Depth, Stats};
use runtime_oci::cgroup;
use runtime_oci::{Record, Status, Store};

/// Where containerd's shims keep their containers: NAMESPACE/ID, with our store in it.
const CONTAINERD: &str = "/run/containerd/io.containerd.runtime.v2.task";
/// The store's name there.
const SHIM_STORE: &str = "palisade";
/// How long a supervisor may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Whoever looks again within this time finds that all calls in between were counted.
pub const LEASE: Duration = Duration::from_secs(300);

/// What is seen of a container.
#[derive(Clone, Debug)]
pub struct Sample {
    pub id: String,
    /// containerd's namespace; empty for a container of the command line.
    pub namespace: String,
    pub status: Status,
    /// What its supervisor has counted; `None`: it does not run, or does not answer.
    pub stats: Option<Stats>,
    /// Resident memory of the supervisor, which others of its pod may share.
    pub supervisor_bytes: Option<u64>,
    pub cgroup: Option<cgroup::Stats>,
    pub oom_kills: u64,
}

/// Where containers of this machine are written down, with containerd's namespaces.
#[must_use]
pub fn stores(root: &Path) -> Vec<(String, Store)> {
    let mut found = vec![(String::new(), Store::new(root.to_path_buf()))];
    let entries = |path: &Path| -> Vec<PathBuf> {
        let read = fs::read_dir(path).map(|list| list.flatten().map(|entry| entry.path()).collect());
        read.unwrap_or_default()
    };
    for namespace in entries(Path::new(CONTAINERD)) {
        let name = namespace.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for container in entries(&namespace) {
            let store = container.join(SHIM_STORE);
            if store.is_dir() {
                found.push((name.clone(), Store::new(store)));
            }
        }
    }
    found
}

/// Looks at every container in these stores. One that cannot be read is on its way in or out.
#[must_use]
pub fn all(stores: &[(String, Store)]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for (namespace, store) in stores {
        for id in store.ids().unwrap_or_default() {
            if let Ok(entry) = store.open(&id)
                && let Ok(Some(record)) = entry.read()
            {
                samples.push(of(namespace, record));
            }
        }
    }
    samples
}

/// Looks at one container, whose calls are counted for a while from now on.
#[must_use]
pub fn of(namespace: &str, record: Record) -> Sample {
    let mut record = record.current();
    let frozen = record.cgroup.as_ref().is_some_and(cgroup::Cgroup::is_frozen);
    if record.status == Status::Running && frozen {
        record.status = Status::Paused;
    }
    let lives = !matches!(record.status, Status::Stopped | Status::Creating);
    let stats = if lives { ask(&record) } else { None };
    let supervisor = record.supervisor.filter(|_| lives);
    Sample {
        namespace: namespace.to_owned(),
        status: record.status,
        stats,
        supervisor_bytes: supervisor.and_then(|process| resident(process.pid)),
        cgroup: record.cgroup.as_ref().filter(|_| lives).and_then(|cgroup| cgroup.stats().ok()),
        oom_kills: record.cgroup.as_ref().filter(|_| lives).map_or(0, cgroup::Cgroup::oom_kills),
        id: record.id,
    }
}

fn ask(record: &Record) -> Option<Stats> {
    let client = runtime_control::connect(&record.sandbox).ok()?;
    client.set_timeout(PATIENCE).ok()?;
    client.stats(&record.id, Depth::Counts, LEASE).ok()
}

/// VmRSS of a process.
fn resident(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}
