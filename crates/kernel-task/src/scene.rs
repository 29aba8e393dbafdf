//! A kernel with an init on the fake platform, for this crate's tests.
//!
//! Host ids are the guest's plus 1000, so that mixing them up shows.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use kernel_base::cred::{CapSet, Credentials};
use kernel_vfs::anon::{AnonAttributes, AnonInode, AnonKind, anon_file};
use kernel_vfs::file::{File, FileOps};
use kernel_vfs::inode::{FileKind, Inode};
use platform_api::Identity;
use platform_api::fake::FakePlatform;

use crate::FdTable;
use crate::fork::ForkSnapshot;
use crate::fs::FsState;
use crate::kernel::{Kernel, Uts};
use crate::limits::Limits;
use crate::process::Process;
use crate::task::Task;

/// Host id of a guest id.
pub(crate) const fn host(id: i32) -> i32 {
    id + 1000
}

struct Nothing;

impl FileOps for Nothing {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A file that can do nothing.
pub(crate) fn file() -> Arc<File> {
    let attributes = AnonAttributes { mode: 0o600, uid: 0, gid: 0, now_ns: 0 };
    let inode: Arc<dyn Inode> = Arc::new(AnonInode::new(AnonKind::AnonInode, FileKind::Regular, attributes));
    anon_file(AnonKind::AnonInode, b"anon_inode:[test]", inode, Arc::new(Nothing), OpenFlags::RDWR)
}

/// The kernel and the host below it.
pub(crate) struct Scene {
    pub(crate) host: Arc<FakePlatform>,
    pub(crate) kernel: Arc<Kernel>,
}

impl Scene {
    /// Process 1, root, with no descriptors.
    pub(crate) fn new() -> Self {
        let host_platform = FakePlatform::new(8192);
        let uts = Uts { hostname: b"test".to_vec(), domainname: b"(none)".to_vec() };
        let kernel = Kernel::new(Arc::clone(&host_platform) as Arc<_>, uts);
        let path = file().path.clone();
        let fs = FsState { root: path.clone(), cwd: path, umask: 0o22 };
        let credentials = Credentials::new(0, 0, CapSet::ALL);
        let snapshot = ForkSnapshot::for_init(FdTable::new(), fs, credentials, Limits::for_init(4096));
        let scene = Self { host: host_platform, kernel };
        scene.host_process(1, 0, 0);
        scene.kernel.adopt_init(host(1), snapshot);
        scene
    }

    /// Makes a process exist on the host alone, forked by thread `maker`, child of process `parent`.
    pub(crate) fn host_process(&self, pid: i32, parent: i32, maker: i32) {
        let identity = Identity { tgid: host(pid), guest_tid: pid, guest_tgid: pid, parent: host(parent) };
        self.host.add_thread(host(pid), identity, host(maker));
        let stat = format!("{pid} (a) b) S {parent} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0");
        self.host.set_proc(host(pid), platform_api::ProcFile::Stat, stat.as_bytes());
    }

    /// Makes a thread exist on the host and known by a call.
    pub(crate) fn thread(&self, tid: i32, pid: i32) -> Arc<Task> {
        let identity = Identity { tgid: host(pid), guest_tid: tid, guest_tgid: pid, parent: host(1) };
        self.host.add_thread(host(tid), identity, host(pid));
        self.task(tid)
    }

    /// The task that makes a call.
    pub(crate) fn task(&self, tid: i32) -> Arc<Task> {
        self.kernel.task(host(tid)).unwrap()
    }

    /// Forks `child` from the leader of `parent`, up to the child's first call.
    pub(crate) fn fork(&self, parent: i32, child: i32) -> Arc<Process> {
        self.task(parent).prepare_fork();
        self.host_process(child, parent, parent);
        Arc::clone(&self.task(child).process)
    }
}
