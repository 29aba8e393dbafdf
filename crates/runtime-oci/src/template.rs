//! The configuration that `spec` writes to begin with: what `runc spec` writes, for this runtime.

use serde_json::{Value, json};

use crate::OCI_VERSION;

const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/// A shell in `rootfs`. `rootless`: without what takes root.
#[must_use]
pub fn template(rootless: Rootless) -> Value {
    let mut config = json!({
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES, "ambient": CAPABILITIES,
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "palisade",
        "mounts": mounts(),
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
                { "type": "cgroup" },
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    });
    if let (Rootless::For { uid, gid }, Some(linux)) = (rootless, config["linux"].as_object_mut()) {
        // A plain user makes no cgroup, and is root inside, so that files have the same owner on both sides.
        linux.remove("resources");
        let map = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
        linux.extend([("uidMappings".to_owned(), map(uid)), ("gidMappings".to_owned(), map(gid))]);
        linux["namespaces"].as_array_mut().into_iter().for_each(|all| all.push(json!({ "type": "user" })));
    }
    config
}

/// Whether the configuration is for a plain user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rootless {
    No,
    /// For the one with these ids on the host.
    For {
        uid: u32,
        gid: u32,
    },
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": source, "options": options });
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ])
}

#[cfg(test)]
mod tests {
    use super::{Rootless, template};
    use std::path::Path;

    #[test]
    fn templates_are_accepted() {
        for rootless in [Rootless::No, Rootless::For { uid: 1000, gid: 100 }] {
            let spec = crate::parse(Path::new("/b"), &template(rootless)).unwrap();
            assert_eq!((spec.rootfs.as_path(), spec.mounts.len()), (Path::new("/b/rootfs"), 7));
        }
    }
}
