//! What can go wrong with cgroups: the field of config.json that asked for it, and what to do.

use std::io;
use std::path::PathBuf;

/// Why a cgroup could not be made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("config.json: {field}: {problem}")]
    Field { field: String, problem: String },
    #[error("config.json: {field}: cannot write {value:?} to {}: {error}", .path.display())]
    Refused { field: String, value: String, path: PathBuf, error: io::Error },
    #[error("cgroup {}: {error}", .0.display(), error = .1)]
    Io(PathBuf, io::Error),
    #[error("cgroup {}: still in use; end the processes that its cgroup.procs lists", .0.display())]
    Busy(PathBuf),
    #[error(
        "no cgroup hierarchy is mounted; mount one (mount -t cgroup2 none /sys/fs/cgroup), or leave linux.resources and linux.cgroupsPath out"
    )]
    NotMounted,
    #[error("the systemd cgroup driver: {0}")]
    Systemd(String),
    #[error("the host has no freezer; use a kernel with CONFIG_CGROUP_FREEZER, or mount its hierarchy")]
    NoFreezer,
    #[error("cgroup {}: some process did not stop within {} s", .0.display(), .1)]
    NotFrozen(PathBuf, u64),
}

pub(super) fn io_at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.into();
    move |error| CgroupError::Io(path, error)
}

pub(super) fn field(name: impl Into<String>, problem: impl Into<String>) -> CgroupError {
    CgroupError::Field { field: name.into(), problem: problem.into() }
}
