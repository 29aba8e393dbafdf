//! A caller without a process for unit tests: records the signals that it raises, has a few KiB of memory.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use abi_linux::fs::OpenFlags;
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::{CapSet, Credentials};
use kernel_base::sync::Mutex;
use kernel_base::user::GuestMem;
use kernel_vfs::anon::{AnonAttributes, AnonInode, AnonKind, anon_file};
use kernel_vfs::file::{File, FileOps, Io};
use kernel_vfs::inode::FileKind;
use platform_api::{
    CallId, Clock, CpuTimeOf, HostFile, HostTid, Identity, Performed, Platform, ProcFile, Range,
    ReadyListener, Reply, Restart, SignalInfo, SignalState, SignalTarget, Step, Syscall, WatchId,
};

/// Guest memory from address 0 on, and a clock that stands still until told.
pub(crate) struct FakePlatform {
    pub(crate) memory: Mutex<Vec<u8>>,
    pub(crate) now_ns: AtomicU64,
    pub(crate) armed: Mutex<Option<u64>>,
}

impl FakePlatform {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            memory: Mutex::new(vec![0; 8192]),
            now_ns: AtomicU64::new(1_000),
            armed: Mutex::default(),
        })
    }

    fn span(ranges: &[Range]) -> SysResult<std::ops::Range<usize>> {
        let range = ranges.first().ok_or(Errno::EFAULT)?;
        let start = usize::try_from(range.addr).map_err(|_| Errno::EFAULT)?;
        let end = start.checked_add(range.len).ok_or(Errno::EFAULT)?;
        if end > 8192 { Err(Errno::EFAULT) } else { Ok(start..end) }
    }
}

impl Platform for FakePlatform {
    fn read_memory(&self, _tid: HostTid, ranges: &[Range], local: &mut [u8]) -> SysResult<usize> {
        let span = Self::span(ranges)?;
        local.copy_from_slice(&self.memory.lock()[span]);
        Ok(local.len())
    }
    fn write_memory(&self, _tid: HostTid, ranges: &[Range], local: &[u8]) -> SysResult<usize> {
        let span = Self::span(ranges)?;
        self.memory.lock()[span].copy_from_slice(local);
        Ok(local.len())
    }
    fn reply(&self, _id: CallId, _reply: Reply) {}
    fn is_waiting(&self, _id: CallId) -> bool {
        true
    }
    fn install_fd(&self, _id: CallId, _number: i32, _fd: BorrowedFd<'_>) -> SysResult<()> {
        Err(Errno::ENOSYS)
    }
    fn substitute(&self, _call: &Syscall, _nr: i32, _args: [u64; 6]) -> SysResult<()> {
        Err(Errno::ENOSYS)
    }
    fn perform(&self, _call: &Syscall, _next: &mut dyn FnMut(Performed) -> Step) -> SysResult<()> {
        Err(Errno::ENOSYS)
    }
    fn interrupt(&self, _call: &Syscall, _restart: Restart, _certain: bool) -> SysResult<()> {
        Err(Errno::ENOSYS)
    }
    fn identify(&self, _tid: HostTid) -> SysResult<Identity> {
        Err(Errno::ESRCH)
    }
    fn children(&self, _tgid: HostTid, _tid: HostTid) -> SysResult<Vec<HostTid>> {
        Ok(Vec::new())
    }
    fn threads(&self, _tgid: HostTid) -> SysResult<Vec<HostTid>> {
        Ok(Vec::new())
    }
    fn signal_state(&self, _tid: HostTid) -> SysResult<SignalState> {
        Ok(SignalState::default())
    }
    fn send_signal(&self, _target: SignalTarget, _signal: Signal) -> SysResult<()> {
        Ok(())
    }
    fn queue_signal(&self, _target: SignalTarget, _signal: Signal, _info: SignalInfo) -> SysResult<()> {
        Ok(())
    }
    fn watch_exit(&self, _tgid: HostTid) -> SysResult<()> {
        Ok(())
    }
    fn has_died(&self, _tgid: HostTid) -> bool {
        false
    }
    fn watch_fd(&self, _fd: BorrowedFd<'_>, _listener: Arc<dyn ReadyListener>) -> SysResult<WatchId> {
        Ok(WatchId(1))
    }
    fn unwatch_fd(&self, _watch: WatchId) {}
    fn arm_timer(&self, deadline_ns: Option<u64>) {
        *self.armed.lock() = deadline_ns;
    }
    fn read_proc(&self, _tid: HostTid, _file: ProcFile, _limit: usize, _out: &mut Vec<u8>) -> SysResult<()> {
        Err(Errno::ENOENT)
    }
    fn read_host(&self, _file: HostFile, _limit: usize, _out: &mut Vec<u8>) -> SysResult<()> {
        Err(Errno::ENOENT)
    }
    fn set_nice(&self, _tid: HostTid, _nice: i32) -> SysResult<()> {
        Err(Errno::ENOSYS)
    }
    fn set_limit(&self, _tgid: HostTid, _resource: u32, _soft: u64, _hard: u64) -> SysResult<()> {
        Ok(())
    }
    fn now_ns(&self, clock: Clock) -> u64 {
        let base = if clock == Clock::Realtime { 1_700_000_000_000_000_000 } else { 0 };
        base + self.now_ns.load(Ordering::SeqCst)
    }
    fn cpu_time_ns(&self, _of: CpuTimeOf) -> SysResult<u64> {
        Ok(0)
    }
    fn random(&self, buf: &mut [u8]) -> SysResult<()> {
        buf.fill(0x5a);
        Ok(())
    }
}

/// A caller: pid 10, alone in group 10 and session 10 until told otherwise.
pub(crate) struct FakeCaller {
    pub(crate) platform: Arc<FakePlatform>,
    pub(crate) pid: i32,
    pub(crate) pgid: AtomicI32,
    pub(crate) sid: i32,
    pub(crate) ignores_job_signals: AtomicBool,
    pub(crate) raised: Mutex<Vec<(i32, Signal)>>,
}

impl FakeCaller {
    pub(crate) fn new() -> Self {
        Self::with_ids(10, 10, 10)
    }

    pub(crate) fn with_ids(pid: i32, pgid: i32, sid: i32) -> Self {
        Self {
            platform: FakePlatform::new(),
            pid,
            pgid: AtomicI32::new(pgid),
            sid,
            ignores_job_signals: AtomicBool::new(false),
            raised: Mutex::default(),
        }
    }

    pub(crate) fn io(&self) -> Io<'_> {
        self.io_with(OpenFlags::empty())
    }

    pub(crate) fn io_with(&self, flags: OpenFlags) -> Io<'_> {
        Io { who: self, offset: 0, flags }
    }

    /// A structure at address 0 of the guest's memory.
    pub(crate) fn word_at_zero(&self) -> i32 {
        self.platform.memory.lock().first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes))
    }
}

impl Caller for FakeCaller {
    fn pid(&self) -> i32 {
        self.pid
    }
    fn tid(&self) -> i32 {
        self.pid
    }
    fn pgid(&self) -> i32 {
        self.pgid.load(Ordering::SeqCst)
    }
    fn sid(&self) -> i32 {
        self.sid
    }
    fn credentials(&self) -> Arc<Credentials> {
        Arc::new(Credentials::new(0, 0, CapSet::CONTAINER_DEFAULT))
    }
    fn mem(&self) -> GuestMem<'_> {
        GuestMem::new(&*self.platform, self.pid)
    }
    fn raise(&self, signal: Signal) {
        self.raised.lock().push((self.pid, signal));
    }
    fn raise_group(&self, pgid: i32, signal: Signal) -> SysResult<()> {
        self.raised.lock().push((-pgid, signal));
        Ok(())
    }
    fn blocks_or_ignores(&self, _signal: Signal) -> bool {
        self.ignores_job_signals.load(Ordering::SeqCst)
    }
    fn group_is_orphaned(&self) -> bool {
        false
    }
    fn now_realtime_ns(&self) -> u64 {
        1_700_000_000_000_000_000
    }
}

/// An open file around some operations.
pub(crate) fn file(ops: Arc<dyn FileOps>) -> Arc<File> {
    let attributes = AnonAttributes { mode: 0o600, uid: 0, gid: 0, now_ns: 0 };
    let inode = Arc::new(AnonInode::new(AnonKind::AnonInode, FileKind::Regular, attributes));
    anon_file(AnonKind::AnonInode, b"anon_inode:[test]", inode, ops, OpenFlags::RDWR)
}
