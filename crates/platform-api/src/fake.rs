//! A guest made of a byte array, for unit tests and fuzzers: no process, no host call.
//!
//! [`FakePlatform`] has one piece of guest memory, a clock that stands still until it is set, and records
//! what the kernel does to it: replies, signals, installed fds.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};

use crate::{
    CallId, Clock, CpuTimeOf, HostFile, HostTid, Identity, Performed, Platform, ProcFile, Range,
    ReadyListener, Reply, Restart, SignalInfo, SignalState, SignalTarget, Step, Syscall, WatchId,
};

/// Where the guest's memory begins.
pub const BASE: u64 = 0x1_0000;

/// What the kernel did to the guest, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Replied(CallId, Reply),
    Installed {
        call: CallId,
        number: i32,
    },
    Substituted {
        nr: i32,
        args: [u64; 6],
    },
    Interrupted(CallId, Restart),
    Signalled(SignalTarget, Signal),
    Queued(SignalTarget, Signal, SignalInfo),
    /// The first step of a [`Platform::perform`], which ends there.
    Performed(Step),
    TimerArmed(Option<u64>),
}

#[derive(Default)]
struct State {
    memory: Vec<u8>,
    events: Vec<Event>,
    identities: HashMap<HostTid, Identity>,
    children: HashMap<HostTid, Vec<HostTid>>,
    signals: HashMap<HostTid, SignalState>,
    files: HashMap<(HostTid, ProcFile), Vec<u8>>,
    host_files: HashMap<HostFile, Vec<u8>>,
    watches: u64,
    cpu_times: HashMap<HostTid, u64>,
}

/// The platform of tests.
#[derive(Default)]
pub struct FakePlatform {
    now_ns: AtomicU64,
    state: Mutex<State>,
}

impl FakePlatform {
    /// A guest with `size` bytes of zeroed memory at [`BASE`].
    #[must_use]
    pub fn new(size: usize) -> Arc<Self> {
        let fake = Self::default();
        fake.state().memory = vec![0; size];
        Arc::new(fake)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panics with the lock held has failed already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts bytes at an address for the kernel to read; false when they do not fit.
    pub fn poke(&self, addr: u64, bytes: &[u8]) -> bool {
        self.write_memory(0, &[Range { addr, len: bytes.len() }], bytes) == Ok(bytes.len())
    }

    /// The bytes at an address; shorter than asked at the end of memory.
    #[must_use]
    pub fn peek(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let got = self.read_memory(0, &[Range { addr, len }], &mut bytes).unwrap_or(0);
        bytes.truncate(got);
        bytes
    }

    /// Sets every clock, in nanoseconds.
    pub fn set_now(&self, now_ns: u64) {
        self.now_ns.store(now_ns, Ordering::SeqCst);
    }

    /// Takes what happened since the last call.
    #[must_use]
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.state().events)
    }

    /// Makes a thread known to [`Platform::identify`] and, when it is a process of its own, to
    /// [`Platform::children`] of `creator`.
    pub fn add_thread(&self, tid: HostTid, identity: Identity, creator: HostTid) {
        let mut state = self.state();
        state.identities.insert(tid, identity);
        if identity.tgid == tid {
            state.children.entry(creator).or_default().push(tid);
        }
    }

    /// Makes a thread unknown, as if it had died and been waited for.
    pub fn remove_thread(&self, tid: HostTid) {
        let mut state = self.state();
        state.identities.remove(&tid);
        state.children.values_mut().for_each(|children| children.retain(|&child| child != tid));
    }

    /// Sets a thread's signal books.
    pub fn set_signal_state(&self, tid: HostTid, signals: SignalState) {
        self.state().signals.insert(tid, signals);
    }

    /// Sets what [`Platform::read_proc`] finds.
    pub fn set_proc(&self, tid: HostTid, file: ProcFile, text: &[u8]) {
        self.state().files.insert((tid, file), text.to_vec());
    }

    /// Sets the CPU time that a process or thread has used.
    pub fn set_cpu_time(&self, tid: HostTid, time_ns: u64) {
        self.state().cpu_times.insert(tid, time_ns);
    }

    /// Sets what [`Platform::read_host`] finds.
    pub fn set_host(&self, file: HostFile, text: &[u8]) {
        self.state().host_files.insert(file, text.to_vec());
    }

    fn record(&self, event: Event) {
        self.state().events.push(event);
    }
}

/// The part of `memory` that a range covers, cut at the end of memory.
fn window(memory_len: usize, range: Range) -> std::ops::Range<usize> {
    let begin = range.addr.checked_sub(BASE).and_then(|at| usize::try_from(at).ok()).unwrap_or(usize::MAX);
    let begin = begin.min(memory_len);
    begin..begin.saturating_add(range.len).min(memory_len)
}

fn copied(done: usize, wanted: usize) -> SysResult<usize> {
    if done == 0 && wanted > 0 { Err(Errno::EFAULT) } else { Ok(done) }
}

impl Platform for FakePlatform {
    fn read_memory(&self, _tid: HostTid, ranges: &[Range], local: &mut [u8]) -> SysResult<usize> {
        let state = self.state();
        let (mut done, wanted) = (0, local.len());
        for &range in ranges {
            let from = window(state.memory.len(), range);
            let short = from.len() < range.len;
            let len = from.len().min(wanted - done);
            local[done..done + len].copy_from_slice(&state.memory[from][..len]);
            done += len;
            if short {
                break;
            }
        }
        copied(done, wanted)
    }

    fn write_memory(&self, _tid: HostTid, ranges: &[Range], local: &[u8]) -> SysResult<usize> {
        let mut state = self.state();
        let mut done = 0;
        for &range in ranges {
            let to = window(state.memory.len(), range);
            let short = to.len() < range.len;
            let len = to.len().min(local.len() - done);
            state.memory[to][..len].copy_from_slice(&local[done..done + len]);
            done += len;
            if short {
                break;
            }
        }
        copied(done, local.len())
    }

    fn reply(&self, id: CallId, reply: Reply) {
        self.record(Event::Replied(id, reply));
    }

    fn is_waiting(&self, _id: CallId) -> bool {
        true
    }

    fn install_fd(&self, call: CallId, number: i32, _fd: BorrowedFd<'_>) -> SysResult<()> {
        self.record(Event::Installed { call, number });
        Ok(())
    }

    fn substitute(&self, _call: &Syscall, nr: i32, args: [u64; 6]) -> SysResult<()> {
        self.record(Event::Substituted { nr, args });
        Ok(())
    }

    fn perform(&self, _call: &Syscall, next: &mut dyn FnMut(Performed) -> Step) -> SysResult<()> {
        let step = next(Performed::Started);
        self.record(Event::Performed(step));
        Ok(())
    }

    fn interrupt(&self, call: &Syscall, restart: Restart, _certain: bool) -> SysResult<()> {
        self.record(Event::Interrupted(call.id, restart));
        Ok(())
    }

    fn identify(&self, tid: HostTid) -> SysResult<Identity> {
        self.state().identities.get(&tid).copied().ok_or(Errno::ESRCH)
    }

    fn children(&self, _tgid: HostTid, tid: HostTid) -> SysResult<Vec<HostTid>> {
        Ok(self.state().children.get(&tid).cloned().unwrap_or_default())
    }

    fn threads(&self, tgid: HostTid) -> SysResult<Vec<HostTid>> {
        let state = self.state();
        let of_it = state.identities.iter().filter(|(_, identity)| identity.tgid == tgid);
        Ok(of_it.map(|(&tid, _)| tid).collect())
    }

    fn signal_state(&self, tid: HostTid) -> SysResult<SignalState> {
        Ok(self.state().signals.get(&tid).copied().unwrap_or_default())
    }

    fn send_signal(&self, target: SignalTarget, signal: Signal) -> SysResult<()> {
        self.record(Event::Signalled(target, signal));
        Ok(())
    }

    fn queue_signal(&self, target: SignalTarget, signal: Signal, info: SignalInfo) -> SysResult<()> {
        self.record(Event::Queued(target, signal, info));
        Ok(())
    }

    fn watch_exit(&self, _tgid: HostTid) -> SysResult<()> {
        Ok(())
    }

    fn has_died(&self, tgid: HostTid) -> bool {
        !self.state().identities.contains_key(&tgid)
    }

    fn watch_fd(&self, _fd: BorrowedFd<'_>, _listener: Arc<dyn ReadyListener>) -> SysResult<WatchId> {
        let mut state = self.state();
        state.watches += 1;
        Ok(WatchId(state.watches))
    }

    fn unwatch_fd(&self, _watch: WatchId) {}

    fn arm_timer(&self, deadline_ns: Option<u64>) {
        self.record(Event::TimerArmed(deadline_ns));
    }

    fn read_proc(&self, tid: HostTid, file: ProcFile, limit: usize, out: &mut Vec<u8>) -> SysResult<()> {
        let state = self.state();
        let text = state.files.get(&(tid, file)).ok_or(Errno::ESRCH)?;
        out.extend(text.iter().take(limit));
        Ok(())
    }

    fn read_host(&self, file: HostFile, limit: usize, out: &mut Vec<u8>) -> SysResult<()> {
        let state = self.state();
        let text = state.host_files.get(&file).ok_or(Errno::ENOENT)?;
        out.extend(text.iter().take(limit));
        Ok(())
    }

    fn set_nice(&self, _tid: HostTid, _nice: i32) -> SysResult<()> {
        Ok(())
    }

    fn set_limit(&self, _tgid: HostTid, _resource: u32, _soft: u64, _hard: u64) -> SysResult<()> {
        Ok(())
    }

    fn now_ns(&self, _clock: Clock) -> u64 {
        self.now_ns.load(Ordering::SeqCst)
    }

    fn cpu_time_ns(&self, of: CpuTimeOf) -> SysResult<u64> {
        let (CpuTimeOf::Process(tid) | CpuTimeOf::Thread(tid)) = of;
        self.state().cpu_times.get(&tid).copied().ok_or(Errno::ESRCH)
    }

    fn random(&self, buf: &mut [u8]) -> SysResult<()> {
        buf.fill(0x5a);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{BASE, FakePlatform};
    use crate::{Platform, Range};
    use abi_linux::Errno;

    #[test]
    fn copies_stop_at_the_end_of_memory() {
        let fake = FakePlatform::new(16);
        assert!(fake.poke(BASE + 8, b"12345678"));
        assert_eq!(fake.peek(BASE + 12, 100), b"5678");
        let mut byte = [0];
        let outside = [Range { addr: BASE + 16, len: 1 }];
        assert_eq!(fake.read_memory(0, &outside, &mut byte), Err(Errno::EFAULT));
    }
}
