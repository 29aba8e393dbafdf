//! `without_inet COMMAND...`: runs a command for which only AF_UNIX sockets exist, as on a kernel without networking.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Offsets in struct seccomp_data.
const NR: u32 = 0;
const FIRST_ARGUMENT: u32 = 16;

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

/// Goes on when the value is `k`, else skips `other` instructions.
fn expect(k: u32, other: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt: 0, jf: other, k }
}

fn main() -> ExitCode {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let mut filter = [
        statement(LOAD, NR),
        expect(libc::SYS_socket as u32, 2),
        statement(LOAD, FIRST_ARGUMENT),
        expect(libc::AF_UNIX as u32, 1),
        statement(RETURN, libc::SECCOMP_RET_ALLOW),
        statement(RETURN, libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT as u32),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: `program` and the instructions that it points to live through the call.
    let installed =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(installed, 0, "a filter takes root: {}", std::io::Error::last_os_error());
    let mut command = std::env::args_os().skip(1);
    let error = Command::new(command.next().expect("a command")).args(command).exec();
    eprintln!("without_inet: {error}");
    ExitCode::FAILURE
}
