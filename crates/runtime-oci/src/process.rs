//! A process as config.json's `process`, or the file of `exec --process`, describes it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::home;

/// Who a process is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// `None`: 022.
    pub umask: Option<u32>,
}

/// A resource limit, by its RLIMIT_ number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
}

/// Rows and columns of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleSize {
    pub height: u16,
    pub width: u16,
}

/// What sched_setattr(2) is to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// SCHED_OTHER and so on.
    pub policy: u32,
    /// SCHED_FLAG_ bits.
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime_ns: u64,
    pub deadline_ns: u64,
    pub period_ns: u64,
}

/// What a process is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    #[serde(with = "crate::text::many")]
    pub args: Vec<Vec<u8>>,
    /// `KEY=VALUE` each.
    #[serde(with = "crate::text::many")]
    pub env: Vec<Vec<u8>>,
    #[serde(with = "crate::text::one")]
    pub cwd: Vec<u8>,
    pub user: User,
    /// Capability sets, as bit sets: bounding, effective, permitted, inheritable, ambient.
    pub capabilities: [u64; 5],
    pub no_new_privs: bool,
    pub rlimits: Vec<Rlimit>,
    /// Whether it gets a terminal of its own.
    pub terminal: bool,
    /// Its size at first; `None`: the caller's.
    pub console_size: Option<ConsoleSize>,
    /// For the host's OOM killer; `None`: as the supervisor's.
    pub oom_score_adj: Option<i32>,
    pub scheduling: Option<Scheduling>,
    /// ioprio_set(2)'s value: class and level.
    pub io_priority: Option<u16>,
    /// CPUs that an exec'd process starts on, and those it then may use.
    pub initial_cpus: Option<Vec<usize>>,
    pub final_cpus: Option<Vec<usize>>,
}

impl ProcessSpec {
    /// Adds HOME to an environment that has none: from /etc/passwd below `rootfs`, as runc does.
    pub fn set_home(&mut self, rootfs: &Path) {
        if !self.env.iter().any(|pair| pair.starts_with(b"HOME=")) {
            self.env.push(format!("HOME={}", home::of(rootfs, self.user.uid)).into_bytes());
        }
    }
}
