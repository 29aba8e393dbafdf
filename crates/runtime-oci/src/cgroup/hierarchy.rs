//! Which hierarchies the host has mounted (cgroups(7)): the controllers of version 1, each with a mount of its own
//! or several on one, or version 2's single one. A hybrid host has both, and its controllers are version 1's.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::error::{CgroupError, io_at};

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mounted {
    /// Which group its mount point shows.
    root: PathBuf,
    at: PathBuf,
    /// The supervisor's own group in it.
    own: PathBuf,
}

/// All of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchies {
    /// By controller; `name=systemd` is one.
    v1: BTreeMap<String, Mounted>,
    v2: Option<Mounted>,
}

/// The version that controls resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Version {
    V1,
    V2,
}

impl Hierarchies {
    pub(super) fn of_host() -> Result<Self, CgroupError> {
        let read = |name: &str| std::fs::read_to_string(name).map_err(io_at(name));
        Self::parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)
    }

    /// From mountinfo and cgroup of /proc/self (proc(5), cgroups(7)).
    pub(super) fn parse(mountinfo: &str, own: &str) -> Result<Self, CgroupError> {
        let mut found = Self { v1: BTreeMap::new(), v2: None };
        let own_of = |controller: &str| {
            let line = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
            let mut groups = line.filter(|(names, _)| names.split(',').any(|name| name == controller));
            PathBuf::from(groups.next().map_or("/", |(_, group)| group))
        };
        for line in mountinfo.lines() {
            let Some((mount, fs)) = line.split_once(" - ") else { continue };
            let (mount, fs) = (mount.split(' ').collect::<Vec<_>>(), fs.split(' ').collect::<Vec<_>>());
            let ([_, _, _, root, at, ..], [kind, _, options]) = (mount.as_slice(), fs.as_slice()) else {
                continue;
            };
            let mounted =
                |controller: &str| Mounted { root: root.into(), at: at.into(), own: own_of(controller) };
            match *kind {
                "cgroup2" if found.v2.is_none() => found.v2 = Some(mounted("")),
                "cgroup" => {
                    let names = options.split(',').filter(|name| !NOT_CONTROLLERS.contains(name));
                    for name in names {
                        found.v1.entry(name.to_owned()).or_insert_with(|| mounted(name));
                    }
                }
                _ => {}
            }
        }
        if found.v1.is_empty() && found.v2.is_none() { Err(CgroupError::NotMounted) } else { Ok(found) }
    }

    pub(super) fn version(&self) -> Version {
        let has_v1 = self.v1.keys().any(|name| !name.starts_with("name="));
        if has_v1 || self.v2.is_none() { Version::V1 } else { Version::V2 }
    }

    /// The directories of a group: by controller in version 1, under the empty name in version 2.
    pub(super) fn directories(&self, group: &Path) -> BTreeMap<String, PathBuf> {
        match (self.version(), &self.v2) {
            (Version::V2, Some(v2)) => BTreeMap::from([(String::new(), v2.directory(group, Version::V2))]),
            _ => self.v1.iter().map(|(name, v1)| (name.clone(), v1.directory(group, Version::V1))).collect(),
        }
    }

    /// Where the unified hierarchy is mounted, when it is the one that counts.
    pub(super) fn unified_root(&self) -> Option<&Path> {
        self.v2.as_ref().filter(|_| self.version() == Version::V2).map(|v2| v2.at.as_path())
    }
}

/// Mount options that are no controller's name.
const NOT_CONTROLLERS: &[&str] =
    &["rw", "ro", "noprefix", "xattr", "clone_children", "cpuset_v2_mode", "favordynmods"];

impl Mounted {
    fn directory(&self, group: &Path, version: Version) -> PathBuf {
        let base = match version {
            _ if group.is_absolute() => Path::new("/"),
            Version::V1 => &self.own,
            // A group that has processes cannot have children with controllers, and the caller is in its own:
            // beside that (as runc's fs2/defaultpath.go).
            Version::V2 => self.own.parent().unwrap_or(Path::new("/")),
        };
        let inside = base.strip_prefix(&self.root).unwrap_or(Path::new(""));
        self.at.join(cleaned(inside)).join(cleaned(group))
    }
}

/// A path below whatever it is joined to: without `..`, which stop at the top, as in runc.
pub(super) fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::{Hierarchies, Version, cleaned};
    use std::path::{Path, PathBuf};

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
";
    const UNIFIED: &str = "41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn hybrid_host_is_version_1() {
        let found =
            Hierarchies::parse(HYBRID, "3:memory:/a/b\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n").unwrap();
        assert_eq!((found.version(), found.unified_root()), (Version::V1, None));
        let at = |group: &str, name: &str| found.directories(Path::new(group)).get(name).cloned();
        assert_eq!(at("/k/x", "cpuacct"), Some(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/k/x")));
        assert_eq!(at("/k/x", "name=systemd"), Some(PathBuf::from("/sys/fs/cgroup/systemd/k/x")));
        assert_eq!(at("x", "memory"), Some(PathBuf::from("/sys/fs/cgroup/memory/a/b/x")));
        assert_eq!(at("x", "pids"), None);
    }

    #[test]
    fn unified_host_puts_relative_groups_beside_its_own() {
        let found = Hierarchies::parse(UNIFIED, "0::/user.slice/session-1.scope\n").unwrap();
        assert_eq!(found.version(), Version::V2);
        let at = |group: &str| found.directories(Path::new(group)).remove("").unwrap();
        assert_eq!(at("c"), Path::new("/sys/fs/cgroup/user.slice/c"));
        assert_eq!(at("/c"), Path::new("/sys/fs/cgroup/c"));
    }

    #[test]
    fn mount_of_a_part_shows_what_is_below_it() {
        let part = UNIFIED.replace(" / /sys", " /docker/x /sys");
        let found = Hierarchies::parse(&part, "0::/docker/x/init\n").unwrap();
        assert_eq!(found.directories(Path::new("c"))[""], Path::new("/sys/fs/cgroup/c"));
    }

    #[test]
    fn parents_do_not_lead_out() {
        for (path, clean) in [("/a/../../b", "b"), ("../../x", "x"), ("a/./b//c", "a/b/c"), ("/..", "")] {
            assert_eq!(cleaned(Path::new(path)), Path::new(clean), "{path}");
        }
    }

    #[test]
    fn host_without_cgroups_is_told_so() {
        assert!(Hierarchies::parse("", "0::/\n").is_err());
    }
}
