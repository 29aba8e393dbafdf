//! fork, exec and wait: exact statuses, what an exec keeps and drops, and why one fails.

use std::ffi::{CStr, CString};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use integration::checks;
use integration::guest::scratch::Scratch;
use integration::guest::{self, fork_child, in_child, signal};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigHandler, SigSet, Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, execv, execve, getpid, getppid, pipe, read, write};

fn main() -> ExitCode {
    guest::main(checks![
        five_hundred_children_give_exact_statuses,
        children_killed_by_each_signal_say_so,
        wait_without_children_gets_echild,
        wait_for_anothers_child_gets_echild,
        wait_nohang_tells_that_nothing_ended,
        waitid_leaves_the_child_when_asked,
        wait_by_group,
        wait_reports_stop_and_continue,
        wait_interrupted_gets_eintr,
        what_a_killed_child_held_is_gone_after_the_wait,
        orphan_gets_a_new_parent,
        ignored_sigchld_reaps_by_itself,
        fork_copies_memory_and_descriptors,
        fork_in_a_chain_of_fifty,
        forks_at_once_from_many_threads,
        posix_spawn_runs_with_redirections,
        vfork_shares_memory_until_exec,
        exec_keeps_pid_and_passes_arguments_and_environment,
        exec_resets_handlers_and_keeps_ignored,
        exec_keeps_mask_and_pending,
        exec_by_descriptor,
        exec_sets_comm_and_cmdline_and_exe,
        exec_of_missing_gets_enoent,
        exec_of_directory_or_plain_file_gets_eacces,
        exec_of_garbage_gets_enoexec,
        exec_below_a_file_gets_enotdir,
        exec_through_a_loop_gets_eloop,
        exec_with_too_much_gets_e2big,
        exec_with_unmapped_pointers_gets_efault,
        failed_exec_leaves_the_caller_as_it_was,
        script_gets_interpreter_and_one_argument,
        script_with_missing_interpreter_gets_enoent,
        scripts_nest_but_not_for_ever,
        large_environment_arrives,
        empty_argv_becomes_one_empty_string,
        exit_flushes_nothing_but_status_is_low_byte,
        many_short_programs,
    ])
}

fn wait_for(pid: Pid) -> WaitStatus {
    waitpid(pid, None).expect("waitpid")
}

fn five_hundred_children_give_exact_statuses() {
    let children: Vec<_> = (0..500).map(|n: i32| (n % 256, fork_child(|| n % 256))).collect();
    for (code, pid) in children.iter().rev() {
        assert_eq!(wait_for(*pid), WaitStatus::Exited(*pid, *code));
    }
}

fn children_killed_by_each_signal_say_so() {
    for signal in Signal::iterator() {
        use Signal::{SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH};
        if matches!(signal, SIGCHLD | SIGCONT | SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU | SIGURG | SIGWINCH) {
            continue;
        }
        let child = fork_child(|| {
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)
                .expect("setrlimit");
            if !matches!(signal, Signal::SIGKILL) {
                signal::plain(signal, SigHandler::SigDfl);
            }
            kill(getpid(), signal).expect("kill");
            0
        });
        assert_eq!(wait_for(child), WaitStatus::Signaled(child, signal, false));
    }
}

fn wait_without_children_gets_echild() {
    assert_eq!(waitpid(None, None), Err(Errno::ECHILD));
    assert_eq!(waitpid(Pid::from_raw(-12345), Some(WaitPidFlag::WNOHANG)), Err(Errno::ECHILD));
}

fn wait_for_anothers_child_gets_echild() {
    let child = fork_child(|| 0);
    assert_eq!(waitpid(getppid(), None), Err(Errno::ECHILD));
    assert_eq!(wait_for(child), WaitStatus::Exited(child, 0));
    assert_eq!(waitpid(child, None), Err(Errno::ECHILD));
}

fn wait_nohang_tells_that_nothing_ended() {
    let (reader, writer) = pipe().expect("pipe");
    let child = fork_child(|| i32::from(read(&reader, &mut [0]) != Ok(1)));
    assert_eq!(waitpid(child, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive));
    write(&writer, b"x").expect("write");
    assert_eq!(wait_for(child), WaitStatus::Exited(child, 0));
}

fn waitid_leaves_the_child_when_asked() {
    let child = fork_child(|| 8);
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    assert_eq!(waitid(Id::Pid(child), peek), Ok(WaitStatus::Exited(child, 8)));
    assert_eq!(waitid(Id::All, WaitPidFlag::WEXITED), Ok(WaitStatus::Exited(child, 8)));
    assert_eq!(waitid(Id::All, WaitPidFlag::WEXITED), Err(Errno::ECHILD));
    assert_eq!(waitid(Id::All, WaitPidFlag::empty()), Err(Errno::EINVAL));
}

fn wait_by_group() {
    let zero = Pid::from_raw(0);
    let (reader, writer) = pipe().expect("pipe");
    let child = fork_child(|| {
        nix::unistd::setpgid(zero, zero).expect("setpgid");
        write(&writer, b"x").expect("write");
        3
    });
    read(&reader, &mut [0]).expect("read");
    let group = Pid::from_raw(-child.as_raw());
    assert_eq!(waitpid(zero, Some(WaitPidFlag::WNOHANG)), Err(Errno::ECHILD));
    assert_eq!(waitpid(group, None), Ok(WaitStatus::Exited(child, 3)));
}

fn wait_reports_stop_and_continue() {
    let child = fork_child(|| {
        nix::unistd::pause();
        0
    });
    kill(child, Signal::SIGSTOP).expect("kill");
    assert_eq!(waitpid(child, Some(WaitPidFlag::WUNTRACED)), Ok(WaitStatus::Stopped(child, Signal::SIGSTOP)));
    assert_eq!(
        waitpid(child, Some(WaitPidFlag::WUNTRACED | WaitPidFlag::WNOHANG)),
        Ok(WaitStatus::StillAlive)
    );
    kill(child, Signal::SIGCONT).expect("kill");
    assert_eq!(waitpid(child, Some(WaitPidFlag::WCONTINUED)), Ok(WaitStatus::Continued(child)));
    kill(child, Signal::SIGTERM).expect("kill");
    assert_eq!(wait_for(child), WaitStatus::Signaled(child, Signal::SIGTERM, false));
}

fn what_a_killed_child_held_is_gone_after_the_wait() {
    for round in 0..200 {
        let (reader, writer) = pipe().expect("pipe");
        let signal = if round % 2 == 0 { Signal::SIGKILL } else { Signal::SIGILL };
        let child = fork_child(|| {
            if signal == Signal::SIGKILL {
                thread::sleep(Duration::from_secs(30));
            }
            // SAFETY: the instruction does nothing but fault, which ends this process.
            unsafe { std::arch::asm!("ud2") };
            0
        });
        drop(reader);
        if signal == Signal::SIGKILL {
            kill(child, signal).expect("kill");
        }
        let waited = if round % 4 < 2 { waitpid(child, None) } else { waitpid(None, None) };
        assert!(matches!(waited, Ok(WaitStatus::Signaled(_, by, _)) if by == signal), "{waited:?}");
        assert_eq!(write(&writer, b"x"), Err(Errno::EPIPE), "round {round}");
    }
}

fn wait_interrupted_gets_eintr() {
    signal::note(Signal::SIGALRM, SaFlags::empty());
    let child = fork_child(|| {
        nix::unistd::pause();
        0
    });
    nix::unistd::alarm::set(1);
    assert_eq!(waitpid(child, None), Err(Errno::EINTR));
    kill(child, Signal::SIGKILL).expect("kill");
    wait_for(child);
}

fn orphan_gets_a_new_parent() {
    let (reader, writer) = pipe().expect("pipe");
    let middle = fork_child(|| {
        let parent = getpid();
        fork_child(|| {
            while getppid() == parent {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            write(&writer, &[1]).expect("write");
            0
        });
        0
    });
    wait_for(middle);
    assert_eq!(read(&reader, &mut [0]), Ok(1));
    // It is not ours.
    assert_eq!(waitpid(None, None), Err(Errno::ECHILD));
}

fn ignored_sigchld_reaps_by_itself() {
    signal::plain(Signal::SIGCHLD, SigHandler::SigIgn);
    let child = fork_child(|| 0);
    assert_eq!(waitpid(child, None), Err(Errno::ECHILD));
}

fn fork_copies_memory_and_descriptors() {
    let mut value = vec![1; 1 << 20];
    let scratch = Scratch::new();
    let file =
        fs::OpenOptions::new().read(true).write(true).create_new(true).open(scratch.at("f")).expect("open");
    let status = in_child(|| {
        value[5] = 2;
        write(&file, b"12345").expect("write");
        std::process::Command::new("/bin/true").status().expect("true");
        value[5]
    });
    assert_eq!((status, value[5]), (2, 1));
    // The offset belongs to the description, which both share.
    assert_eq!(nix::unistd::lseek(&file, 0, nix::unistd::Whence::SeekCur), Ok(5));
}

fn fork_in_a_chain_of_fifty() {
    fn deeper(left: i32) -> i32 {
        if left == 0 { 7 } else { in_child(|| deeper(left - 1)) }
    }
    assert_eq!(deeper(50), 7);
}

fn forks_at_once_from_many_threads() {
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            std::thread::spawn(move || {
                for n in 0..20 {
                    let output =
                        Command::new("/bin/sh").args(["-c", &format!("exit {}", thread * 20 + n)]).status();
                    assert_eq!(output.expect("sh").code(), Some(thread * 20 + n));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("join"));
}

fn posix_spawn_runs_with_redirections() {
    // std::process uses posix_spawn when nothing needs a fork.
    let output = Command::new("/bin/cat")
        .stdin(Stdio::from(
            fs::File::open("/etc/hostname").or_else(|_| fs::File::open("/etc/passwd")).expect("open"),
        ))
        .output()
        .expect("cat");
    assert!(output.status.success() && !output.stdout.is_empty());
    assert_eq!(Command::new("/none").status().expect_err("missing").raw_os_error(), Some(libc::ENOENT));
    assert_eq!(Command::new("/bin/sh").args(["-c", "kill -9 $$"]).status().expect("sh").signal(), Some(9));
}

fn vfork_shares_memory_until_exec() {
    let mut seen = 0;
    let (path, argv) = (c"/bin/true".as_ptr(), [c"true".as_ptr(), std::ptr::null()]);
    let shared = &raw mut seen;
    #[expect(deprecated, reason = "vfork itself is what is checked")]
    // SAFETY: the child stores to one variable, and then execs or exits, as vfork(2) allows.
    let pid = unsafe { libc::vfork() };
    if pid == 0 {
        // SAFETY: the parent is suspended and its variable alive.
        unsafe { shared.write_volatile(5) };
        // SAFETY: C strings and an array that ends with null.
        unsafe { libc::execv(path, argv.as_ptr()) };
        // SAFETY: _exit takes no pointer.
        unsafe { libc::_exit(1) };
    }
    // SAFETY: the variable is alive; the child wrote it in the same memory.
    assert_eq!(unsafe { shared.read_volatile() }, 5);
    assert_eq!(guest::wait_raw(pid), 0);
}

/// Runs a shell script in a new program and gives its output.
fn shell(script: &str, arguments: &[&str]) -> String {
    let output = Command::new("/bin/sh")
        .arg("-c")
        .arg(script)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("sh");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn exec_keeps_pid_and_passes_arguments_and_environment() {
    assert_eq!(shell("printf '<%s>' \"$0\" \"$@\"", &["zero", "", "a b", "\n"]), "<zero><><a b><\n>");
    let child = Command::new("/bin/sh")
        .args(["-c", "echo $$ $PPID $A$B"])
        .env_clear()
        .env("A", "1")
        .env("B", "2")
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh");
    let pid = child.id();
    let output = child.wait_with_output().expect("wait");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{pid} {} 12\n", std::process::id()));
}

fn exec_resets_handlers_and_keeps_ignored() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    signal::plain(Signal::SIGUSR2, SigHandler::SigIgn);
    assert_eq!(shell("kill -USR2 $$; echo alive; kill -USR1 $$; echo dead", &[]), "alive\n");
}

fn exec_keeps_mask_and_pending() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGUSR1);
    let status = in_child(|| {
        set.thread_block().expect("block");
        kill(getpid(), Signal::SIGUSR1).expect("kill");
        let error = Command::new("/bin/grep").args(["-qE", "^SigBlk:.*2..$", "/proc/self/status"]).exec();
        panic!("{error}");
    });
    assert_eq!(status, 0);
}

fn exec_by_descriptor() {
    use nix::fcntl::{AtFlags, OFlag};
    use std::os::fd::AsFd;
    let program = nix::fcntl::open("/bin/true", OFlag::O_PATH, nix::sys::stat::Mode::empty()).expect("open");
    let status = in_child(|| {
        let error =
            nix::unistd::execveat(program.as_fd(), c"", &[c"true"], &[c"A=1"], AtFlags::AT_EMPTY_PATH);
        panic!("{error:?}");
    });
    assert_eq!(status, 0);
    let bin = nix::fcntl::open("/bin", OFlag::O_DIRECTORY, nix::sys::stat::Mode::empty()).expect("open");
    let status = in_child(|| {
        let error = nix::unistd::execveat(bin.as_fd(), c"false", &[c"false"], &[c""], AtFlags::empty());
        panic!("{error:?}");
    });
    assert_eq!(status, 1);
}

fn exec_sets_comm_and_cmdline_and_exe() {
    let scratch = Scratch::new();
    let program = scratch.at("a-name-longer-than-fifteen");
    fs::copy("/bin/cat", &program).expect("copy");
    let cat = |file: &str| {
        let output = Command::new(&program).arg0("arg0").arg(file).output().expect("cat");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(cat("/proc/self/comm"), "a-name-longer-t\n");
    assert_eq!(cat("/proc/self/cmdline"), "arg0\0/proc/self/cmdline\0");
    assert!(cat("/proc/self/maps").contains(program.to_str().expect("ASCII")));
    assert_eq!(
        shell("readlink /proc/self/exe", &[]).trim_end(),
        fs::canonicalize(shell("command -v readlink", &[]).trim_end())
            .expect("which")
            .to_str()
            .expect("ASCII")
    );
}

fn exec_error(path: &Path) -> Errno {
    let path = CString::new(path.as_os_str().as_encoded_bytes()).expect("no NUL");
    execv(&path, &[c"x"]).expect_err("it cannot run")
}

fn executable(scratch: &Scratch, name: &str, content: impl AsRef<[u8]>) -> std::path::PathBuf {
    let path = scratch.file(name, content);
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("chmod");
    path
}

fn exec_of_missing_gets_enoent() {
    assert_eq!(exec_error(Path::new("/none")), Errno::ENOENT);
    assert_eq!(exec_error(Path::new("")), Errno::ENOENT);
}

fn exec_of_directory_or_plain_file_gets_eacces() {
    let scratch = Scratch::new();
    assert_eq!(exec_error(Path::new("/tmp")), Errno::EACCES);
    assert_eq!(exec_error(&scratch.file("f", "#!/bin/sh\n")), Errno::EACCES);
    assert_eq!(exec_error(Path::new("/dev/null")), Errno::EACCES);
}

fn exec_of_garbage_gets_enoexec() {
    let scratch = Scratch::new();
    for (name, content) in [("empty", &b""[..]), ("text", b"hello\n"), ("elf", b"\x7fELF"), ("bare", b"#!\n")]
    {
        assert_eq!(exec_error(&executable(&scratch, name, content)), Errno::ENOEXEC, "{name}");
    }
}

fn exec_below_a_file_gets_enotdir() {
    assert_eq!(exec_error(Path::new("/bin/true/x")), Errno::ENOTDIR);
}

fn exec_through_a_loop_gets_eloop() {
    let scratch = Scratch::new();
    symlink("loop", scratch.at("loop")).expect("symlink");
    assert_eq!(exec_error(&scratch.at("loop")), Errno::ELOOP);
}

fn exec_with_too_much_gets_e2big() {
    // execve(2): one string may have 32 pages.
    let long = CString::new(vec![b'x'; 32 * 4096]).expect("no NUL");
    assert_eq!(execv(c"/bin/true", &[c"true", &long]), Err(Errno::E2BIG));
    let fits = CString::new(vec![b'x'; 32 * 4096 - 1]).expect("no NUL");
    let all = vec![fits.as_c_str(); 2000];
    assert_eq!(execv(c"/bin/true", &all), Err(Errno::E2BIG));
    assert_eq!(in_child(|| panic!("{:?}", execv(c"/bin/true", &[c"true", &fits]))), 0);
}

fn exec_with_unmapped_pointers_gets_efault() {
    let bad = 8 as *const libc::c_char;
    let argv = [c"x".as_ptr(), bad, std::ptr::null()];
    let path = c"/bin/true".as_ptr();
    // SAFETY: the addresses that are not mapped are refused.
    let results = unsafe { [libc::execv(path, argv.as_ptr())] };
    assert_eq!((results, Errno::last()), ([-1], Errno::EFAULT));
    // SAFETY: as above.
    let result = unsafe { libc::execv(bad, argv.as_ptr()) };
    assert_eq!((result, Errno::last()), (-1, Errno::EFAULT));
    // SAFETY: as above.
    let result = unsafe { libc::execv(path, 16 as *const *const libc::c_char) };
    assert_eq!((result, Errno::last()), (-1, Errno::EFAULT));
}

fn failed_exec_leaves_the_caller_as_it_was() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let value = vec![3; 100_000];
    for _ in 0..20 {
        assert_eq!(exec_error(Path::new("/none")), Errno::ENOENT);
    }
    kill(getpid(), Signal::SIGUSR1).expect("kill");
    assert_eq!((signal::count(), value[99_999]), (1, 3));
    assert_eq!(in_child(|| 4), 4);
}

fn script_output(path: &Path, arguments: &[&str]) -> String {
    let output = Command::new(path).args(arguments).output().expect("the script runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn script_gets_interpreter_and_one_argument() {
    let scratch = Scratch::new();
    let show = executable(&scratch, "show", "#!/bin/sh\nprintf '<%s>' \"$@\"\n");
    let show = show.to_str().expect("ASCII");
    let name = |file: &Path| file.to_str().expect("ASCII").to_owned();
    for (line, expected) in [("", ""), (" one two  ", "<one two>"), ("\targ", "<arg>")] {
        let script = executable(&scratch, "script", format!("#! {show}{line}\n"));
        assert_eq!(script_output(&script, &["a", "b c"]), format!("{expected}<{}><a><b c>", name(&script)));
    }
    // No newline at all.
    let script = executable(&scratch, "short", format!("#!{show} x"));
    assert_eq!(script_output(&script, &[]), format!("<x><{}>", name(&script)));
}

fn script_with_missing_interpreter_gets_enoent() {
    let scratch = Scratch::new();
    assert_eq!(exec_error(&executable(&scratch, "a", "#!/none\n")), Errno::ENOENT);
    assert_eq!(exec_error(&executable(&scratch, "b", "#!/tmp\n")), Errno::EACCES);
}

fn scripts_nest_but_not_for_ever() {
    let scratch = Scratch::new();
    let mut interpreter = "/bin/echo".to_owned();
    for n in 0..7 {
        let path = executable(&scratch, &format!("s{n}"), format!("#!{interpreter}\n"));
        interpreter = path.to_str().expect("ASCII").to_owned();
        // Linux fs/exec.c: five rewrites; the next gets ELOOP.
        if n < 5 {
            assert!(script_output(&path, &[]).contains("s0"), "{n}");
        } else {
            assert_eq!(exec_error(&path), Errno::ELOOP, "{n}");
        }
    }
    let path = scratch.at("self");
    let path = executable(&scratch, "self", format!("#!{}\n", path.display()));
    assert_eq!(exec_error(&path), Errno::ELOOP);
}

fn large_environment_arrives() {
    let value = "v".repeat(100_000);
    let output = Command::new("/bin/sh")
        .args(["-c", "echo ${#A} ${#B} ${#C}"])
        .envs([("A", &value), ("B", &value), ("C", &value)])
        .output()
        .expect("sh");
    assert_eq!(output.stdout, b"100000 100000 100000\n");
}

fn empty_argv_becomes_one_empty_string() {
    let none: [&CStr; 0] = [];
    // Linux 5.18: argc is never 0.
    let status = in_child(|| panic!("{:?}", execve(c"/bin/true", &none, &none)));
    assert_eq!(status, 0);
}

fn exit_flushes_nothing_but_status_is_low_byte() {
    for (code, expected) in [(256, 0), (-1, 255), (0x1234, 0x34)] {
        assert_eq!(in_child(|| code), expected);
    }
}

fn many_short_programs() {
    for n in 0..60 {
        let program = if n % 2 == 0 { "/bin/true" } else { "/bin/false" };
        assert_eq!(Command::new(program).status().expect("it runs").code(), Some(n % 2));
    }
}
