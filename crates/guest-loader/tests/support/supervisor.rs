//! A supervisor in miniature: it runs the loader under a filter that notifies the private calls and
//! nothing else, answers them, and puts the ELF files at fds 0 and 1 while the loader maps them.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use guest_loader::protocol::{
    EVENT_ATTACH, EVENT_STOPPED, INIT_EVENT, LOADER_DONE, LOADER_INFO, OUTCOME_OK, ROLE_INIT_CHILD,
    SIGNAL_PAGE_TABLE,
};
use guest_loader::{LOADER, encode_init};

use super::elf::Elf;

/// What to load.
pub(crate) struct Guest<'a> {
    pub(crate) exe: &'a Elf,
    pub(crate) plan: Vec<u8>,
    pub(crate) argv: &'a [&'a str],
    pub(crate) env: &'a [(&'a str, &'a str)],
    pub(crate) under_init: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    /// As a shell would say: the code, or 128 + signal.
    pub(crate) status: i32,
    /// The argument strings, as `LOADER_DONE` delimits them.
    pub(crate) arguments: Vec<u8>,
    /// The first three arguments of a `LOADER_DONE` that reports a failure.
    pub(crate) failure: Option<[u64; 3]>,
    /// Address and code of the last signal page.
    pub(crate) signal_page: Option<(u64, Vec<u8>)>,
    /// Event and raw status of each `INIT_EVENT`.
    pub(crate) events: Vec<(u64, u64)>,
}

pub(crate) fn run(guest: &Guest<'_>) -> Outcome {
    let (here, there) = io::pipe().map(|(r, w)| (OwnedFd::from(r), OwnedFd::from(w))).unwrap();
    let (mut channel, child_channel) = std::os::unix::net::UnixStream::pair().unwrap();
    let channel_fd = child_channel.as_raw_fd();
    let mut command = Command::new(format!("/proc/self/fd/{}", loader().as_raw_fd()));
    command.arg0(guest.argv[0]).args(&guest.argv[1..]).env_clear().envs(guest.env.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(move || install_filter(channel_fd)) };
    // `spawn` returns after the exec; the listener's number is read before, or the exec would wait for us.
    let taker = thread::spawn(move || {
        let mut number = [0u8; 8];
        channel.read_exact(&mut number).unwrap();
        let (pid, fd) =
            (i32::from_le_bytes(number[..4].try_into().unwrap()), number[4..].try_into().unwrap());
        let listener = take_fd(pid, i32::from_le_bytes(fd));
        channel.write_all(&[1]).unwrap();
        listener
    });
    let child = command.spawn().unwrap();
    drop(child_channel);
    let listener = taker.join().unwrap();
    let mut outcome = Outcome::default();
    serve(guest, &listener, child, &there, &mut outcome);
    drop(there);
    File::from(here).read_to_string(&mut outcome.stdout).unwrap();
    outcome
}

fn serve(guest: &Guest<'_>, listener: &OwnedFd, mut child: Child, stdout: &OwnedFd, outcome: &mut Outcome) {
    let interp = guest.exe.interp.as_ref().map(|path| File::open(path).unwrap());
    let exe = File::open(&guest.exe.path).unwrap();
    let null = File::open("/dev/null").unwrap();
    while let Some(call) = receive(listener) {
        let args = call.data.args;
        let pid = call.pid as i32;
        let result = match call.data.nr as u64 {
            LOADER_INFO if guest.under_init && args[2] != ROLE_INIT_CHILD => {
                poke(pid, args[0], &encode_init())
            }
            LOADER_INFO => {
                add_fd(listener, call.id, exe.as_raw_fd(), 0);
                if let Some(interp) = &interp {
                    add_fd(listener, call.id, interp.as_raw_fd(), 1);
                }
                outcome.signal_page = Some((args[3], peek(pid, args[3], SIGNAL_PAGE_TABLE as usize)));
                poke(pid, args[3] + SIGNAL_PAGE_TABLE, &[0; SIGNAL_PAGE_TABLE as usize]);
                poke(pid, args[0], &guest.plan)
            }
            LOADER_DONE if args[0] == OUTCOME_OK => {
                outcome.arguments = peek(pid, args[4], (args[5] - args[4]) as usize);
                add_fd(listener, call.id, null.as_raw_fd(), 0);
                add_fd(listener, call.id, stdout.as_raw_fd(), 1);
                0
            }
            LOADER_DONE => {
                outcome.failure = Some([args[0], args[1], args[2]]);
                0
            }
            INIT_EVENT => {
                outcome.events.push((args[0], args[2]));
                if args[0] == EVENT_STOPPED {
                    // SAFETY: a signal to a grandchild of ours.
                    unsafe { libc::kill(args[1] as i32, libc::SIGCONT) };
                }
                assert!(args[0] != EVENT_ATTACH || pid != child.id() as i32);
                0
            }
            other => panic!("unexpected call {other}"),
        };
        reply(listener, call.id, result);
    }
    let status = child.wait().unwrap();
    outcome.status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
}

/// The loader's descriptor. Made before this process forks for the first time: a child that holds the
/// writable descriptor, if only until its exec, would make an execution fail with ETXTBSY.
fn loader() -> &'static OwnedFd {
    static FD: OnceLock<OwnedFd> = OnceLock::new();
    FD.get_or_init(|| memfd(LOADER))
}

/// A memory file that children inherit.
fn memfd(contents: &[u8]) -> OwnedFd {
    // SAFETY: a constant name.
    let fd = unsafe { libc::memfd_create(c"loader".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: a new descriptor that nobody else owns.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(contents).unwrap();
    // A file that is open for writing cannot be executed.
    let path = format!("/proc/self/fd/{fd}");
    let read_only = File::open(path).unwrap();
    // SAFETY: replaces our own descriptor by the read-only one, without close-on-exec.
    let fd = unsafe { libc::dup(read_only.as_raw_fd()) };
    // SAFETY: a new descriptor that nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// In the child: notify the numbers from 1024, allow the rest, and wait until the listener is taken.
fn install_filter(channel: RawFd) -> io::Result<()> {
    let stmt = |code: u32, k| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut program = [
        stmt(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JGE) as u16, jt: 0, jf: 1, k: 1024 },
        stmt(libc::BPF_RET, libc::SECCOMP_RET_USER_NOTIF),
        stmt(libc::BPF_RET, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
    // SAFETY: takes numbers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // SAFETY: `program` describes the array above.
    let fd =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut message = [0u8; 8];
    message[..4].copy_from_slice(&std::process::id().to_le_bytes());
    message[4..].copy_from_slice(&(fd as i32).to_le_bytes());
    // SAFETY: eight readable bytes.
    unsafe { libc::write(channel, message.as_ptr().cast(), 8) };
    // SAFETY: one writable byte.
    unsafe { libc::read(channel, message.as_mut_ptr().cast(), 1) };
    Ok(())
}

fn take_fd(pid: i32, fd: RawFd) -> OwnedFd {
    // SAFETY: takes numbers.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: takes numbers.
    let taken = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd, fd, 0) };
    assert!(taken >= 0, "{}", io::Error::last_os_error());
    // SAFETY: our own descriptor.
    unsafe { libc::close(pidfd as i32) };
    // SAFETY: a new descriptor that nobody else owns.
    unsafe { OwnedFd::from_raw_fd(taken as i32) }
}

/// The next notification; None when every process under the filter is gone.
fn receive(listener: &OwnedFd) -> Option<libc::seccomp_notif> {
    loop {
        let mut poll = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd.
        assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 20_000) }, 1, "the guest hangs");
        if poll.revents & libc::POLLIN == 0 {
            return None;
        }
        // SAFETY: all zero is a valid value.
        let mut call: libc::seccomp_notif = unsafe { mem::zeroed() };
        // SAFETY: the ioctl fills one `seccomp_notif`.
        let got = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) };
        if got == 0 {
            return Some(call);
        }
    }
}

fn reply(listener: &OwnedFd, id: u64, val: i64) {
    let answer = libc::seccomp_notif_resp { id, val, error: 0, flags: 0 };
    // SAFETY: the ioctl reads one `seccomp_notif_resp`. It fails if the caller has died; so be it.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const answer) };
}

fn add_fd(listener: &OwnedFd, id: u64, fd: RawFd, as_fd: u32) {
    let request = libc::seccomp_notif_addfd {
        id,
        flags: libc::SECCOMP_ADDFD_FLAG_SETFD as u32,
        srcfd: fd as u32,
        newfd: as_fd,
        newfd_flags: 0,
    };
    // SAFETY: the ioctl reads one `seccomp_notif_addfd`.
    let done =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw const request) };
    assert!(done >= 0, "{}", io::Error::last_os_error());
}

fn poke(pid: i32, address: u64, bytes: &[u8]) -> i64 {
    let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: address as *mut _, iov_len: bytes.len() };
    // SAFETY: `local` is only read; `remote` is in the child.
    let done = unsafe { libc::process_vm_writev(pid, &raw const local, 1, &raw const remote, 1, 0) };
    assert_eq!(done, bytes.len() as isize);
    done as i64
}

fn peek(pid: i32, address: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; len];
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: len };
    let remote = libc::iovec { iov_base: address as *mut _, iov_len: len };
    // SAFETY: `local` is `len` writable bytes; `remote` is in the child.
    let done = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    assert_eq!(done, len as isize);
    bytes
}

/// Builds a C program with gcc; None where there is no gcc.
pub(crate) fn compile(name: &str, source: &str, flags: &[&str]) -> Option<std::path::PathBuf> {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (input, output) = (directory.join(format!("{name}.c")), directory.join(name));
    std::fs::write(&input, source).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.arg("-O1").arg("-o").arg(&output).arg(&input).args(flags);
    loader();
    let status = gcc_status(&mut gcc)?;
    assert!(status, "gcc fails on {name}");
    Some(output)
}

fn gcc_status(command: &mut Command) -> Option<bool> {
    match command.status() {
        Ok(status) => Some(status.success()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: no {}", OsStr::to_string_lossy(command.get_program()));
            None
        }
        Err(error) => panic!("{error}"),
    }
}
