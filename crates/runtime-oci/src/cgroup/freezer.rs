//! Stopping, continuing and killing all processes of a group.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::error::io_at;
use super::hierarchy::Version;
use super::{Cgroup, CgroupError, setting};

/// How long the processes of a group may take to stop or to die.
const TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

/// The states of a freezer, in the words of either version.
#[derive(Clone, Copy)]
enum Freezer {
    Frozen,
    Thawed,
}

impl Freezer {
    fn word(self, version: Version) -> &'static str {
        match (self, version) {
            (Self::Frozen, Version::V1) => "FROZEN",
            (Self::Thawed, Version::V1) => "THAWED",
            (Self::Frozen, Version::V2) => "1",
            (Self::Thawed, Version::V2) => "0",
        }
    }
}

impl Cgroup {
    fn freezer(&self) -> Result<(&Path, &'static str), CgroupError> {
        let file = match self.version {
            Version::V1 => "freezer.state",
            Version::V2 => "cgroup.freeze",
        };
        let directory = self.directory("freezer").filter(|directory| directory.join(file).exists());
        directory.map(|directory| (directory, file)).ok_or(CgroupError::NoFreezer)
    }

    fn set_freezer(&self, to: Freezer) -> Result<(), CgroupError> {
        let (directory, file) = self.freezer()?;
        let path = directory.join(file);
        setting::write(&path, to.word(self.version)).map_err(io_at(path))
    }

    /// Whether it is frozen, or about to be.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let Ok((directory, file)) = self.freezer() else { return false };
        let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
        matches!(text.trim(), "1" | "FROZEN" | "FREEZING")
    }

    /// Stops all processes, and returns when none of them runs any more.
    ///
    /// A thread whose call waits in the supervisor sleeps killably, and the host counts it as frozen only when the
    /// call has been answered; it stops then, before its next instruction. So it counts here as it is.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        let (directory, _) = self.freezer()?;
        self.set_freezer(Freezer::Frozen)?;
        let until = Instant::now() + TIMEOUT;
        while !self.all_stopped(directory) {
            if Instant::now() > until {
                let _ = self.thaw();
                return Err(CgroupError::NotFrozen(directory.to_path_buf(), TIMEOUT.as_secs()));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn all_stopped(&self, directory: &Path) -> bool {
        let (file, word) = match self.version {
            Version::V1 => ("freezer.state", "FROZEN"),
            Version::V2 => ("cgroup.events", "frozen 1"),
        };
        let text = fs::read_to_string(directory.join(file)).unwrap_or_default();
        text.lines().any(|line| line == word) || self.pids().into_iter().all(sleeps_deeply)
    }

    /// Lets them go on.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.set_freezer(Freezer::Thawed)
    }

    /// Kills all processes, frozen ones too, and waits until none is left.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        let until = Instant::now() + TIMEOUT;
        loop {
            let pids = self.pids();
            let Some(first) = self.directories.values().next().filter(|_| !pids.is_empty()) else {
                return Ok(());
            };
            if Instant::now() > until {
                return Err(CgroupError::Busy(first.clone()));
            }
            // Linux 5.14, version 2: at once, those that are forking too.
            let kill = first.join("cgroup.kill");
            match setting::write(&kill, "1") {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    for pid in pids.into_iter().filter_map(Pid::from_raw) {
                        // It may be gone.
                        let _ = kill_process(pid, Signal::KILL);
                    }
                }
                done => done.map_err(io_at(kill))?,
            }
            if self.is_frozen() {
                self.thaw()?;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Whether no thread of a process runs or can be woken by anything but the supervisor or a kill.
fn sleeps_deeply(pid: i32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.map(|task| fs::read_to_string(task.path().join("stat")).unwrap_or_default()).all(|stat| {
        // The name, in parentheses, may hold anything.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        matches!(state, None | Some('D' | 'T' | 't' | 'Z' | 'X'))
    })
}
