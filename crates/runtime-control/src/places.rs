//! What of the host's files a container needs, opened by whoever may: the supervisor's own root has none of them.
//!
//! Directories come as detached trees (open_tree(2)), copies of mounts that hang nowhere: from one of them `..` leads
//! nowhere either. Who has no CAP_SYS_ADMIN opens the directories themselves; their supervisor stays among the host's
//! mounts, too.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use abi_linux::{Errno, SysResult};
use host_files::tree::{self, Depth, Links, Writes};
use host_sys::mounts::Spread;
use runtime_oci::cgroup::{Cgroup, CgroupError};
use runtime_oci::{ContainerSpec, Entry, MountKind, MountSpec, Propagation, Recursion, StateError};
use serde::{Deserialize, Serialize};

/// What a descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    Rootfs,
    /// The source of the mount with this index.
    Mount(usize),
    /// The namespace with this index in linux.namespaces, which has a path.
    Namespace(usize),
    /// A file by which processes enter the cgroup.
    Cgroup,
    /// The directory with the container's record.
    Record,
    /// Where calls are printed.
    Trace,
}

/// Why a place cannot be used; one line with a remedy.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("rootfs {}: {}; give a directory that can be read", .0.display(), .1)]
    Rootfs(PathBuf, Errno),
    #[error("mount on {destination}: the source {} does not exist; create it, or leave the mount out", .path.display())]
    NoSource { path: PathBuf, destination: String },
    #[error("mount on {destination}: {}{}", .errno, remedy(*.errno))]
    Source { destination: String, errno: Errno },
    #[error("config.json: linux.namespaces: the host refuses {}: {}; leave it out", .0.display(), .1)]
    Namespace(PathBuf, Errno),
    #[error("--strace={}: {}; name a file in a directory that can be written", .0.display(), .1)]
    Trace(PathBuf, io::Error),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Record(#[from] StateError),
}

fn remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::EXDEV => "; to leave out what is mounted below takes CAP_SYS_ADMIN: make it rbind, not bind",
        Errno::EACCES | Errno::EPERM => "; run as a user who may read the source",
        _ => "",
    }
}

/// What is done with the directory that becomes `/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rootfs {
    Opened,
    /// It is the host's own root, which the supervisor keeps.
    Left,
}

/// A container for which places are wanted.
#[derive(Clone, Copy)]
pub struct Needs<'a> {
    pub spec: &'a ContainerSpec,
    pub rootfs: Rootfs,
    pub cgroup: Option<&'a Cgroup>,
    /// Its record's place, where it is kept.
    pub entry: Option<&'a Entry>,
    pub trace: Option<&'a Path>,
}

/// Open places.
#[derive(Debug, Default)]
pub struct Places(Vec<(Place, OwnedFd)>);

impl Places {
    /// Opens all of them.
    pub fn open(needs: &Needs<'_>) -> Result<Self, PlaceError> {
        let spec = needs.spec;
        let mut all = Vec::new();
        if needs.rootfs == Rootfs::Opened {
            let opened = rootfs(spec).map_err(|errno| PlaceError::Rootfs(spec.rootfs.clone(), errno))?;
            all.push((Place::Rootfs, opened));
        }
        for (index, mount) in spec.mounts.iter().enumerate() {
            if let MountKind::Bind(source) = &mount.kind {
                let opened = bind(source, mount).map_err(|errno| source_error(source, mount, errno))?;
                all.push((Place::Mount(index), opened));
            }
        }
        for (index, namespace) in spec.namespaces.iter().enumerate() {
            let Some(path) = &namespace.path else { continue };
            match File::open(path) {
                Ok(file) => all.push((Place::Namespace(index), file.into())),
                Err(error) if namespace.kind == "network" => {
                    return Err(PlaceError::Namespace(path.clone(), errno(&error)));
                }
                // It is of no container that a pod could have.
                Err(_) => {}
            }
        }
        if let Some(cgroup) = needs.cgroup {
            all.extend(cgroup.open()?.into_iter().map(|file| (Place::Cgroup, file)));
        }
        if let Some(entry) = needs.entry {
            let failed = |errno: Errno| {
                let error = io::Error::from_raw_os_error(errno.raw());
                StateError::Io(entry.path().to_path_buf(), error)
            };
            all.push((Place::Record, tree::of(entry.as_fd(), Depth::One).map_err(failed)?));
        }
        if let Some(path) = needs.trace {
            let file = File::create(path).map_err(|error| PlaceError::Trace(path.to_path_buf(), error))?;
            all.push((Place::Trace, file.into()));
        }
        Ok(Self(all))
    }

    /// What they are, in the order of [`Places::descriptors`].
    #[must_use]
    pub fn names(&self) -> Vec<Place> {
        self.0.iter().map(|(place, _)| *place).collect()
    }

    /// Their descriptors.
    #[must_use]
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.0.iter().map(|(_, fd)| fd.as_fd()).collect()
    }

    /// Takes them from the end of a message's descriptors; `None` where there are too few.
    #[must_use]
    pub fn received(names: &[Place], fds: &mut Vec<OwnedFd>) -> Option<Self> {
        let first = fds.len().checked_sub(names.len())?;
        Some(Self(names.iter().copied().zip(fds.split_off(first)).collect()))
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, wanted: Place) -> Option<BorrowedFd<'_>> {
        self.0.iter().find(|(place, _)| *place == wanted).map(|(_, fd)| fd.as_fd())
    }

    /// All that are the same, to be kept.
    pub fn take(&mut self, wanted: Place) -> Vec<OwnedFd> {
        let (taken, rest) = std::mem::take(&mut self.0).into_iter().partition(|(place, _)| *place == wanted);
        self.0 = rest;
        let taken: Vec<_> = taken;
        taken.into_iter().map(|(_, fd)| fd).collect()
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

fn source_error(source: &Path, mount: &MountSpec, errno: Errno) -> PlaceError {
    let destination = String::from_utf8_lossy(&mount.destination).replace(char::is_control, "?");
    if errno == Errno::ENOENT && !source.exists() {
        return PlaceError::NoSource { path: source.to_path_buf(), destination };
    }
    PlaceError::Source { destination, errno }
}

fn rootfs(spec: &ContainerSpec) -> SysResult<OwnedFd> {
    // What was checked must still be there, and no link to elsewhere.
    let tree = tree::open(&spec.rootfs, Links::Refuse, Depth::All)?;
    tree::restrict(tree.as_fd(), writes(spec.overlay || spec.readonly), spread(spec.root_propagation.0));
    Ok(tree)
}

fn bind(source: &Path, mount: &MountSpec) -> SysResult<OwnedFd> {
    let depth = if mount.recursion == Recursion::All { Depth::All } else { Depth::One };
    let tree = tree::open(source, Links::Follow, depth)?;
    let last = mount.propagation.last().map_or(Propagation::Private, |(last, _)| *last);
    tree::restrict(tree.as_fd(), writes(mount.readonly), spread(last));
    Ok(tree)
}

fn writes(readonly: bool) -> Writes {
    if readonly { Writes::Refused } else { Writes::Allowed }
}

fn spread(wanted: Propagation) -> Spread {
    match wanted {
        Propagation::Slave | Propagation::Shared => Spread::Slave,
        Propagation::Private | Propagation::Unbindable => Spread::Private,
    }
}
