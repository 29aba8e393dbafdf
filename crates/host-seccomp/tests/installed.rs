//! The kernel takes the program, and what it has installed is what was compiled.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use host_seccomp::{SockFilter, compile, disassemble};
use syscall_table::seccomp::plan;

/// In the child, between fork and its end: no allocation, no lock. The filter notifies nearly every call
/// and nobody listens, so after the installation the child makes no call at all.
fn install_and_spin(program: &mut [libc::sock_filter]) -> ! {
    let fprog = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: `fprog` describes `program`.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const fprog) };
    if result != 0 {
        // SAFETY: ends this process.
        unsafe { libc::_exit(1) };
    }
    loop {
        std::hint::spin_loop();
    }
}

/// Waits for the filter; false if the child ended instead.
fn installed(pid: i32) -> bool {
    for _ in 0..1000 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        if status.contains("State:\tZ") || status.is_empty() {
            return false;
        }
        if status.contains("Seccomp:\t2") {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

fn ptrace(request: libc::c_uint, pid: i32, address: usize, data: *mut libc::c_void) -> io::Result<i64> {
    // SAFETY: the requests below write at most the buffer that `data` points to.
    let result = unsafe { libc::ptrace(request, pid, address, data) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// PTRACE_SECCOMP_GET_FILTER of ptrace(2).
fn read_back(pid: i32) -> io::Result<Vec<SockFilter>> {
    const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;
    let null = std::ptr::null_mut();
    ptrace(libc::PTRACE_SEIZE, pid, 0, null)?;
    ptrace(libc::PTRACE_INTERRUPT, pid, 0, null)?;
    // SAFETY: no status is asked for.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
    let len = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, null)?;
    let mut program = vec![libc::sock_filter { code: 0, jt: 0, jf: 0, k: 0 }; len as usize];
    ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, program.as_mut_ptr().cast())?;
    Ok(program.into_iter().map(SockFilter::from).collect())
}

#[test]
fn installed_filter_reads_back_as_compiled() {
    for strict in [false, true] {
        let rules = plan(strict);
        let compiled = compile(&rules).unwrap();
        let mut program: Vec<libc::sock_filter> = compiled.iter().map(|insn| (*insn).into()).collect();
        // SAFETY: the child only installs the filter and spins.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            install_and_spin(&mut program);
        }
        let ready = installed(pid);
        let found = read_back(pid);
        // SAFETY: a signal to our own child.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        // SAFETY: no status is asked for.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        assert!(ready, "the kernel refuses the program");
        match found {
            Ok(found) => {
                assert_eq!(disassemble(&found, &rules), disassemble(&compiled, &rules));
                assert_eq!(found, compiled);
            }
            // Reading filters takes CAP_SYS_ADMIN and CONFIG_CHECKPOINT_RESTORE.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EINVAL | libc::EIO)) => {
                eprintln!("skipped: filters cannot be read here: {error}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
