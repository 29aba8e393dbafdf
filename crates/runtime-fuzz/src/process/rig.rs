//! A container of one process whose memory is a byte array and whose host does nothing.

use std::sync::{Arc, Weak};

use kernel_base::cred::{CapSet, Credentials};
use kernel_base::reg::Fd;
use kernel_fs::tmpfs::{Tmpfs, TmpfsOptions};
use kernel_task::FdTable;
use kernel_task::fork::ForkSnapshot;
use kernel_task::fs::FsState;
use kernel_task::kernel::{Kernel, Uts};
use kernel_task::limits::Limits;
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::file::File;
use kernel_vfs::inode::SuperBlock;
use kernel_vfs::mount::{Mount, MountFlags, MountNamespace};
use platform_api::fake::{BASE, FakePlatform};
use platform_api::{CallId, HostTid, Identity, KernelEvents, Syscall, Worker};

use crate::exec::{DATA_LEN, PAGES_LEN, Space};
use crate::program::User;

/// Host id of process 1; its threads follow.
pub(super) const HOST: HostTid = 1001;
/// Where programs have their memory.
pub(super) const SPACE: Space =
    Space { data: BASE, pages: BASE + DATA_LEN, bad: BASE + DATA_LEN + PAGES_LEN + 4096 };
const PLAIN: u32 = 1000;
/// Descriptors that are looked at.
const DESCRIPTORS: i32 = 64;

pub(super) struct Rig {
    pub(super) host: Arc<FakePlatform>,
    kernel: Arc<Kernel>,
    worker: Box<dyn Worker>,
    events: Arc<dyn KernelEvents>,
    next_id: u64,
}

impl Rig {
    /// None where the kernel cannot be made, which does not happen.
    pub(super) fn new(user: User, threads: i32) -> Option<Self> {
        let host = FakePlatform::new((DATA_LEN + PAGES_LEN) as usize);
        let uts = Uts { hostname: b"fuzz".to_vec(), domainname: Vec::new() };
        let kernel = Kernel::new(Arc::clone(&host) as Arc<_>, uts);
        let platform = Arc::clone(&kernel.platform);
        let tmpfs = Tmpfs::new(TmpfsOptions::default(), platform, Arc::new(DeviceRegistry::new())).ok()?;
        let superblock: Arc<dyn SuperBlock> = tmpfs;
        let namespace = MountNamespace::new(Mount::of(&superblock, b"none", MountFlags::empty()));
        let root = namespace.root();
        let fs = FsState { root: root.clone(), cwd: root, umask: 0o22 };
        let credentials = match user {
            User::Root => Credentials::new(0, 0, CapSet::ALL),
            User::Plain => Credentials::new(PLAIN, PLAIN, CapSet::EMPTY),
        };
        let snapshot = ForkSnapshot::for_init(FdTable::new(), fs, credentials, Limits::for_init(256));
        for thread in 0..threads {
            let identity = Identity { tgid: HOST, guest_tid: 1 + thread, guest_tgid: 1, parent: 1 };
            host.add_thread(HOST + thread, identity, 1);
        }
        kernel.adopt_init(HOST, snapshot);
        let engine = kernel_syscalls::Engine::new(&kernel, &Arc::default(), &Arc::default());
        let worker = engine.workers(1).pop()?;
        let events = Arc::clone(engine.events());
        Some(Self { host, kernel, worker, events, next_id: 1 })
    }

    pub(super) fn call(&mut self, thread: i32, nr: u32, args: [u64; 6]) -> CallId {
        let id = CallId(self.next_id);
        self.next_id += 1;
        self.worker.call(Syscall { id, tid: HOST + thread, nr: nr as i32, args, instruction_pointer: 2 });
        id
    }

    /// Lets time pass.
    pub(super) fn pass_until(&self, now_ns: u64) {
        self.host.set_now(now_ns);
        self.events.timer_expired();
        self.events.drain();
    }

    /// Ends the process and tells which of the files that it had open are still open then.
    pub(super) fn take_down(self, threads: i32) -> Option<String> {
        let open: Vec<(String, Weak<File>)> = self.files();
        for thread in 0..threads {
            self.host.remove_thread(HOST + thread);
        }
        self.events.exited(HOST);
        self.events.drain();
        let left = open.iter().find(|(_, file)| file.strong_count() > 0);
        left.map(|(name, _)| name.clone())
    }

    fn files(&self) -> Vec<(String, Weak<File>)> {
        let Ok(task) = self.kernel.task(HOST) else { return Vec::new() };
        let one = |fd: i32| {
            let file = task.process.files.get(Fd(fd)).ok()?;
            let name = format!("descriptor {fd}, {:?}", file.inode.kind());
            Some((name, Arc::downgrade(&file)))
        };
        (0..DESCRIPTORS).filter_map(one).collect()
    }
}
