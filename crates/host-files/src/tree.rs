//! Directories and files that the operator chose, never a guest: a container's root and volumes.
//!
//! They are opened as trees: copies of mounts that hang nowhere (open_tree(2)), so `..` leads out of none, and what is
//! mounted on the host later comes in only where that was asked for. Who has no CAP_SYS_ADMIN gets the file itself.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use abi_linux::{Errno, SysResult};
use host_sys::mounts::{self, Reach, Refuses, Spread};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2, readlinkat};
use rustix::io::{Errno as HostErrno, fcntl_dupfd_cloexec};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::errno;

/// What a tree has of the mounts below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Nothing: EXDEV where there are some, and to leave them out takes a right that this process has not.
    One,
    All,
    /// It is the file itself, where it is.
    Kept,
}

/// What is to be done with symbolic links on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    Follow,
    /// ELOOP: the path was resolved before, and has changed since.
    Refuse,
}

/// Opens what lies at a path.
pub fn open(path: &Path, links: Links, depth: Depth) -> SysResult<OwnedFd> {
    let resolve = match links {
        Links::Follow => ResolveFlags::empty(),
        Links::Refuse => ResolveFlags::NO_SYMLINKS,
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = openat2(CWD, path, flags, Mode::empty(), resolve).map_err(errno)?;
    of(file.as_fd(), depth)
}

/// The tree below an open file.
pub fn of(file: BorrowedFd<'_>, depth: Depth) -> SysResult<OwnedFd> {
    let below = match depth {
        Depth::Kept => return fcntl_dupfd_cloexec(file, 0).map_err(errno),
        Depth::All => OpenTreeFlags::AT_RECURSIVE,
        Depth::One => OpenTreeFlags::empty(),
    };
    let copy = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match open_tree(file, "", copy | below | OpenTreeFlags::AT_EMPTY_PATH) {
        // EINVAL: a less privileged mount namespace may not look below its mounts.
        Err(HostErrno::PERM | HostErrno::INVAL) => {
            if depth == Depth::One && has_mounts_below(file) {
                return Err(Errno::EXDEV);
            }
            fcntl_dupfd_cloexec(file, 0).map_err(errno)
        }
        tree => tree.map_err(errno),
    }
}

/// Whether what is there may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    Allowed,
    Refused,
}

/// Says what a tree is for. Nothing in it is a device or gives rights. No copy is not changed: its owner is not asked.
pub fn restrict(tree: BorrowedFd<'_>, writes: Writes, spread: Spread) {
    let refuses = match writes {
        Writes::Allowed => Refuses::default(),
        Writes::Refused => Refuses::WRITES,
    };
    // EPERM and EINVAL of who has only the file itself.
    let _ = mounts::change(tree, Reach::All, refuses.and(Refuses::SETUID).and(Refuses::DEVICES), spread);
}

/// Whether anything is mounted below (proc_pid_mountinfo(5)); where it cannot be told, it may be.
fn has_mounts_below(file: BorrowedFd<'_>) -> bool {
    let own = readlinkat(CWD, format!("/proc/self/fd/{}", file.as_raw_fd()), Vec::new());
    let (Ok(own), Ok(table)) = (own, std::fs::read_to_string("/proc/self/mountinfo")) else {
        return true;
    };
    let escaped = own.to_string_lossy().replace(' ', "\\040");
    let below = format!("{}/", escaped.trim_end_matches('/'));
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .any(|point| point.starts_with(&below) && point != "/")
}

#[cfg(test)]
mod tests {
    use super::{Depth, Links, Writes, open, restrict};
    use crate::Node;
    use abi_linux::Errno;
    use host_sys::mounts::Spread;
    use rustix::fs::{Mode, OFlags, openat};
    use std::os::fd::AsFd;

    #[test]
    fn resolved_path_is_not_followed_elsewhere() {
        let dir = tempfile::tempdir().expect("/tmp is writable");
        let root = dir.path().canonicalize().expect("it exists").join("root");
        std::fs::create_dir(&root).expect("it is ours");
        let open = |path| open(path, Links::Refuse, Depth::All).map(drop);
        assert!(open(&root).is_ok());
        std::fs::rename(&root, root.with_extension("old")).expect("it is ours");
        std::os::unix::fs::symlink("/", &root).expect("it is ours");
        assert_eq!(open(&root), Err(Errno::ELOOP));
        assert_eq!(open(&root.join("etc")), Err(Errno::ELOOP));
    }

    #[test]
    fn nothing_leads_out_of_a_tree() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().expect("/tmp is writable");
        std::fs::create_dir(dir.path().join("root")).expect("it is ours");
        std::fs::write(dir.path().join("secret"), "x").expect("it is ours");
        let tree = open(&dir.path().join("root"), Links::Follow, Depth::All).expect("it exists");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        assert!(openat(&tree, "../secret", flags, Mode::empty()).is_err());
        restrict(tree.as_fd(), Writes::Refused, Spread::Private);
        let made = openat(&tree, "new", flags | OFlags::CREATE, Mode::RUSR);
        assert_eq!(made.err(), Some(rustix::io::Errno::ROFS));
        assert!(Node::from_fd(tree).stat().is_ok());
    }
}
