//! A container in a test: its first process makes calls, one at a time.

use std::sync::Arc;

use abi_linux::Errno;
use abi_linux::raw::general as nr;
use kernel_base::cred::{CapSet, Credentials};
use kernel_fs::tmpfs::{Tmpfs, TmpfsOptions};
use kernel_task::fork::ForkSnapshot;
use kernel_task::fs::FsState;
use kernel_task::kernel::{Kernel, Uts};
use kernel_task::limits::Limits;
use kernel_task::{FdTable, Task};
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::inode::SuperBlock;
use kernel_vfs::mount::{Mount, MountFlags, MountNamespace};
use platform_api::fake::{BASE, Event, FakePlatform};
use platform_api::{CallId, Identity, KernelEvents, Reply, Syscall, Worker};

/// Size of the guest's memory, which begins at [`BASE`].
pub(super) const MEMORY: usize = 1 << 20;
/// An address that is not mapped.
pub(super) const NOWHERE: u64 = BASE + MEMORY as u64 + 4096;
/// Host id of process 1.
pub(super) const HOST: i32 = 1001;

/// How a call ended so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Value(i64),
    Error(Errno),
    /// The host goes on with it.
    Continued,
    Substituted(i32, [u64; 6]),
    Waiting,
}

pub(super) struct Rig {
    pub(super) host: Arc<FakePlatform>,
    pub(super) kernel: Arc<Kernel>,
    worker: Box<dyn Worker>,
    events: Arc<dyn KernelEvents>,
    next_id: u64,
    seen: Vec<Event>,
}

impl Rig {
    pub(super) fn new() -> Self {
        let host = FakePlatform::new(MEMORY);
        let uts = Uts { hostname: b"test".to_vec(), domainname: Vec::new() };
        let kernel = Kernel::new(Arc::clone(&host) as Arc<_>, uts);
        let platform = Arc::clone(&kernel.platform);
        let tmpfs = Tmpfs::new(TmpfsOptions::default(), platform, Arc::new(DeviceRegistry::new())).unwrap();
        let superblock: Arc<dyn SuperBlock> = tmpfs;
        let namespace = MountNamespace::new(Mount::of(&superblock, b"none", MountFlags::empty()));
        let root = namespace.root();
        let fs = FsState { root: root.clone(), cwd: root, umask: 0o22 };
        let credentials = Credentials::new(0, 0, CapSet::ALL);
        let snapshot = ForkSnapshot::for_init(FdTable::new(), fs, credentials, Limits::for_init(4096));
        let identity = Identity { tgid: HOST, guest_tid: 1, guest_tgid: 1, parent: 1 };
        host.add_thread(HOST, identity, 1);
        kernel.adopt_init(HOST, snapshot);
        let engine = crate::Engine::new(&kernel, &Arc::default(), &Arc::default());
        let worker = engine.workers(1).remove(0);
        let events = Arc::clone(engine.events());
        Self { host, kernel, worker, events, next_id: 1, seen: Vec::new() }
    }

    pub(super) fn task(&self) -> Arc<Task> {
        self.kernel.task(HOST).unwrap()
    }

    /// Makes a call; its id tells later how it ended.
    pub(super) fn start(&mut self, number: u32, args: &[u64]) -> CallId {
        let id = CallId(self.next_id);
        self.next_id += 1;
        let mut registers = [0; 6];
        registers[..args.len()].copy_from_slice(args);
        let call = Syscall { id, tid: HOST, nr: number as i32, args: registers, instruction_pointer: 2 };
        self.worker.call(call);
        id
    }

    /// What has become of a call.
    pub(super) fn ended(&mut self, id: CallId) -> Ended {
        self.seen.extend(self.host.take_events());
        let last = self.seen.iter().rev().find_map(|event| match event {
            Event::Replied(of, Reply::Value(value)) if *of == id => Some(Ended::Value(*value)),
            Event::Replied(of, Reply::Errno(errno)) if *of == id => Some(Ended::Error(*errno)),
            Event::Replied(of, Reply::Continue) if *of == id => Some(Ended::Continued),
            _ => None,
        });
        let substituted = self.seen.iter().rev().find_map(|event| match event {
            Event::Substituted { nr, args } => Some(Ended::Substituted(*nr, *args)),
            _ => None,
        });
        last.or(substituted).unwrap_or(Ended::Waiting)
    }

    /// Makes a call and tells how it ended.
    pub(super) fn call(&mut self, number: u32, args: &[u64]) -> Ended {
        self.seen.clear();
        let id = self.start(number, args);
        self.ended(id)
    }

    /// Makes a call that must return a value.
    #[track_caller]
    pub(super) fn value(&mut self, number: u32, args: &[u64]) -> u64 {
        match self.call(number, args) {
            Ended::Value(value) => value as u64,
            other => panic!("call {number} ended with {other:?}"),
        }
    }

    /// Makes a call that must fail.
    #[track_caller]
    pub(super) fn error(&mut self, number: u32, args: &[u64]) -> Errno {
        match self.call(number, args) {
            Ended::Error(errno) => errno,
            other => panic!("call {number} ended with {other:?}"),
        }
    }

    /// Puts a string with its NUL into guest memory.
    pub(super) fn text(&self, at: u64, text: &str) -> u64 {
        assert!(self.host.poke(at, text.as_bytes()) && self.host.poke(at + text.len() as u64, &[0]));
        at
    }

    /// Opens a path.
    #[track_caller]
    pub(super) fn open(&mut self, path: &str, flags: u32) -> u64 {
        let at = self.text(BASE, path);
        self.value(nr::__NR_open, &[at, u64::from(flags), 0o644])
    }

    /// Lets time pass.
    pub(super) fn pass_until(&mut self, now_ns: u64) {
        self.host.set_now(now_ns);
        self.events.timer_expired();
        self.events.drain();
    }

    /// Lets the reactor answer what became ready outside a call.
    pub(super) fn drain(&mut self) {
        self.events.drain();
    }

    pub(super) fn peek_i32(&self, at: u64) -> i32 {
        i32::from_ne_bytes(*self.host.peek(at, 4).first_chunk().unwrap())
    }
}
