//! Lines as strace(1) 6.1 prints them, and memory that lies.

use abi_linux::{Errno, SysResult};

use super::line;
use crate::cx::Outcome;
use crate::observe::Ending;

/// Guest memory: pieces at addresses.
struct Memory(Vec<(u64, Vec<u8>)>);

impl Memory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> usize {
        let holds = |(start, bytes): &&(u64, Vec<u8>)| {
            address >= *start && address < start.saturating_add(bytes.len() as u64)
        };
        let Some((start, bytes)) = self.0.iter().find(holds) else { return 0 };
        let from = (address - start) as usize;
        let len = buffer.len().min(bytes.len() - from);
        buffer[..len].copy_from_slice(&bytes[from..from + len]);
        len
    }
}

fn print(name: &str, args: &[u64], result: SysResult<i64>, pieces: &[(u64, &[u8])]) -> String {
    let memory = Memory(pieces.iter().map(|(at, bytes)| (*at, bytes.to_vec())).collect());
    let nr = syscall_table::by_name(name).map_or(-1, |row| row.nr as i32);
    let mut six = [0; 6];
    six[..args.len()].copy_from_slice(args);
    line(nr, &six, Ending::Answered(&result.map(Outcome::Value)), &|at, buffer| memory.read(at, buffer))
}

const CWD: u64 = -100i64 as u64;

#[test]
fn flags_and_paths_by_name() {
    let passwd = (0x1000, b"/etc/passwd\0junk".as_slice());
    assert_eq!(
        print("openat", &[CWD, 0x1000, 0o2000000, 0], Ok(3), &[passwd]),
        r#"openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3"#
    );
    assert_eq!(
        print("openat", &[CWD, 0x1000, 0o1101, 0o644], Err(Errno::EACCES), &[passwd]),
        r#"openat(AT_FDCWD, "/etc/passwd", O_WRONLY|O_CREAT|O_TRUNC, 0644) = -1 EACCES (Permission denied)"#
    );
    assert_eq!(
        print("access", &[0x1000, 4], Err(Errno::ENOENT), &[passwd]),
        r#"access("/etc/passwd", R_OK) = -1 ENOENT (No such file or directory)"#
    );
    assert_eq!(print("access", &[0x1000, 0], Ok(0), &[passwd]), r#"access("/etc/passwd", F_OK) = 0"#);
    assert_eq!(
        print("mmap", &[0, 4096, 3, 0x22, u64::from(u32::MAX), 0], Ok(0x7f00_0000_0000), &[]),
        "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000"
    );
    assert_eq!(print("umask", &[0o22], Ok(0o77), &[]), "umask(022) = 077");
}

#[test]
fn buffers_are_escaped_and_cut() {
    let text = b"hello\n\0\x011 and much more text than fits".as_slice();
    assert_eq!(print("write", &[1, 0x1000, 6], Ok(6), &[(0x1000, text)]), r#"write(1, "hello\n", 6) = 6"#);
    assert_eq!(
        print("write", &[1, 0x1000, 40], Ok(40), &[(0x1000, text)]),
        r#"write(1, "hello\n\0\0011 and much more text tha"..., 40) = 40"#
    );
    assert_eq!(print("read", &[0, 0x1000, 4096], Ok(5), &[(0x1000, text)]), r#"read(0, "hello", 4096) = 5"#);
    assert_eq!(
        print("read", &[0, 0x1000, 4096], Err(Errno::EBADF), &[(0x1000, text)]),
        "read(0, 0x1000, 4096) = -1 EBADF (Bad file descriptor)"
    );
    assert_eq!(print("read", &[0, 0x9000, 9], Ok(5), &[]), "read(0, 0x9000, 9) = 5");
}

#[test]
fn structures_by_field() {
    let time = [[5u64.to_le_bytes(), 7u64.to_le_bytes()].concat()].concat();
    assert_eq!(
        print("clock_gettime", &[1, 0x1000], Ok(0), &[(0x1000, &time)]),
        "clock_gettime(CLOCK_MONOTONIC, {tv_sec=5, tv_nsec=7}) = 0"
    );
    let poll = [3, 0, 0, 0, 1, 0, 1, 0];
    assert_eq!(
        print("poll", &[0x1000, 1, u64::from(u32::MAX)], Ok(1), &[(0x1000, &poll)]),
        "poll([{fd=3, events=POLLIN, revents=POLLIN}], 1, -1) = 1"
    );
    assert_eq!(
        print("pipe2", &[0x1000, 0], Ok(0), &[(0x1000, &[3, 0, 0, 0, 4, 0, 0, 0])]),
        "pipe2([3, 4], 0) = 0"
    );
    let set = 0x10002u64.to_le_bytes();
    assert_eq!(
        print("rt_sigprocmask", &[0, 0x1000, 0, 8], Ok(0), &[(0x1000, &set)]),
        "rt_sigprocmask(SIG_BLOCK, [INT CHLD], NULL, 8) = 0"
    );
    assert_eq!(
        print("wait4", &[u64::MAX, 0x1000, 0, 0], Ok(9), &[(0x1000, &[0, 3, 0, 0])]),
        "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 9"
    );
    let limit = [1024u64.to_le_bytes(), u64::MAX.to_le_bytes()].concat();
    assert_eq!(
        print("prlimit64", &[0, 7, 0, 0x1000], Ok(0), &[(0x1000, &limit)]),
        "prlimit64(0, RLIMIT_NOFILE, NULL, {rlim_cur=1024, rlim_max=RLIM64_INFINITY}) = 0"
    );
}

#[test]
fn modes_are_octal_in_structures() {
    let mut stat = [0; 144];
    stat[24..28].copy_from_slice(&0o100644u32.to_le_bytes());
    let text = print("fstat", &[3, 0x1000], Ok(0), &[(0x1000, &stat)]);
    assert!(text.contains("st_mode=S_IFREG|0644"), "{text}");
}

#[test]
fn vectors_show_their_strings() {
    let argv = [0x2000u64.to_le_bytes(), 0x2003u64.to_le_bytes(), 0u64.to_le_bytes()].concat();
    let pieces =
        [(0x1000, argv.as_slice()), (0x2000, b"ls\0-l\0".as_slice()), (0x3000, b"/bin/ls\0".as_slice())];
    assert_eq!(
        print("execve", &[0x3000, 0x1000, 0x5000], Ok(0), &pieces),
        r#"execve("/bin/ls", ["ls", "-l"], 0x5000) = 0"#
    );
    let iov =
        [0x2000u64.to_le_bytes(), 2u64.to_le_bytes(), 0x2003u64.to_le_bytes(), 2u64.to_le_bytes()].concat();
    assert_eq!(
        print("writev", &[1, 0x1000, 2], Ok(4), &[(0x1000, &iov), pieces[1]]),
        r#"writev(1, [{iov_base="ls", iov_len=2}, {iov_base="-l", iov_len=2}], 2) = 4"#
    );
}

#[test]
fn commands_decide_their_argument() {
    let size = [24, 0, 80, 0, 0, 0, 0, 0];
    assert_eq!(
        print("ioctl", &[1, 0x5413, 0x1000], Ok(0), &[(0x1000, &size)]),
        "ioctl(1, TIOCGWINSZ, {ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}) = 0"
    );
    assert_eq!(print("fcntl", &[1, 1, 99], Ok(1), &[]), "fcntl(1, F_GETFD) = 1");
    assert_eq!(print("fcntl", &[1, 2, 1], Ok(0), &[]), "fcntl(1, F_SETFD, FD_CLOEXEC) = 0");
    let unix = [1, 0, b'/', b'x', 0];
    assert_eq!(
        print("connect", &[3, 0x1000, 5], Ok(0), &[(0x1000, &unix)]),
        r#"connect(3, {sa_family=AF_UNIX, sun_path="/x"}, 5) = 0"#
    );
    let fds = [0b1001];
    assert_eq!(
        print("select", &[4, 0x1000, 0, 0, 0], Ok(1), &[(0x1000, &fds)]),
        "select(4, [0 3], NULL, NULL, NULL) = 1"
    );
}

#[test]
fn what_the_host_goes_on_with_has_no_result_yet() {
    let args = [0; 6];
    assert_eq!(
        line(231, &args, Ending::Answered(&Ok(Outcome::Continue)), &|_, _| 0),
        "exit_group(0) = ? <host>"
    );
    assert_eq!(
        line(59, &args, Ending::Answered(&Ok(Outcome::Substitute { nr: 322, args })), &|_, _| 0),
        "execve(NULL, NULL, NULL) = ? <host: execveat>"
    );
    assert_eq!(
        line(9999, &args, Ending::Answered(&Err(Errno::ENOSYS)), &|_, _| 0),
        "syscall_0x270f(0x0, 0x0, 0x0, 0x0, 0x0, 0x0) = -1 ENOSYS (Function not implemented)"
    );
}

/// Readers that a hostile guest, or a bug of ours, could amount to.
#[test]
fn hostile_memory_and_registers_give_a_bounded_line() {
    let endless: &super::ReadMem<'_> = &|_, buffer: &mut [u8]| {
        buffer.fill(0xff);
        buffer.len()
    };
    let self_pointing: &super::ReadMem<'_> = &|at, buffer: &mut [u8]| {
        for (place, byte) in buffer.iter_mut().zip(at.to_le_bytes().iter().cycle()) {
            *place = *byte;
        }
        buffer.len()
    };
    let overreporting: &super::ReadMem<'_> = &|_, _| usize::MAX;
    let nothing: &super::ReadMem<'_> = &|_, _| 0;
    let registers = [0, 1, 4095, 0x7fff_ffff, 0xffff_ffff, 1 << 47, u64::MAX - 7, u64::MAX];
    for nr in -1..=1100 {
        for (at, &register) in registers.iter().enumerate() {
            let mut args = [register; 6];
            args[at % 6] = registers[(at + 3) % registers.len()];
            for mem in [endless, self_pointing, overreporting, nothing] {
                for result in [Ok(Outcome::Value(register as i64)), Ok(Outcome::Continue), Err(Errno::EFAULT)]
                {
                    assert!(line(nr, &args, Ending::Answered(&result), mem).len() < 64 * 1024, "call {nr}");
                }
            }
        }
    }
}
