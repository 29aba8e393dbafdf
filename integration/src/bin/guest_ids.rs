//! Who a process is and what the system says of itself: ids, sessions, credentials, limits, clocks, uname.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use integration::checks;
use integration::guest::{self, error_of, fork_child, in_child, signal};
use nix::errno::Errno;
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::signal::{SigHandler, Signal};
use nix::time::{ClockId, clock_getres, clock_gettime};
use nix::unistd::{
    Gid, Pid, Uid, getegid, geteuid, getgid, getgroups, getpgid, getpgrp, getpid, getppid, getresgid,
    getresuid, getsid, getuid, pipe, read, setgid, setgroups, setpgid, setresgid, setresuid, setsid, setuid,
    write,
};

fn main() -> ExitCode {
    guest::main(checks![
        pids_of_parent_and_child_agree,
        setsid_makes_a_leader_once,
        setpgid_rules,
        getpgid_and_getsid_of_others,
        session_survives_fork_and_exec,
        root_starts_with_all_ids_zero,
        setuid_of_root_gives_up_all_three,
        setresuid_sets_each_and_keeps_minus_one,
        ordinary_user_cannot_become_another,
        saved_id_lets_a_user_return,
        groups_are_set_and_read,
        ids_show_in_proc_status,
        ids_survive_exec,
        limits_are_read_set_and_inherited,
        raising_a_hard_limit_needs_privilege,
        soft_above_hard_gets_einval,
        fsize_limit_raises_sigxfsz,
        stack_limit_is_sane,
        uname_says_linux,
        hostname_agrees,
        sysinfo_is_plausible,
        times_and_rusage_grow,
        clocks_run,
        clock_nanosleep_until_a_time,
        gettimeofday_agrees_with_time,
        priority_can_be_lowered,
        prctl_flags_round_trip,
        parent_death_signal,
        getrandom_fills,
        auxiliary_vector_is_sane,
        proc_files_parse,
        personality_is_linux,
        sysconf_counts,
        unknown_call_gets_enosys,
    ])
}

const SELF: Pid = Pid::from_raw(0);

fn pids_of_parent_and_child_agree() {
    let (reader, writer) = pipe().expect("pipe");
    let parent = getpid();
    let child = fork_child(|| {
        write(&writer, &getpid().as_raw().to_ne_bytes()).expect("write");
        i32::from(getppid() != parent)
    });
    let mut bytes = [0; 4];
    read(&reader, &mut bytes).expect("read");
    assert_eq!(i32::from_ne_bytes(bytes), child.as_raw());
    assert_eq!(guest::wait_raw(child.as_raw()), 0);
    assert_eq!(fs::read_link("/proc/self").expect("readlink"), std::path::Path::new(&parent.to_string()));
}

fn setsid_makes_a_leader_once() {
    let status = in_child(|| {
        let session = setsid().expect("setsid");
        assert_eq!((session, getpgrp(), getsid(None)), (getpid(), getpid(), Ok(getpid())));
        assert_eq!(setsid(), Err(Errno::EPERM));
        assert_eq!(setpgid(SELF, SELF), Err(Errno::EPERM));
        0
    });
    assert_eq!(status, 0);
}

fn setpgid_rules() {
    let (reader, writer) = pipe().expect("pipe");
    let child = fork_child(|| {
        read(&reader, &mut [0]).expect("read");
        i32::from(getpgrp() != getpid())
    });
    setpgid(child, child).expect("a child that has not exec'd");
    assert_eq!(getpgid(Some(child)), Ok(child));
    assert_eq!(setpgid(SELF, Pid::from_raw(99_999)), Err(Errno::EPERM));
    assert_eq!(setpgid(Pid::from_raw(99_999), SELF), Err(Errno::ESRCH));
    assert_eq!(setpgid(Pid::from_raw(-1), SELF), Err(Errno::EINVAL));
    assert_eq!(setpgid(SELF, Pid::from_raw(-1)), Err(Errno::EINVAL));
    write(&writer, b"x").expect("write");
    assert_eq!(guest::wait_raw(child.as_raw()), 0);
    setpgid(SELF, SELF).expect("a group of one's own");
    assert_eq!(getpgrp(), getpid());
}

fn getpgid_and_getsid_of_others() {
    assert_eq!(getpgid(None), Ok(getpgrp()));
    assert_eq!(getsid(Some(getppid())), getsid(None));
    assert_eq!(getsid(Some(Pid::from_raw(99_999))), Err(Errno::ESRCH));
    assert_eq!(getpgid(Some(Pid::from_raw(99_999))), Err(Errno::ESRCH));
}

fn session_survives_fork_and_exec() {
    let status = in_child(|| {
        let session = setsid().expect("setsid");
        let output =
            std::process::Command::new("/bin/sh").args(["-c", "cut -d' ' -f5,6 /proc/self/stat"]).output();
        i32::from(String::from_utf8_lossy(&output.expect("sh").stdout) != format!("{session} {session}\n"))
    });
    assert_eq!(status, 0);
}

fn root_starts_with_all_ids_zero() {
    let (root, wheel) = (Uid::from_raw(0), Gid::from_raw(0));
    assert_eq!((getuid(), geteuid(), getgid(), getegid()), (root, root, wheel, wheel));
    let ids = getresuid().expect("getresuid");
    assert_eq!((ids.real, ids.effective, ids.saved), (root, root, root));
}

fn uids() -> [u32; 3] {
    let ids = getresuid().expect("getresuid");
    [ids.real.as_raw(), ids.effective.as_raw(), ids.saved.as_raw()]
}

fn setuid_of_root_gives_up_all_three() {
    assert_eq!(
        in_child(|| {
            setgid(Gid::from_raw(20)).expect("setgid");
            setuid(Uid::from_raw(10)).expect("setuid");
            assert_eq!(uids(), [10, 10, 10]);
            assert_eq!(getresgid().expect("getresgid").saved, Gid::from_raw(20));
            assert_eq!(setuid(Uid::from_raw(0)), Err(Errno::EPERM));
            0
        }),
        0
    );
}

fn setresuid_sets_each_and_keeps_minus_one() {
    let keep = Uid::from_raw(u32::MAX);
    assert_eq!(
        in_child(|| {
            setresuid(Uid::from_raw(1), Uid::from_raw(0), Uid::from_raw(3)).expect("setresuid");
            assert_eq!(uids(), [1, 0, 3]);
            setresuid(keep, Uid::from_raw(2), keep).expect("setresuid");
            assert_eq!(uids(), [1, 2, 3]);
            setresuid(Uid::from_raw(3), Uid::from_raw(1), keep).expect("one of its own three");
            assert_eq!(uids(), [3, 1, 3]);
            assert_eq!(setresuid(keep, Uid::from_raw(9), keep), Err(Errno::EPERM));
            0
        }),
        0
    );
}

fn ordinary_user_cannot_become_another() {
    assert_eq!(
        in_child(|| {
            let (user, group) = (Uid::from_raw(1000), Gid::from_raw(1000));
            setgroups(&[]).expect("setgroups");
            setresgid(group, group, group).expect("setresgid");
            setresuid(user, user, user).expect("setresuid");
            assert_eq!(setuid(Uid::from_raw(0)), Err(Errno::EPERM));
            assert_eq!(setgid(Gid::from_raw(0)), Err(Errno::EPERM));
            assert_eq!(setgroups(&[Gid::from_raw(5)]), Err(Errno::EPERM));
            assert_eq!(nix::unistd::sethostname("x"), Err(Errno::EPERM));
            assert_eq!(nix::unistd::chroot("/"), Err(Errno::EPERM));
            // Root's init is not to be signalled.
            assert_eq!(nix::sys::signal::kill(Pid::from_raw(1), Signal::SIGTERM), Err(Errno::EPERM));
            0
        }),
        0
    );
}

fn saved_id_lets_a_user_return() {
    assert_eq!(
        in_child(|| {
            nix::unistd::seteuid(Uid::from_raw(7)).expect("seteuid");
            assert_eq!(
                error_of(
                    fs::read("/etc/shadow")
                        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
                ),
                Errno::EACCES
            );
            nix::unistd::seteuid(Uid::from_raw(0)).expect("back");
            assert_eq!(uids(), [0, 0, 0]);
            0
        }),
        0
    );
}

fn groups_are_set_and_read() {
    assert_eq!(
        in_child(|| {
            let groups: Vec<_> = [5, 3, 1000].into_iter().map(Gid::from_raw).collect();
            setgroups(&groups).expect("setgroups");
            let mut found: Vec<_> = getgroups().expect("getgroups").into_iter().map(Gid::as_raw).collect();
            found.sort_unstable();
            assert_eq!(found, [3, 5, 1000]);
            setgroups(&[]).expect("setgroups");
            assert!(getgroups().expect("getgroups").is_empty());
            0
        }),
        0
    );
}

fn status_line(name: &str) -> String {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("the line exists").trim().to_owned()
}

fn ids_show_in_proc_status() {
    assert_eq!(
        in_child(|| {
            setresgid(Gid::from_raw(4), Gid::from_raw(5), Gid::from_raw(6)).expect("setresgid");
            setresuid(Uid::from_raw(1), Uid::from_raw(0), Uid::from_raw(3)).expect("setresuid");
            assert_eq!(status_line("Uid"), "1\t0\t3\t0");
            assert_eq!(status_line("Gid"), "4\t5\t6\t5");
            assert_eq!(status_line("Pid"), getpid().to_string());
            assert_eq!(status_line("PPid"), getppid().to_string());
            0
        }),
        0
    );
}

fn ids_survive_exec() {
    assert_eq!(
        in_child(|| {
            let (user, group) = (Uid::from_raw(12), Gid::from_raw(34));
            setgroups(&[Gid::from_raw(56)]).expect("setgroups");
            setresgid(group, group, group).expect("setresgid");
            setresuid(user, user, user).expect("setresuid");
            let output = std::process::Command::new("/bin/sh")
                .args(["-c", "id -u; id -ru; id -g; id -G"])
                .output()
                .expect("sh");
            i32::from(String::from_utf8_lossy(&output.stdout) != "12\n12\n34\n34 56\n")
        }),
        0
    );
}

fn limits_are_read_set_and_inherited() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
    setrlimit(Resource::RLIMIT_NOFILE, 77, hard).expect("setrlimit");
    assert_eq!(in_child(|| i32::from(getrlimit(Resource::RLIMIT_NOFILE) != Ok((77, hard)))), 0);
    let output = std::process::Command::new("/bin/sh").args(["-c", "ulimit -n"]).output().expect("sh");
    assert_eq!(output.stdout, b"77\n");
    let limits = fs::read_to_string("/proc/self/limits").expect("limits");
    assert!(
        limits.lines().any(|line| line.starts_with("Max open files") && line.contains(" 77 ")),
        "{limits}"
    );
}

fn raising_a_hard_limit_needs_privilege() {
    assert_eq!(
        in_child(|| {
            setrlimit(Resource::RLIMIT_NOFILE, 50, 60).expect("setrlimit");
            setuid(Uid::from_raw(1)).expect("setuid");
            assert_eq!(setrlimit(Resource::RLIMIT_NOFILE, 60, 61), Err(Errno::EPERM));
            setrlimit(Resource::RLIMIT_NOFILE, 60, 60).expect("up to the hard one");
            0
        }),
        0
    );
}

fn soft_above_hard_gets_einval() {
    assert_eq!(setrlimit(Resource::RLIMIT_NOFILE, 11, 10), Err(Errno::EINVAL));
}

fn fsize_limit_raises_sigxfsz() {
    let scratch = guest::scratch::Scratch::new();
    let path = scratch.at("f");
    let status = in_child(|| {
        signal::plain(Signal::SIGXFSZ, SigHandler::SigIgn);
        setrlimit(Resource::RLIMIT_FSIZE, 1000, 1000).expect("setrlimit");
        let file = fs::File::create(&path).expect("create");
        assert_eq!(write(&file, &[0; 1500]), Ok(1000));
        assert_eq!(write(&file, &[0; 1]), Err(Errno::EFBIG));
        0
    });
    assert_eq!(status, 0);
}

fn stack_limit_is_sane() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_STACK).expect("getrlimit");
    assert!(soft >= 1 << 20 && hard >= soft);
}

fn uname_says_linux() {
    let name = nix::sys::utsname::uname().expect("uname");
    assert_eq!((name.sysname().to_str(), name.machine().to_str()), (Some("Linux"), Some("x86_64")));
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    assert!(numbers.next().expect("a number") >= 4, "{release}");
}

fn hostname_agrees() {
    let name = nix::unistd::gethostname().expect("gethostname");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").expect("hostname").trim_end(), name);
    assert_eq!(nix::sys::utsname::uname().expect("uname").nodename(), name);
}

fn sysinfo_is_plausible() {
    let info = nix::sys::sysinfo::sysinfo().expect("sysinfo");
    assert!(info.ram_total() > 16 << 20 && info.ram_unused() <= info.ram_total());
    assert!(info.process_count() >= 1 && info.uptime() > Duration::ZERO);
}

fn times_and_rusage_grow() {
    let start = Instant::now();
    let mut work = 0_u64;
    while start.elapsed() < Duration::from_millis(60) {
        work = std::hint::black_box(work.wrapping_mul(3).wrapping_add(1));
    }
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage");
    assert!(usage.user_time().tv_sec() > 0 || usage.user_time().tv_usec() > 10_000);
    assert!(usage.max_rss() > 100);
    // SAFETY: tms is plain data.
    let mut times: libc::tms = unsafe { std::mem::zeroed() };
    // SAFETY: `times` is writable.
    assert!(unsafe { libc::times(&mut times) } > 0);
    assert!(times.tms_utime >= 1);
    let child = getrusage(UsageWho::RUSAGE_CHILDREN).expect("getrusage");
    assert_eq!(child.user_time().tv_sec(), 0);
}

fn clocks_run() {
    for clock in [
        ClockId::CLOCK_MONOTONIC,
        ClockId::CLOCK_REALTIME,
        ClockId::CLOCK_BOOTTIME,
        ClockId::CLOCK_PROCESS_CPUTIME_ID,
        ClockId::CLOCK_THREAD_CPUTIME_ID,
    ] {
        let before = clock_gettime(clock).expect("clock_gettime");
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock_gettime(clock).expect("clock_gettime") > before, "{clock}");
        assert!(clock_getres(clock).expect("clock_getres").tv_nsec() > 0);
    }
    assert_eq!(error_of(clock_gettime(ClockId::from_raw(9999))), Errno::EINVAL);
    assert!(
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
            > 1_600_000_000
    );
}

fn clock_nanosleep_until_a_time() {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("clock_gettime");
    let until = libc::timespec { tv_sec: now.tv_sec() + 1, tv_nsec: now.tv_nsec() };
    // SAFETY: the time outlives the call.
    let result = unsafe {
        libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &until, std::ptr::null_mut())
    };
    assert_eq!(result, 0);
    let after = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("clock_gettime");
    assert!((after.tv_sec(), after.tv_nsec()) >= (until.tv_sec, until.tv_nsec));
}

fn gettimeofday_agrees_with_time() {
    let mut both = [0_i64; 2];
    // SAFETY: the array has the layout of a timeval.
    assert_eq!(unsafe { libc::syscall(libc::SYS_gettimeofday, both.as_mut_ptr(), 0_usize) }, 0);
    // SAFETY: a null pointer is allowed.
    let seconds = unsafe { libc::syscall(libc::SYS_time, 0_usize) };
    assert!((seconds - both[0]).abs() <= 1);
}

fn priority_can_be_lowered() {
    assert_eq!(
        in_child(|| {
            // SAFETY: the call takes no pointer.
            assert_eq!(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 5) }, 0);
            // SAFETY: the call takes no pointer.
            i32::from(unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) } != 5)
        }),
        0
    );
}

fn prctl_flags_round_trip() {
    use nix::sys::prctl;
    prctl::set_dumpable(false).expect("prctl");
    assert_eq!(prctl::get_dumpable(), Ok(false));
    prctl::set_pdeathsig(Signal::SIGUSR1).expect("prctl");
    assert_eq!(prctl::get_pdeathsig(), Ok(Some(Signal::SIGUSR1)));
    prctl::set_child_subreaper(true).expect("prctl");
    assert_eq!(prctl::get_child_subreaper(), Ok(true));
    // An orphan of a child comes to the subreaper.
    let middle = fork_child(|| {
        fork_child(|| 21);
        0
    });
    assert_eq!(guest::wait_raw(middle.as_raw()), 0);
    assert!(matches!(nix::sys::wait::wait(), Ok(nix::sys::wait::WaitStatus::Exited(_, 21))));
}

fn parent_death_signal() {
    let (reader, writer) = pipe().expect("pipe");
    let middle = fork_child(|| {
        let (ready, tell) = pipe().expect("pipe");
        fork_child(|| {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("prctl");
            write(&tell, b"x").expect("write");
            let _keep = &writer;
            std::thread::sleep(Duration::from_secs(1000));
            0
        });
        read(&ready, &mut [0]).expect("read");
        0
    });
    drop(writer);
    assert_eq!(guest::wait_raw(middle.as_raw()), 0);
    assert_eq!(read(&reader, &mut [0]), Ok(0));
}

fn getrandom_fills() {
    let (mut a, mut b) = ([0_u8; 64], [0_u8; 64]);
    for bytes in [&mut a, &mut b] {
        // SAFETY: the buffer is writable for its length.
        assert_eq!(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), 64, 0) }, 64);
    }
    assert_ne!(a, b);
    // SAFETY: refused before the buffer is touched.
    let refused = unsafe { libc::getrandom(a.as_mut_ptr().cast(), 64, 0xffff) };
    assert_eq!(Errno::result(refused), Err(Errno::EINVAL));
}

fn auxiliary_vector_is_sane() {
    // SAFETY: getauxval reads the process's own vector.
    let value = |kind| unsafe { libc::getauxval(kind) };
    assert_eq!((value(libc::AT_PAGESZ), value(libc::AT_CLKTCK), value(libc::AT_SECURE)), (4096, 100, 0));
    assert_eq!((value(libc::AT_UID), value(libc::AT_EGID)), (0, 0));
    for kind in [
        libc::AT_PHDR,
        libc::AT_ENTRY,
        libc::AT_RANDOM,
        libc::AT_EXECFN,
        libc::AT_BASE,
        libc::AT_SYSINFO_EHDR,
    ] {
        assert_ne!(value(kind), 0, "{kind}");
    }
    let auxv = fs::read("/proc/self/auxv").expect("auxv");
    assert!(auxv.len().is_multiple_of(16) && auxv.len() > 160 && auxv[auxv.len() - 16..] == [0; 16]);
}

fn proc_files_parse() {
    let read = |name: &str| fs::read_to_string(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let stat = read("/proc/self/stat");
    let fields: Vec<_> = stat.rsplit_once(") ").expect("a name").1.split_whitespace().collect();
    assert_eq!((fields.len(), fields[0], fields[1]), (50, "R", getppid().to_string().as_str()));
    assert!(
        read("/proc/meminfo").contains("MemAvailable:") && read("/proc/cpuinfo").contains("processor\t: 0")
    );
    assert!(read("/proc/stat").starts_with("cpu ") && read("/proc/uptime").split(' ').count() == 2);
    assert!(read("/proc/mounts").lines().any(|line| line.split(' ').nth(1) == Some("/proc")));
    assert!(read("/proc/self/mountinfo").contains(" / /proc "));
    assert_eq!(
        (read("/proc/loadavg").split(' ').count(), read("/proc/version").starts_with("Linux version")),
        (5, true)
    );
    assert_eq!(read("/proc/self/statm").split_whitespace().count(), 7);
    assert!(read("/proc/sys/kernel/pid_max").trim().parse::<u32>().is_ok());
    assert!(fs::read_link("/proc/self/exe").expect("exe").ends_with("guest_ids"));
    assert_eq!(fs::read_link("/proc/self/cwd").expect("cwd"), std::env::current_dir().expect("getcwd"));
    assert!(!fs::exists("/proc/999999").expect("stat"));
}

fn personality_is_linux() {
    // SAFETY: the call takes no pointer; this value only asks.
    assert_eq!(unsafe { libc::personality(0xffff_ffff) }, 0);
}

fn sysconf_counts() {
    use nix::unistd::{SysconfVar, sysconf};
    assert_eq!(sysconf(SysconfVar::PAGE_SIZE), Ok(Some(4096)));
    assert!(sysconf(SysconfVar::_NPROCESSORS_ONLN).expect("sysconf").expect("a number") >= 1);
    assert!(sysconf(SysconfVar::OPEN_MAX).expect("sysconf").expect("a number") >= 16);
}

fn unknown_call_gets_enosys() {
    for number in [600, 1000, 4000] {
        // SAFETY: no such call exists.
        assert_eq!(Errno::result(unsafe { libc::syscall(number, 1, 2, 3) }), Err(Errno::ENOSYS), "{number}");
    }
}
