//! The machine: what a reader of the figures has to know of it, and the mount namespace that crun needs.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use serde_json::{Value, json};

/// Set in the process that runs in the private mount namespace.
const INNER: &str = "PALISADE_BENCH_INNER";

/// crun refuses a host that has both cgroup versions mounted. There, this program starts itself again in a mount
/// namespace of its own, without the second one, so that all runtimes are measured under the same conditions.
pub(crate) fn reenter_without_unified_cgroups() -> Option<ExitCode> {
    let hybrid = Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists();
    if !hybrid || std::env::var_os(INNER).is_some() {
        return None;
    }
    let status = Command::new("unshare")
        .args(["--mount", "sh", "-c", "umount /sys/fs/cgroup/unified; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().ok()?)
        .args(std::env::args_os().skip(1))
        .env(INNER, "1")
        .status();
    match status {
        Ok(status) => Some(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        // Without unshare crun is missing from the table, and nothing else.
        Err(_) => None,
    }
}

/// Kernel, processor and versions.
pub(crate) fn describe() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output().ok()?;
        String::from_utf8_lossy(&output.stdout).lines().next().map(ToOwned::to_owned)
    };
    json!({
        "kernel": read("/proc/sys/kernel/osrelease"),
        "cpu": model.trim_start_matches([' ', '\t', ':']),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "load": read("/proc/loadavg"),
        "runc": version("runc"),
        "crun": version("crun"),
        "runsc": version("runsc"),
    })
}
