//! A container's control group: made from `linux.cgroupsPath` and `linux.resources`, in version 1 or 2 of cgroups, by
//! writing to its files or by asking systemd.
//!
//! [`Cgroup`] is the group; it goes into the container's state and is used by whoever has that. [`hierarchy`] finds
//! where it is, [`v1`] and [`v2`] translate resources to [`setting`]s, [`freezer`] stops and kills, [`stats`] and
//! [`oom`] observe. The host processes of guests are in a container's group: what they do is limited and
//! counted by the host. The supervisor stays in its caller's, but for the CPU time of the threads that take calls
//! ([`Entrance::cpu_doors`]).
//!
//! Why not a crate: libcgroups 0.7 knows neither OOM events nor systemd with version 1, cannot list the processes of a
//! version 1 group without the devices controller, and its errors do not name a field; it brings four crates with a
//! second nix. cgroups-rs 0.5 brings nix 0.25, thiserror 1 and zbus (some sixty crates).
//!
//! `linux.resources.devices` is accepted and writes nothing: guests open devices in the supervisor only, where there
//! are none of the host's; there is nothing that a rule could allow or deny.

mod common;
mod entrance;
mod error;
mod freezer;
mod hierarchy;
mod merge;
mod oom;
mod setting;
mod stats;
mod systemd;
mod v1;
mod v2;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

pub use entrance::Entrance;
pub use error::CgroupError;
use error::{field, io_at};
use hierarchy::Hierarchies;
pub use hierarchy::Version;
pub use merge::merged;
pub use oom::OomWatch;
pub use stats::{BlkIoEntry, Counter, Stats};

/// Who makes the group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Driver {
    #[default]
    Cgroupfs,
    /// `--systemd-cgroup`: a transient scope.
    Systemd,
}

/// What a group is made from.
#[derive(Clone, Copy, Debug)]
pub struct CgroupRequest<'a> {
    /// The container's id, the group's name unless `path` says otherwise.
    pub id: &'a str,
    /// `linux.cgroupsPath`: below the root if absolute, else below the caller's own group; `slice:prefix:name` for
    /// systemd.
    pub path: Option<&'a str>,
    pub driver: Driver,
    pub resources: &'a LinuxResources,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    version: Version,
    /// By controller in version 1, under the empty name in version 2.
    directories: BTreeMap<String, PathBuf>,
    /// Where version 2 is mounted, if that is the one.
    unified_root: Option<PathBuf>,
    /// Parents that did not exist before it.
    made: Vec<PathBuf>,
    /// With systemd's driver. It makes the directories when the first process is added.
    scope: Option<systemd::Scope>,
}

/// How long a group may stay in use after its processes were killed.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(5);

impl Cgroup {
    /// Makes the group, with its limits. If that fails, nothing is left of it.
    pub fn create(request: &CgroupRequest<'_>) -> Result<Self, CgroupError> {
        let cgroup = Self::plan(request)?;
        cgroup.make(request.resources)?;
        Ok(cgroup)
    }

    /// Says where the group will be, and checks what it is to hold; makes nothing. [`Cgroup::remove`] can be called
    /// whatever of it has been made.
    pub fn plan(request: &CgroupRequest<'_>) -> Result<Self, CgroupError> {
        Self::plan_in(&Hierarchies::of_host()?, request)
    }

    fn plan_in(hierarchies: &Hierarchies, request: &CgroupRequest<'_>) -> Result<Self, CgroupError> {
        let version = hierarchies.version();
        let scope = match request.driver {
            Driver::Cgroupfs => None,
            Driver::Systemd => Some(systemd::Scope::new(request, version)?),
        };
        let group = match (&scope, request.path) {
            (Some(scope), _) => scope.group(),
            (None, Some(path)) if !path.is_empty() => PathBuf::from(path),
            (None, _) => PathBuf::from(request.id),
        };
        let directories = hierarchies.directories(&group);
        let unified_root = hierarchies.unified_root().map(Path::to_path_buf);
        let mut cgroup = Self { version, directories, unified_root, made: Vec::new(), scope };
        let asks = request.path.is_some() || !cgroup.settings(request.resources)?.is_empty();
        // A plain user who asks for nothing gets none, as with runc.
        if !asks && !rustix::process::geteuid().is_root() && !cgroup.may_make() {
            cgroup.directories.clear();
        }
        cgroup.check_unused()?;
        cgroup.made = cgroup.missing_parents();
        Ok(cgroup)
    }

    /// A group that has processes is somebody else's.
    fn check_unused(&self) -> Result<(), CgroupError> {
        let used = |directory: &&PathBuf| read_pids(directory).is_some_and(|pids| !pids.is_empty());
        match self.directories.values().find(used) {
            Some(directory) => Err(CgroupError::Busy(directory.clone())),
            None => Ok(()),
        }
    }

    fn may_make(&self) -> bool {
        let may = |leaf: &PathBuf| {
            let nearest = leaf.ancestors().skip(1).find(|above| above.exists());
            nearest.is_some_and(|above| rustix::fs::access(above, rustix::fs::Access::WRITE_OK).is_ok())
        };
        self.directories.values().all(may)
    }

    /// The deepest first, as they are removed.
    fn missing_parents(&self) -> Vec<PathBuf> {
        let of = |leaf: &PathBuf| -> Vec<PathBuf> {
            let above = leaf.ancestors().skip(1).take_while(|above| !above.exists());
            above.map(Path::to_path_buf).collect()
        };
        self.directories.values().flat_map(of).collect()
    }

    /// Makes what was planned. If that fails, nothing is left of it.
    pub fn make(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        if self.scope.is_some() {
            return Ok(());
        }
        self.check_unused()?;
        let made = self
            .make_directories()
            .and_then(|()| setting::write_all(&self.settings(resources)?, &self.directories));
        if made.is_err() {
            self.remove_now();
        }
        made
    }

    fn settings(&self, resources: &LinuxResources) -> Result<Vec<setting::Setting>, CgroupError> {
        match self.version {
            Version::V1 => v1::settings(resources),
            Version::V2 => v2::settings(resources),
        }
    }

    fn make_directories(&self) -> Result<(), CgroupError> {
        for (controller, directory) in &self.directories {
            fs::create_dir_all(directory).map_err(io_at(directory))?;
            if controller == "cpuset" {
                inherit_cpuset(directory)?;
            }
            if let Some(root) = &self.unified_root {
                enable_controllers(root, directory)?;
            }
        }
        Ok(())
    }

    /// Puts a process of the host into it, with all its threads.
    pub fn add(&self, pid: i32) -> Result<(), CgroupError> {
        if let Some(scope) = &self.scope
            && !self.exists()
        {
            scope.start(pid, self.version)?;
            self.after_systemd(&scope.resources)?;
        }
        for directory in self.directories.values() {
            let procs = directory.join("cgroup.procs");
            setting::write(&procs, &pid.to_string()).map_err(io_at(procs))?;
        }
        Ok(())
    }

    /// systemd knows some controllers only: the others' directories, and values that it has no property for.
    fn after_systemd(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        self.make_directories()?;
        setting::write_all(&self.settings(resources)?, &self.directories)
    }

    /// Changes limits; what is not mentioned stays.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        let settings = self.settings(resources)?;
        self.check_before(resources)?;
        if let Some(scope) = &self.scope {
            scope.set(resources, self.version)?;
        }
        setting::write_all(&settings, &self.directories)
    }

    /// memory.checkBeforeUpdate: a limit below what is in use would end in OOM kills.
    fn check_before(&self, resources: &LinuxResources) -> Result<(), CgroupError> {
        let Some(memory) =
            resources.memory().as_ref().filter(|memory| memory.check_before_update() == Some(true))
        else {
            return Ok(());
        };
        let limit = memory.limit().and_then(|limit| u64::try_from(limit).ok()).filter(|&limit| limit > 0);
        let usage = stats::Stats::of(self)?.memory.usage.usage;
        match limit {
            Some(limit) if usage > limit => {
                let problem = format!("{limit} is less than what is in use, {usage}; choose a higher limit");
                Err(field("linux.resources.memory.limit", problem))
            }
            _ => Ok(()),
        }
    }

    /// What it uses.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        Stats::of(self)
    }

    /// The directory of a controller, in either version.
    #[must_use]
    pub fn directory(&self, controller: &str) -> Option<&Path> {
        self.directories.get(controller).or_else(|| self.directories.get("")).map(PathBuf::as_path)
    }

    /// All directories: by controller in version 1, under the empty name in version 2.
    #[must_use]
    pub fn directories(&self) -> &BTreeMap<String, PathBuf> {
        &self.directories
    }

    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    fn exists(&self) -> bool {
        self.directories.values().next().is_some_and(|directory| directory.exists())
    }

    /// The host processes in it.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        let any = ["freezer", "pids", "memory"].iter().find_map(|name| self.directory(name));
        any.or(self.directories.values().next().map(PathBuf::as_path)).and_then(read_pids).unwrap_or_default()
    }

    /// Removes it, and the parents that were made for it if nobody else uses them. Its processes have to be dead;
    /// those that are still dying are waited for.
    pub fn remove(&self) -> Result<(), CgroupError> {
        if let Some(scope) = &self.scope {
            scope.stop();
        }
        let until = Instant::now() + REMOVE_TIMEOUT;
        let mut pause = Duration::from_micros(200);
        for directory in self.directories.values() {
            loop {
                match fs::remove_dir(directory) {
                    Ok(()) => break,
                    Err(error) if error.kind() == ErrorKind::NotFound => break,
                    Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < until => {
                        std::thread::sleep(pause);
                        pause = (pause * 2).min(Duration::from_millis(50));
                    }
                    Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                        return Err(CgroupError::Busy(directory.clone()));
                    }
                    Err(error) => return Err(CgroupError::Io(directory.clone(), error)),
                }
            }
        }
        for parent in &self.made {
            // Another container may be below it.
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }

    /// After a failure, when nothing is in it.
    fn remove_now(&self) {
        let leaves =
            self.directories.values().filter(|leaf| read_pids(leaf).is_some_and(|pids| pids.is_empty()));
        for directory in leaves.chain(&self.made) {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// `linux.resources` alone, as `update` takes it.
pub fn resources_from_json(value: &serde_json::Value) -> Result<LinuxResources, crate::BundleError> {
    crate::bundle::typed(value.clone(), "linux.resources")
}

/// The limits as a guest's own view of its group shows them: names and texts of version 2's files.
#[must_use]
pub fn files_shown(resources: &LinuxResources) -> BTreeMap<String, String> {
    const PAGE: u64 = 4096;
    // What version 2 has no file for is no part of the view.
    let mut plain = LinuxResources::default();
    plain.set_pids(*resources.pids());
    plain.set_memory(resources.memory().map(|memory| {
        let mut memory = memory;
        memory.set_swappiness(None).set_disable_oom_killer(None);
        memory
    }));
    plain.set_cpu(resources.cpu().clone().map(|mut cpu| {
        cpu.set_realtime_period(None).set_realtime_runtime(None);
        cpu
    }));
    plain.set_unified(resources.unified().clone());
    let normal = |setting: setting::Setting| {
        let (file, value) = setting.choices.into_iter().next()?;
        let value = match (file.as_str(), value.parse::<u64>()) {
            ("cpu.max", _) if !value.contains(' ') => format!("{value} 100000"),
            (name, Ok(bytes)) if name.starts_with("memory.") => (bytes / PAGE * PAGE).to_string(),
            _ => value,
        };
        Some((file, value))
    };
    v2::settings(&plain).unwrap_or_default().into_iter().filter_map(normal).collect()
}

fn read_pids(directory: &Path) -> Option<Vec<i32>> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).ok()?;
    Some(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// A new group of version 1 may use no CPU and no memory node until it is told (cpuset(7)): its parent's.
fn inherit_cpuset(directory: &Path) -> Result<(), CgroupError> {
    let Some(parent) = directory.parent() else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let path = directory.join(file);
        let Ok(own) = fs::read_to_string(&path) else { continue };
        if !own.trim().is_empty() {
            continue;
        }
        if fs::read_to_string(parent.join(file)).is_ok_and(|text| text.trim().is_empty()) {
            inherit_cpuset(parent)?;
        }
        let inherited = fs::read_to_string(parent.join(file)).map_err(io_at(parent.join(file)))?;
        setting::write(&path, inherited.trim()).map_err(io_at(path))?;
    }
    Ok(())
}

/// Lets each group on the way hand its controllers down (cgroup-v2.rst, "Controlling Controllers"). One that cannot
/// be is missed only if a setting needs its files.
fn enable_controllers(root: &Path, directory: &Path) -> Result<(), CgroupError> {
    let mut above: Vec<&Path> =
        directory.ancestors().skip(1).take_while(|above| above.starts_with(root)).collect();
    above.reverse();
    for group in above {
        let file = group.join("cgroup.controllers");
        let controllers = fs::read_to_string(&file).map_err(io_at(file))?;
        let control = group.join("cgroup.subtree_control");
        let enabled = fs::read_to_string(&control).unwrap_or_default();
        let missing =
            controllers.split_whitespace().filter(|name| !enabled.split_whitespace().any(|on| on == *name));
        for controller in missing {
            if let Err(error) = setting::write(&control, &format!("+{controller}")) {
                tracing::debug!(group = %group.display(), controller, %error, "cannot hand a controller down");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "cgroup_test.rs"]
mod tests;
