//! What an executor needs that no safe wrapper has: bare system calls, memory at fixed addresses, fork, a signal handler.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::exec::{DATA_LEN, SPACE};

/// A system call with just these registers; what it does to memory is the program's affair.
pub(super) fn syscall(number: u32, args: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = args;
    let answer: i64;
    // SAFETY: none can be given for the call itself, which is why it is made in a process that is thrown away. Programs
    // get addresses of their own memory, of their own pages, and of nothing, none of which Rust knows.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") u64::from(number) => answer,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    answer
}

/// As [`syscall`], by libc's number.
pub(super) fn call(number: libc::c_long, args: &[u64]) -> i64 {
    let mut registers = [0; 6];
    registers.iter_mut().zip(args).for_each(|(register, arg)| *register = *arg);
    syscall(number as u32, registers)
}

/// Ends the process, from any thread.
pub(super) fn leave(status: i32) -> ! {
    loop {
        call(libc::SYS_exit_group, &[status as u64]);
    }
}

/// A process that goes on here with a copy of everything.
pub(super) fn fork() -> i64 {
    // SAFETY: callers have one thread.
    i64::from(unsafe { libc::fork() })
}

/// Puts fresh memory where programs have theirs.
pub(super) fn map_data() -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let at = SPACE.data as *mut libc::c_void;
    // SAFETY: MAP_FIXED_NOREPLACE takes no memory that is in use.
    let got = unsafe { libc::mmap(at, DATA_LEN as usize, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    got == at
}

fn is_data(addr: u64, len: usize) -> bool {
    addr >= SPACE.data && addr.saturating_add(len as u64) <= SPACE.data + DATA_LEN
}

/// Writes into a program's memory.
pub(super) fn poke(addr: u64, bytes: &[u8]) {
    if is_data(addr, bytes.len()) {
        // SAFETY: mapped by `map_data`, and never taken away: programs unmap their pages only.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), addr as *mut u8, bytes.len()) };
    }
}

/// Reads a program's memory.
pub(super) fn peek(addr: u64, out: &mut [u8]) {
    if is_data(addr, out.len()) {
        // SAFETY: as in `poke`.
        unsafe { std::ptr::copy_nonoverlapping(addr as *const u8, out.as_mut_ptr(), out.len()) };
    }
}

/// How often each signal's handler ran.
pub(super) static HANDLED: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];

extern "C" fn handle(signal: libc::c_int) {
    if let Some(count) = HANDLED.get(signal as usize) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The address of a handler that counts.
pub(super) fn handler() -> u64 {
    handle as extern "C" fn(libc::c_int) as usize as u64
}

std::arch::global_asm!(
    ".globl palisade_fuzz_restorer",
    "palisade_fuzz_restorer:",
    "mov $15, %eax",
    "syscall",
    options(att_syntax)
);

// SAFETY: defined above; it is never called from Rust, only its address is taken.
unsafe extern "C" {
    fn palisade_fuzz_restorer();
}

/// The address of rt_sigreturn(2), where handlers return to.
pub(super) fn restorer() -> u64 {
    palisade_fuzz_restorer as unsafe extern "C" fn() as usize as u64
}

/// Waits while `word` is `old`, at most so long.
pub(super) fn futex_wait(word: &AtomicU32, old: u32, limit_ms: u64) {
    let limit = [limit_ms / 1000, limit_ms % 1000 * 1_000_000];
    let addr = std::ptr::from_ref(word) as u64;
    call(libc::SYS_futex, &[addr, libc::FUTEX_WAIT as u64, u64::from(old), limit.as_ptr() as u64]);
}

/// Wakes who waits on `word`.
pub(super) fn futex_wake(word: &AtomicU32) {
    call(libc::SYS_futex, &[std::ptr::from_ref(word) as u64, libc::FUTEX_WAKE as u64, 64]);
}

/// Memory that a process shares with those that it forks.
pub(super) struct Shared {
    start: *mut u8,
}

/// Numbers at its beginning.
const WORDS: usize = 1024;
const SHARED_LEN: usize = 8 << 20;

// SAFETY: all accesses are atomic, or to bytes that one side at a time has.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl Shared {
    pub(super) fn new() -> Option<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: new memory at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), SHARED_LEN, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        (start != libc::MAP_FAILED).then_some(Self { start: start.cast() })
    }

    /// A number of it.
    pub(super) fn word(&self, at: usize) -> &AtomicU64 {
        let place = self.start.cast::<AtomicU64>().wrapping_add(at % WORDS);
        // SAFETY: within the mapping, which lives as long as `self`, aligned, and only ever used as atomics.
        unsafe { &*place }
    }

    /// Bytes behind the numbers; fewer where it ends.
    pub(super) fn read(&self, at: usize, len: usize) -> Vec<u8> {
        let at = at.min(SHARED_LEN - WORDS * 8);
        let mut out = vec![0; len.min(SHARED_LEN - WORDS * 8 - at)];
        let from = self.start.wrapping_add(WORDS * 8 + at);
        // SAFETY: within the mapping; the writer has told the length and is done with them.
        unsafe { std::ptr::copy_nonoverlapping(from, out.as_mut_ptr(), out.len()) };
        out
    }

    /// Puts bytes behind the numbers; false where they do not fit.
    pub(super) fn write(&self, at: usize, bytes: &[u8]) -> bool {
        let fits = at.saturating_add(bytes.len()) <= SHARED_LEN - WORDS * 8;
        if fits {
            let to = self.start.wrapping_add(WORDS * 8 + at);
            // SAFETY: within the mapping; nobody reads them before their length is told.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        }
        fits
    }
}
