//! What a failed start must not leave behind: processes, mounts, cgroups, state directories.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;

use crate::process;

/// Everything on the host that a sandbox could leave behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostState {
    /// `pid (name)` of processes below this one.
    pub processes: BTreeSet<String>,
    pub mounts: BTreeSet<String>,
    /// Directories below /sys/fs/cgroup whose path says so.
    pub cgroups: BTreeSet<String>,
    /// Entries of the directories where runtimes keep state.
    pub state: BTreeSet<String>,
}

const STATE_DIRS: &[&str] =
    &["/run/palisade", "/run/user/0/palisade", "/var/run/palisade", "/var/lib/palisade"];

impl HostState {
    /// Reads the present state.
    pub fn now() -> Self {
        let mut state = Self { processes: processes(), mounts: mounts(), ..Self::default() };
        walk(Path::new("/sys/fs/cgroup"), &mut |path| {
            if path.to_string_lossy().contains("palisade") {
                state.cgroups.insert(path.display().to_string());
            }
        });
        for dir in STATE_DIRS.iter().map(Path::new).filter(|dir| dir.exists()) {
            walk(dir, &mut |path| {
                state.state.insert(path.display().to_string());
            });
        }
        state
    }

    /// Panics unless nothing is there that was not there when `self` was taken. What is about to vanish gets
    /// a moment: a killed process is reaped by the host's init after our runtime has ended.
    pub fn assert_nothing_left(&self, after_what: &str) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let left = Self::now().minus(self);
            if left == Self::default() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind after {after_what}: {left:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn minus(&self, earlier: &Self) -> Self {
        let new = |now: &BTreeSet<String>, then: &BTreeSet<String>| now.difference(then).cloned().collect();
        Self {
            processes: new(&self.processes, &earlier.processes),
            mounts: new(&self.mounts, &earlier.mounts),
            cgroups: new(&self.cgroups, &earlier.cgroups),
            state: new(&self.state, &earlier.state),
        }
    }
}

/// Live processes below this one. It is the subreaper of all that it starts, so what outlives its parent shows
/// up here and nowhere else.
fn processes() -> BTreeSet<String> {
    set_child_subreaper(true).expect("prctl");
    let own = std::process::id();
    let below = process::tree(own).into_iter().filter(|pid| pid.cast_unsigned() != own);
    below
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (name, rest) = stat.rsplit_once(')')?;
            // A zombie only waits for somebody to ask.
            (!rest.starts_with(" Z")).then(|| format!("{name})"))
        })
        .collect()
}

fn mounts() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
    table.lines().map(ToOwned::to_owned).collect()
}

fn walk(dir: &Path, visit: &mut impl FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        visit(&path);
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, visit);
        }
    }
}
