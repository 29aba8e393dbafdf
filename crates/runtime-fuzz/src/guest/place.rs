//! Where programs run: a root in memory, the same in a sandbox and in a bare container of the host.

use std::ffi::CStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;

use super::raw::{call, fork, leave};

/// Whether the container is to be made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// Namespaces of the host's, with users that are nobody there.
    Host,
    /// A sandbox has made one already.
    Sandbox,
}

/// The first of 65536 users that stand for those of the container, when root makes it.
const FIRST_USER: u32 = 100_000;
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Limits that both sides have: number, soft, hard.
const LIMITS: [(libc::__rlimit_resource_t, u64, u64); 7] = [
    (libc::RLIMIT_NOFILE, 256, 512),
    (libc::RLIMIT_FSIZE, 16 << 20, 32 << 20),
    (libc::RLIMIT_CORE, 0, 0),
    (libc::RLIMIT_CPU, 60, 60),
    (libc::RLIMIT_MEMLOCK, 1 << 20, 1 << 20),
    (libc::RLIMIT_SIGPENDING, 200, 200),
    (libc::RLIMIT_MSGQUEUE, 819_200, 819_200),
];

/// Makes the container and goes on as its second process.
///
/// # Errors
/// What the host refused, with the step.
pub fn bare_container(bare: Bare) -> io::Result<()> {
    if bare == Bare::Host {
        host_namespaces()?;
    }
    // Whatever who started the fuzzer ignores: the same on both sides. struct kernel_sigaction, SIG_DFL.
    let default = [0_u64; 4];
    for signal in 1..=64 {
        call(libc::SYS_rt_sigaction, &[signal, default.as_ptr() as u64, 0, 8]);
    }
    root_in_memory()?;
    for (resource, soft, hard) in LIMITS {
        let limit = [soft, hard];
        let pointer = limit.as_ptr() as u64;
        check("prlimit", call(libc::SYS_prlimit64, &[0, u64::from(resource), pointer, 0]))?;
    }
    Ok(())
}

fn check(step: &str, answer: i64) -> io::Result<i64> {
    if answer < 0 && answer > -4096 {
        let error = io::Error::from_raw_os_error(-answer as i32);
        return Err(io::Error::new(error.kind(), format!("{step}: {error}")));
    }
    Ok(answer)
}

fn host_namespaces() -> io::Result<()> {
    let (mut told, mut tell) = io::pipe()?;
    let (mut done, mut finish) = io::pipe()?;
    let privileged = call(libc::SYS_geteuid, &[]) == 0;
    let (uid, gid) = (call(libc::SYS_getuid, &[]), call(libc::SYS_getgid, &[]));
    let child = check("fork", fork())?;
    if child > 0 {
        drop((tell, done));
        // Writes the child's id maps, and then only waits for it.
        if told.read_exact(&mut [0]).is_ok() {
            let (users, groups) = if privileged {
                (format!("0 {FIRST_USER} 65536"), format!("0 {FIRST_USER} 65536"))
            } else {
                let _ = fs::write(format!("/proc/{child}/setgroups"), "deny");
                (format!("0 {uid} 1"), format!("0 {gid} 1"))
            };
            let written = fs::write(format!("/proc/{child}/uid_map"), users)
                .and_then(|()| fs::write(format!("/proc/{child}/gid_map"), groups));
            if let Err(error) = written {
                eprintln!("palisade-fuzz: id map: {error}");
                leave(1);
            }
            let _ = finish.write_all(&[1]);
        }
        leave(wait_for(child));
    }
    drop((told, finish));
    call(libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG as u64, libc::SIGKILL as u64]);
    check("unshare of the user namespace", call(libc::SYS_unshare, &[libc::CLONE_NEWUSER as u64]))?;
    tell.write_all(&[1])?;
    done.read_exact(&mut [0])?;
    check("setresgid", call(libc::SYS_setresgid, &[0, 0, 0]))?;
    check("setresuid", call(libc::SYS_setresuid, &[0, 0, 0]))?;
    if privileged {
        check("setgroups", call(libc::SYS_setgroups, &[0, 0]))?;
    }
    let others = libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    check("unshare", call(libc::SYS_unshare, &[others as u64]))?;
    first_two_processes()?;
    loopback()
}

/// Process 1 waits, process 2 goes on, as in a sandbox.
fn first_two_processes() -> io::Result<()> {
    let init = check("fork", fork())?;
    if init > 0 {
        leave(wait_for(init));
    }
    call(libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG as u64, libc::SIGKILL as u64]);
    let second = check("fork", fork())?;
    if second > 0 {
        // Standard input ends for the executor alone.
        loop {
            let mut status = 0_i32;
            let ended = call(libc::SYS_wait4, &[u64::MAX, (&raw mut status) as u64, 0, 0]);
            if ended == second || ended == -i64::from(libc::ECHILD) {
                leave(i32::from(status != 0));
            }
        }
    }
    Ok(())
}

fn wait_for(child: i64) -> i32 {
    let mut status = 0_i32;
    call(libc::SYS_wait4, &[child as u64, (&raw mut status) as u64, 0, 0]);
    i32::from(status != 0)
}

/// Brings lo up.
fn loopback() -> io::Result<()> {
    let socket =
        check("socket", call(libc::SYS_socket, &[libc::AF_INET as u64, libc::SOCK_DGRAM as u64, 0]))?;
    // struct ifreq: name, then flags: IFF_UP | IFF_RUNNING.
    let mut request = [0_u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16] = 0x41;
    const SIOCSIFFLAGS: u64 = 0x8914;
    check(
        "SIOCSIFFLAGS",
        call(libc::SYS_ioctl, &[socket as u64, SIOCSIFFLAGS, request.as_mut_ptr() as u64]),
    )?;
    call(libc::SYS_close, &[socket as u64]);
    Ok(())
}

fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: u64, data: &CStr) -> io::Result<()> {
    let address = |text: &CStr| text.as_ptr() as u64;
    let args = [address(source), address(target), address(kind), flags, address(data)];
    check(&format!("mount {}", target.to_string_lossy()), call(libc::SYS_mount, &args)).map(|_| ())
}

/// A tmpfs with devices and /proc, and a directory `w` for programs, becomes the root.
fn root_in_memory() -> io::Result<()> {
    mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c"")?;
    mount(c"none", c"/tmp", c"tmpfs", 0, c"size=64m,mode=755")?;
    for dir in ["/tmp/dev", "/tmp/proc", "/tmp/w"] {
        fs::create_dir(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    }
    for name in DEVICES {
        let target = format!("/tmp/dev/{name}\0");
        fs::write(target.trim_end_matches('\0'), "")?;
        let source = format!("/dev/{name}\0");
        let text = |name: &str| CStr::from_bytes_with_nul(name.as_bytes()).map(CStr::to_owned);
        let (Ok(source), Ok(target)) = (text(&source), text(&target)) else { continue };
        mount(&source, &target, c"", libc::MS_BIND, c"")?;
        // So that no program changes their modes for the next; with what the host's own mount may not lose.
        let flags = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
        mount(&source, &target, c"", flags, c"")
            .or_else(|_| mount(&source, &target, c"", flags | libc::MS_NOSUID, c""))
            .or_else(|_| mount(&source, &target, c"", flags | libc::MS_NOSUID | libc::MS_NOEXEC, c""))?;
    }
    mount(c"proc", c"/tmp/proc", c"proc", 0, c"")?;
    std::env::set_current_dir("/tmp")?;
    check("chroot", call(libc::SYS_chroot, &[c".".as_ptr() as u64]))?;
    std::env::set_current_dir("/w")
}
