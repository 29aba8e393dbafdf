//! OCI bundles: a config.json beside nothing else; the root is elsewhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::roots::PROBE_DIR;

/// The environment of every program that is measured.
pub(crate) const ENVIRONMENT: &[&str] = &[
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/probe",
    "HOME=/root",
    "LANG=C.UTF-8",
    "GIT_CONFIG_COUNT=1",
    "GIT_CONFIG_KEY_0=safe.directory",
    "GIT_CONFIG_VALUE_0=*",
];

/// Whether a program may write to its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RootMode {
    ReadOnly,
    Writable,
}

/// A program on a root, removed with this value.
#[derive(Debug)]
pub(crate) struct Bundle {
    dir: TempDir,
    pub(crate) root: PathBuf,
    pub(crate) mode: RootMode,
    /// The host's directory that is shown at [`PROBE_DIR`].
    pub(crate) probe: PathBuf,
    pub(crate) argv: Vec<String>,
}

impl Bundle {
    pub(crate) fn new(root: &Path, mode: RootMode, probe: &Path, argv: &[&str]) -> io::Result<Self> {
        let bundle = Self {
            dir: tempfile::Builder::new().prefix("palisade-bench-").tempdir()?,
            root: root.to_owned(),
            mode,
            probe: probe.to_owned(),
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
        };
        let text = serde_json::to_string_pretty(&bundle.config())?;
        fs::write(bundle.path().join("config.json"), text)?;
        Ok(bundle)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where `create` writes whom to wait for.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.path().join("pid")
    }

    /// What `runc spec` writes, as far as it matters here.
    fn config(&self) -> Value {
        let caps = [
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_FOWNER",
            "CAP_FSETID",
            "CAP_KILL",
            "CAP_MKNOD",
            "CAP_NET_BIND_SERVICE",
            "CAP_SETGID",
            "CAP_SETPCAP",
            "CAP_SETUID",
            "CAP_SYS_CHROOT",
        ];
        let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind }));
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false, "user": { "uid": 0, "gid": 0 }, "args": self.argv, "env": ENVIRONMENT, "cwd": "/",
                "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
                "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": most_files(), "soft": most_files() }],
                "noNewPrivileges": true,
            },
            "root": { "path": self.root, "readonly": self.mode == RootMode::ReadOnly },
            "hostname": "bench",
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                  "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
                { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                  "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
                { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                  "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
                { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"] },
                { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
                { "destination": PROBE_DIR, "type": "bind", "source": self.probe, "options": ["rbind", "ro"] },
            ],
            "linux": {
                "namespaces": namespaces,
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            },
        })
    }
}

/// Some suites have many connections; but this process may not raise its own limit.
fn most_files() -> u64 {
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    own.maximum.unwrap_or(u64::MAX).min(65536)
}
