//! What a process gives up for good: capabilities, host calls, signals to others.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use abi_linux::{Errno, SysResult};

use crate::child::prctl;
use crate::seccomp::Instruction;
use crate::{check, check_long};

const FILTER_FLAG_TSYNC: libc::c_ulong = 1;
/// SYS_SECCOMP: the si_code of a SIGSYS that a filter sends.
const SYS_SECCOMP: libc::c_int = 1;

/// struct __user_cap_header_struct.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// _LINUX_CAPABILITY_VERSION_3.
const VERSION: u32 = 0x2008_0522;

/// struct __user_cap_data_struct: effective, permitted, inheritable; the low words first.
type Sets = [[u32; 3]; 2];

/// Keeps, of the calling thread's capabilities, those in `mask`; none are left in the other sets. Allocation-free, so a
/// child may call it between clone and exec.
pub fn keep_capabilities(mask: u64) -> SysResult<()> {
    for capability in 0..64 {
        if mask >> capability & 1 == 1 {
            continue;
        }
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            Ok(_) => {}
            Err(Errno::EINVAL) => break, // beyond the last one that this kernel knows
            // Who has none cannot drop any from the bounding set either: no_new_privs keeps it from mattering.
            Err(Errno::EPERM) if mask != 0 => break,
            Err(error) => return Err(error),
        }
    }
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong)?;
    let header = Header { version: VERSION, pid: 0 };
    let header: *const Header = &header;
    let mut sets: Sets = [[0; 3]; 2];
    // SAFETY: version 3 writes two struct __user_cap_data_struct, six words, to the live, unique `sets`; the header is
    // written only when its version is unknown.
    let ret = unsafe { libc::syscall(libc::SYS_capget, header, sets.as_mut_ptr()) };
    check_long(ret)?;
    for (half, keep) in sets.iter_mut().zip([mask as u32, (mask >> 32) as u32]) {
        let [_, permitted, _] = *half;
        *half = [permitted & keep, permitted & keep, 0];
    }
    // SAFETY: as above, but `sets` is only read.
    let ret = unsafe { libc::syscall(libc::SYS_capset, header, sets.as_ptr()) };
    check_long(ret).map(drop)
}

/// Installs a filter in all threads of the process. Needs no_new_privs.
pub fn filter_all_threads(program: &[Instruction]) -> SysResult<()> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let prog = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let pointer: *const libc::sock_fprog = &prog;
    let mode = libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER);
    // SAFETY: `pointer` and the `len` instructions behind it are live and are only read by the kernel.
    let ret = unsafe { libc::syscall(libc::SYS_seccomp, mode, FILTER_FLAG_TSYNC, pointer) };
    match check_long(ret)? {
        0 => Ok(()),
        // The id of a thread that has a filter of its own.
        _ => Err(Errno::ESRCH),
    }
}

/// struct landlock_ruleset_attr of Linux 6.12.
#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and LANDLOCK_SCOPE_SIGNAL.
const SCOPED: u64 = 1 | 2;

/// The calling thread, and what it starts from now on, can signal and ptrace only each other, and connect to no other's
/// abstract socket (landlock(7)). ENOSYS, EOPNOTSUPP or E2BIG where the host has no Landlock of Linux 6.12.
pub fn scope_to_descendants() -> SysResult<()> {
    let attr = RulesetAttr { handled_access_fs: 0, handled_access_net: 0, scoped: SCOPED };
    let pointer: *const RulesetAttr = &attr;
    // SAFETY: `pointer` is to a live struct of the size that is passed, only read.
    let ret =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, pointer, size_of::<RulesetAttr>(), 0) };
    let number = i32::try_from(check_long(ret)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
    let ruleset = unsafe { OwnedFd::from_raw_fd(number) };
    // SAFETY: integers only.
    let ret = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    check_long(ret).map(drop)
}

/// Where [`name_refused`] writes.
static REPORT: AtomicI32 = AtomicI32::new(-1);

/// Has a host call that a filter answers by SIGSYS named in `to` before the process aborts.
pub fn report_refused_calls(to: OwnedFd) -> SysResult<()> {
    use std::os::fd::IntoRawFd;
    REPORT.store(to.into_raw_fd(), Ordering::SeqCst);
    // SAFETY: all-zero bytes are a valid struct sigaction: default action, empty mask, no flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = name_refused;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: `action` is live and its handler does async-signal-safe things only; the old action is not wanted.
    let ret = unsafe { libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut()) };
    check(ret).map(drop)
}

/// struct siginfo_t of a SIGSYS that a filter sent (include/uapi/asm-generic/siginfo.h).
#[repr(C)]
struct Refused {
    signo: i32,
    errno: i32,
    code: i32,
    _padding: i32,
    address: u64,
    number: i32,
    architecture: u32,
}

/// Writes a number in decimal at the end of `buf`; gives where it begins.
fn digits(mut value: u64, buf: &mut [u8; 20]) -> usize {
    let mut at = buf.len();
    loop {
        at = at.saturating_sub(1);
        if let Some(slot) = buf.get_mut(at) {
            *slot = b'0' + (value % 10) as u8;
        }
        value /= 10;
        if value == 0 || at == 0 {
            return at;
        }
    }
}

/// Handler of SIGSYS: writes and aborts; allocates and locks nothing.
extern "C" fn name_refused(_signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let info: *const Refused = info.cast();
    let context: *const libc::ucontext_t = context.cast();
    // SAFETY: SA_SIGINFO handlers get pointers to a live siginfo_t, whose layout for SIGSYS is `Refused`.
    let info = unsafe { &*info };
    // SAFETY: as above, to a live ucontext_t.
    let context = unsafe { &*context };
    let to = REPORT.load(Ordering::SeqCst);
    let put = |bytes: &[u8]| {
        // SAFETY: the kernel reads `bytes.len()` bytes of the live `bytes`.
        let _ = unsafe { libc::write(to, bytes.as_ptr().cast(), bytes.len()) };
    };
    let mut line = [0u8; 256];
    let mut len = 0;
    let mut add = |bytes: &[u8]| {
        if let Some(room) = line.get_mut(len..len + bytes.len()) {
            room.copy_from_slice(bytes);
            len += bytes.len();
        }
    };
    let mut buf = [0; 20];
    if info.code == SYS_SECCOMP {
        add(b"palisade: the supervisor's filter refuses host call ");
        let at = digits(u64::from(info.number.unsigned_abs()), &mut buf);
        add(buf.get(at..).unwrap_or_default());
        add(b" with arguments");
        use libc::{REG_R8, REG_R9, REG_R10, REG_RDI, REG_RDX, REG_RSI};
        for register in [REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9] {
            let value = usize::try_from(register).ok().and_then(|at| context.uc_mcontext.gregs.get(at));
            add(b" ");
            let at = digits(value.copied().unwrap_or(0).cast_unsigned(), &mut buf);
            add(buf.get(at..).unwrap_or_default());
        }
        add(b"\n");
    }
    put(line.get(..len).unwrap_or_default());
    // SAFETY: _exit never returns and runs no handlers.
    unsafe { libc::_exit(159) }
}
