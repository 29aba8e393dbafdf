//! The few ptrace(2) requests of substitution and interruption, as a typestate: [`Seized`] becomes [`Stopped`]
//! becomes nothing.
//!
//! A tracee belongs to the *thread* that seized it, so both types are `!Send`: everything from seize to detach
//! happens on one thread. Dropping either detaches as well as it can.

use std::marker::PhantomData;

use abi_linux::{Errno, SysResult};

use crate::{check, check_long, last};

/// struct user_regs_struct of x86_64.
pub type Registers = libc::user_regs_struct;

/// A seized thread that runs, or is about to stop.
pub struct Seized {
    tid: i32,
    /// Pointers are not Send, and neither is a tracee.
    thread_bound: PhantomData<*const ()>,
}

/// A stopped thread.
pub struct Stopped {
    tid: i32,
    /// The signal that a signal-delivery stop holds back; 0 for any other stop.
    signal: i32,
    thread_bound: PhantomData<*const ()>,
}

/// What a seized thread did.
pub enum Next {
    Stopped(Stopped),
    /// It died, or was replaced by an exec of a sibling.
    Gone,
}

fn request(number: libc::c_uint, tid: i32, data: usize) -> SysResult<()> {
    // SAFETY: all requests that are made through here take `addr` 0 and `data` by value (a signal number or
    // options), so the kernel follows no pointer of ours.
    let ret = unsafe { libc::syscall(libc::SYS_ptrace, libc::c_long::from(number), tid, 0, data) };
    check_long(ret).map(drop)
}

/// Attaches to a thread without stopping it.
pub fn seize(tid: i32) -> SysResult<Seized> {
    request(libc::PTRACE_SEIZE, tid, libc::PTRACE_O_TRACESYSGOOD as usize)?;
    Ok(Seized { tid, thread_bound: PhantomData })
}

impl Seized {
    /// Asks it to stop at the next chance: TIF_SIGPENDING is set when this returns.
    pub fn interrupt(&self) -> SysResult<()> {
        request(libc::PTRACE_INTERRUPT, self.tid, 0)
    }

    /// Waits for its stop or death. `keep_zombie`: leave its exit status for whoever else waits (our own child).
    pub fn wait(self, keep_zombie: bool) -> SysResult<Next> {
        let tid = self.tid;
        loop {
            // __WNOTHREAD: other threads of ours have tracees of their own. WNOWAIT: first see what it is.
            let options = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT | libc::__WALL | libc::__WNOTHREAD;
            let info = match waitid(tid, options) {
                Ok(info) => info,
                Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => return Ok(Next::Gone),
                Err(error) => return Err(error),
            };
            if matches!(info.si_code, libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED) {
                if !keep_zombie {
                    // Consuming it as the tracer passes it on to its real parent.
                    let _ = waitid(tid, libc::WEXITED | libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD);
                }
                return Ok(Next::Gone);
            }
            let _ = waitid(tid, libc::WSTOPPED | libc::WNOHANG | libc::__WALL | libc::__WNOTHREAD);
            // SAFETY: waitid(2) fills si_status whenever it succeeds and found a child.
            let status = unsafe { info.si_status() };
            // With PTRACE_O_TRACESYSGOOD a system call stop is SIGTRAP | 0x80: no signal either.
            let is_signal = status >> 8 == 0 && status & 0x80 == 0;
            let signal = if is_signal { status & 0x7f } else { 0 };
            return Ok(Next::Stopped(Stopped { tid, signal, thread_bound: PhantomData }));
        }
    }
}

fn waitid(tid: i32, options: libc::c_int) -> SysResult<libc::siginfo_t> {
    let id = libc::id_t::try_from(tid).map_err(|_| Errno::ESRCH)?;
    // SAFETY: siginfo_t is a C struct of integers and pointers for which all zeroes is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is live and unique; the kernel fills it.
    let ret = unsafe { libc::waitid(libc::P_PID, id, &mut info, options) };
    check(ret)?;
    Ok(info)
}

impl Stopped {
    /// The signal that is held back until the thread goes on.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        (self.signal != 0).then_some(self.signal)
    }

    /// Its registers.
    pub fn registers(&self) -> SysResult<Registers> {
        // SAFETY: user_regs_struct is integers only.
        let mut registers: Registers = unsafe { std::mem::zeroed() };
        let pointer: *mut Registers = &mut registers;
        // SAFETY: the kernel writes exactly one struct user_regs_struct to the live, unique `pointer`.
        let ret = unsafe {
            libc::syscall(libc::SYS_ptrace, libc::c_long::from(libc::PTRACE_GETREGS), self.tid, 0, pointer)
        };
        check_long(ret)?;
        Ok(registers)
    }

    /// Sets its registers.
    pub fn set_registers(&self, registers: &Registers) -> SysResult<()> {
        let pointer: *const Registers = registers;
        // SAFETY: the kernel reads exactly one struct user_regs_struct from the live `pointer`, and checks
        // segment registers itself; what they do to the other process is the caller's intent.
        let ret = unsafe {
            libc::syscall(libc::SYS_ptrace, libc::c_long::from(libc::PTRACE_SETREGS), self.tid, 0, pointer)
        };
        check_long(ret).map(drop)
    }

    /// Replaces its signal mask (PTRACE_GETSIGMASK, PTRACE_SETSIGMASK) and gives the one before. Not for a
    /// thread that is to have its mask back after the present call (sigsuspend): that one is forgotten.
    pub fn replace_signal_mask(&self, mask: u64) -> SysResult<u64> {
        const GET: libc::c_long = 0x420a;
        const SET: libc::c_long = 0x420b;
        let mut before = 0u64;
        // SAFETY: `addr` is the size of the set: the kernel writes eight bytes to the live, unique `before`.
        let ret = unsafe { libc::syscall(libc::SYS_ptrace, GET, self.tid, 8, &raw mut before) };
        check_long(ret)?;
        // SAFETY: as above; the kernel reads eight bytes.
        let ret = unsafe { libc::syscall(libc::SYS_ptrace, SET, self.tid, 8, &raw const mask) };
        check_long(ret).map(|_| before)
    }

    /// The filter that was installed `index` filters ago (PTRACE_SECCOMP_GET_FILTER; needs CAP_SYS_ADMIN).
    pub fn seccomp_filter(&self, index: usize) -> SysResult<Vec<crate::seccomp::Instruction>> {
        let number = libc::c_long::from(0x420c);
        let null = std::ptr::null_mut::<libc::sock_filter>();
        // SAFETY: with a null buffer the kernel only returns the number of instructions.
        let ret = unsafe { libc::syscall(libc::SYS_ptrace, number, self.tid, index, null) };
        let count = usize::try_from(ret).map_err(|_| last())?;
        let mut program = vec![libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; count];
        // SAFETY: a filter never changes, so the kernel writes the same `count` instructions, which fit.
        let ret = unsafe { libc::syscall(libc::SYS_ptrace, number, self.tid, index, program.as_mut_ptr()) };
        check_long(ret)?;
        Ok(program)
    }

    /// Lets it go on to the next entry to or exit from a system call, or the next signal; see
    /// [`Seized::wait`] for `keep_zombie`.
    pub fn go_to_syscall(self, keep_zombie: bool) -> SysResult<Next> {
        request(libc::PTRACE_SYSCALL, self.tid, usize::try_from(self.signal).unwrap_or(0))?;
        Seized { tid: self.tid, thread_bound: PhantomData }.wait(keep_zombie)
    }

    /// Lets it go on, with the signal that its stop held back.
    pub fn detach(self) -> SysResult<()> {
        request(libc::PTRACE_DETACH, self.tid, usize::try_from(self.signal).unwrap_or(0))
    }
}
