//! Nodes come and go with masters.

use std::sync::Arc;

use abi_linux::Errno;
use abi_linux::fs::{OpenFlags, makedev};
use abi_linux::raw::ioctl::TIOCSPTLCK;
use kernel_vfs::inode::{Inode, SuperBlock};

use super::{Devpts, open_controlling};
use crate::io_test::FakeCaller;
use crate::tty::{SessionSignals, Terminals};

struct NoSignals;

impl SessionSignals for NoSignals {
    fn signal_group(&self, _pgid: i32, _signal: abi_linux::signal::Signal) {}
    fn signal_process(&self, _pid: i32, _signal: abi_linux::signal::Signal) {}
    fn session_of_group(&self, _pgid: i32) -> Option<i32> {
        None
    }
}

fn names(root: &Arc<dyn Inode>, who: &FakeCaller, from: u64) -> Vec<String> {
    let mut names = Vec::new();
    let directory = root.open(OpenFlags::DIRECTORY, who).unwrap();
    let mut emit = |entry: kernel_vfs::file::DirEntry<'_>| {
        names.push(String::from_utf8_lossy(entry.name).into_owned());
        true
    };
    directory.read_dir(who, from, &mut emit).unwrap();
    names
}

#[test]
fn ptmx_makes_a_node_that_goes_with_the_master() {
    let who = FakeCaller::new();
    let devpts = Devpts::new(Terminals::new(Arc::new(NoSignals)), 0);
    let root = devpts.root();
    let ptmx = root.lookup(b"ptmx", &who).unwrap();
    assert_eq!(ptmx.metadata().unwrap().rdev, makedev(5, 2));
    let master = ptmx.open(OpenFlags::RDWR, &who).unwrap();
    let node = root.lookup(b"0", &who).unwrap();
    let metadata = node.metadata().unwrap();
    let seen = (metadata.mode, metadata.gid, metadata.rdev, metadata.ino);
    assert_eq!(seen, (0o020_620, 5, makedev(136, 0), 3));
    assert_eq!(names(&root, &who, 0), [".", "..", "ptmx", "0"]);
    assert_eq!(names(&root, &who, 3), ["0"]);
    assert_eq!(node.open(OpenFlags::RDWR, &who).err(), Some(Errno::EIO), "locked");
    assert_eq!(open_controlling(devpts.terminals(), OpenFlags::RDWR, &who).err(), Some(Errno::ENXIO));
    master.ioctl(&who, TIOCSPTLCK, 0).unwrap();
    let _slave = node.open(OpenFlags::RDWR, &who).unwrap();
    assert!(open_controlling(devpts.terminals(), OpenFlags::RDWR, &who).is_ok());
    for name in [&b"00"[..], b"+0", b"1", b"x", b"-1"] {
        assert_eq!(root.lookup(name, &who).err(), Some(Errno::ENOENT));
    }
    drop(master);
    assert_eq!(root.lookup(b"0", &who).err(), Some(Errno::ENOENT));
    assert_eq!(names(&root, &who, 0), [".", "..", "ptmx"]);
}
