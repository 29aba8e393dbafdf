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
    /// Network namespaces of processes below this one, but for its own.
    pub networks: BTreeSet<String>,
}

const STATE_DIRS: &[&str] =
    &["/run/palisade", "/run/user/0/palisade", "/var/run/palisade", "/var/lib/palisade"];

impl HostState {
    /// Reads the present state.
    pub fn now() -> Self {
        let (processes, networks) = (processes(), networks());
        let mut state = Self { processes, networks, mounts: mounts(), ..Self::default() };
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
        let left = self.left_after(Duration::from_secs(20));
        assert!(left == Self::default(), "left behind after {after_what}: {left:#?}");
    }

    /// What is there now and was not there then; after `patience` if need be.
    pub fn left_after(&self, patience: Duration) -> Self {
        let deadline = Instant::now() + patience;
        loop {
            let left = Self::now().minus(self);
            if left == Self::default() || Instant::now() > deadline {
                return left;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is here and not in `earlier`.
    pub fn minus(&self, earlier: &Self) -> Self {
        let new = |now: &BTreeSet<String>, then: &BTreeSet<String>| now.difference(then).cloned().collect();
        Self {
            processes: new(&self.processes, &earlier.processes),
            mounts: new(&self.mounts, &earlier.mounts),
            cgroups: new(&self.cgroups, &earlier.cgroups),
            state: new(&self.state, &earlier.state),
            networks: new(&self.networks, &earlier.networks),
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

/// The network namespaces of processes below this one, and of its own only if that is all.
fn networks() -> BTreeSet<String> {
    let of =
        |pid: i32| fs::read_link(format!("/proc/{pid}/ns/net")).ok().map(|name| name.display().to_string());
    let own = std::process::id();
    let below = process::tree(own).into_iter().filter(|pid| pid.cast_unsigned() != own);
    below.filter_map(of).filter(|name| Some(name) != of(own.cast_signed()).as_ref()).collect()
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
