//! A container without a host: its one process makes calls, one at a time.

use std::sync::Arc;

use kernel_base::cred::{CapSet, Credentials};
use kernel_fs::tmpfs::{Tmpfs, TmpfsOptions};
use kernel_syscalls::Engine;
use kernel_task::FdTable;
use kernel_task::fork::ForkSnapshot;
use kernel_task::fs::FsState;
use kernel_task::kernel::{Kernel, Uts};
use kernel_task::limits::Limits;
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::inode::SuperBlock;
use kernel_vfs::mount::{Mount, MountFlags, MountNamespace};
use platform_api::fake::{BASE, Event, FakePlatform};
use platform_api::{CallId, Identity, Reply, Syscall, Worker};

const MEMORY: usize = 1 << 16;
const HOST: i32 = 1001;

pub(crate) struct Rig {
    host: Arc<FakePlatform>,
    _kernel: Arc<Kernel>,
    worker: Box<dyn Worker>,
    next_id: u64,
}

impl Rig {
    /// Process 1 on an empty tmpfs.
    pub(crate) fn new() -> Self {
        let host = FakePlatform::new(MEMORY);
        let uts = Uts { hostname: b"bench".to_vec(), domainname: Vec::new() };
        let kernel = Kernel::new(Arc::clone(&host) as Arc<_>, uts);
        let platform = Arc::clone(&kernel.platform);
        let tmpfs: Arc<dyn SuperBlock> =
            Tmpfs::new(TmpfsOptions::default(), platform, Arc::new(DeviceRegistry::new())).expect("a tmpfs");
        let root = MountNamespace::new(Mount::of(&tmpfs, b"none", MountFlags::empty())).root();
        let fs = FsState { root: root.clone(), cwd: root, umask: 0o22 };
        let credentials = Credentials::new(0, 0, CapSet::ALL);
        let snapshot = ForkSnapshot::for_init(FdTable::new(), fs, credentials, Limits::for_init(4096));
        host.add_thread(HOST, Identity { tgid: HOST, guest_tid: 1, guest_tgid: 1, parent: 1 }, 1);
        kernel.adopt_init(HOST, snapshot);
        let worker = Engine::new(&kernel, &Arc::default(), &Arc::default()).workers(1).remove(0);
        Self { host, _kernel: kernel, worker, next_id: 1 }
    }

    /// Makes a call that is answered at once, with a value or an errno.
    pub(crate) fn call(&mut self, number: u32, args: &[u64]) -> Option<i64> {
        let id = CallId(self.next_id);
        self.next_id += 1;
        let mut registers = [0; 6];
        registers.iter_mut().zip(args).for_each(|(register, arg)| *register = *arg);
        self.worker.call(Syscall {
            id,
            tid: HOST,
            nr: number as i32,
            args: registers,
            instruction_pointer: 2,
        });
        self.host.take_events().into_iter().find_map(|event| match event {
            Event::Replied(of, Reply::Value(value)) if of == id => Some(value),
            _ => None,
        })
    }

    /// Makes a call that has a value.
    pub(crate) fn value(&mut self, number: u32, args: &[u64]) -> u64 {
        self.call(number, args).unwrap_or_else(|| panic!("call {number} has no value")).cast_unsigned()
    }

    pub(crate) fn poke(&self, at: u64, bytes: &[u8]) {
        assert!(self.host.poke(at, bytes), "it fits");
    }

    /// Puts a string with its NUL into guest memory.
    pub(crate) fn text(&self, at: u64, text: &str) -> u64 {
        self.poke(at, &[text.as_bytes(), b"\0"].concat());
        at
    }

    pub(crate) fn open(&mut self, path: &str, flags: u64) -> u64 {
        let at = self.text(BASE, path);
        self.value(abi_linux::raw::general::__NR_open, &[at, flags, 0o644])
    }

    pub(crate) fn peek_u32(&self, at: u64) -> u32 {
        self.host.peek(at, 4).first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }
}
