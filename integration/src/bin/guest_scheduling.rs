//! Scheduling, memory policies, and calls on other processes' memory and objects.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use integration::guest::{self, fork_child, in_child};
use integration::{checks, raw};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe};

fn main() -> ExitCode {
    guest::main(checks![
        nice_is_a_threads_own_and_inherited,
        nice_of_a_group_and_a_user,
        priority_needs_privilege_to_rise,
        policies_round_trip,
        policy_errors,
        attributes_round_trip,
        others_scheduling_is_theirs,
        affinity_is_inherited,
        io_priority_round_trips,
        stat_shows_nice_and_policy,
        usage_of_thread_and_children,
        cpu_limit_raises_sigxcpu,
        address_space_limit_fails_mmap,
        locked_memory_limit,
        process_limit_stops_fork,
        memory_of_another_process,
        memory_of_others_is_theirs,
        memory_vectors_and_errors,
        kcmp_tells_same_files,
        kcmp_tells_what_an_epoll_watches,
        advice_to_oneself,
        release_of_a_killed_process,
        memory_policy_round_trips,
        memory_policy_errors,
        ranges_and_pages,
        security_modules,
        clock_discipline_is_read,
        new_futex_calls,
        protection_keys_are_answered,
        sealed_memory_stays,
        barriers_of_memory,
    ])
}

fn user() {
    raw!(SYS_setresgid, 77, 77, 77).expect("setresgid");
    raw!(SYS_setresuid, 77, 77, 77).expect("setresuid");
}

/// 40 for nice -20, 1 for nice 19.
fn priority(which: u32, who: i32) -> nix::Result<i64> {
    raw!(SYS_getpriority, which, who)
}

fn set_nice(which: u32, who: i32, nice: i32) -> nix::Result<i64> {
    raw!(SYS_setpriority, which, who, nice)
}

fn nice_is_a_threads_own_and_inherited() {
    assert_eq!(priority(libc::PRIO_PROCESS, 0), Ok(20));
    let other = thread::spawn(|| {
        set_nice(libc::PRIO_PROCESS, 0, 7).expect("setpriority");
        let grandchild = thread::spawn(|| priority(libc::PRIO_PROCESS, 0));
        (
            priority(libc::PRIO_PROCESS, 0),
            grandchild.join().expect("join"),
            in_child(|| i32::from(priority(libc::PRIO_PROCESS, 0) != Ok(13))),
        )
    });
    assert_eq!(other.join().expect("join"), (Ok(13), Ok(13), 0));
    assert_eq!(priority(libc::PRIO_PROCESS, 0), Ok(20));
    set_nice(libc::PRIO_PROCESS, 0, 100).expect("it is cut");
    assert_eq!(priority(libc::PRIO_PROCESS, 0), Ok(1));
    assert_eq!(priority(libc::PRIO_PROCESS, 9_999_999), Err(Errno::ESRCH));
    assert_eq!(priority(9, 0), Err(Errno::EINVAL));
    assert_eq!(set_nice(9, 0, 0), Err(Errno::EINVAL));
    assert_eq!(set_nice(libc::PRIO_PROCESS, 9_999_999, 0), Err(Errno::ESRCH));
}

fn nice_of_a_group_and_a_user() {
    let (ready, tell) = pipe().expect("pipe");
    let end = std::os::fd::AsRawFd::as_raw_fd(&tell);
    let child = fork_child(|| {
        raw!(SYS_close, end).expect("close");
        let _ = nix::unistd::read(&ready, &mut [0]);
        priority(libc::PRIO_PROCESS, 0).map_or(0, |value| value as i32)
    });
    set_nice(libc::PRIO_PGRP, 0, 4).expect("setpriority");
    assert_eq!(priority(libc::PRIO_PGRP, 0), Ok(16));
    assert_eq!(priority(libc::PRIO_PROCESS, child.as_raw()), Ok(16));
    drop(tell);
    assert_eq!(guest::wait_raw(child.as_raw()) >> 8, 16);
    user();
    assert_eq!(priority(libc::PRIO_USER, 0), Ok(16));
    set_nice(libc::PRIO_USER, 77, 6).expect("setpriority");
    assert_eq!((priority(libc::PRIO_USER, 77), priority(libc::PRIO_PROCESS, 0)), (Ok(14), Ok(14)));
    assert_eq!(priority(libc::PRIO_USER, 7_654_321), Err(Errno::ESRCH));
}

fn priority_needs_privilege_to_rise() {
    user();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0).expect("setrlimit");
    set_nice(libc::PRIO_PROCESS, 0, 5).expect("setpriority");
    assert_eq!(set_nice(libc::PRIO_PROCESS, 0, 4), Err(Errno::EACCES));
    assert_eq!(set_nice(libc::PRIO_PROCESS, 1, 5), Err(Errno::EPERM));
}

fn policies_round_trip() {
    for policy in [libc::SCHED_BATCH, libc::SCHED_IDLE, libc::SCHED_OTHER] {
        let status = in_child(|| {
            let param = 0_i32;
            raw!(SYS_sched_setscheduler, 0, policy, &raw const param).expect("sched_setscheduler");
            assert_eq!(raw!(SYS_sched_getscheduler, 0), Ok(i64::from(policy)));
            let mut read = 9_i32;
            raw!(SYS_sched_getparam, 0, &raw mut read).expect("sched_getparam");
            assert_eq!(
                (read, in_child(|| raw!(SYS_sched_getscheduler, 0).map_or(99, |value| value as i32))),
                (0, policy)
            );
            0
        });
        assert_eq!(status, 0);
    }
    let reset = libc::SCHED_BATCH | libc::SCHED_RESET_ON_FORK;
    raw!(SYS_sched_setscheduler, 0, reset, [0_i32].as_ptr()).expect("sched_setscheduler");
    assert_eq!(raw!(SYS_sched_getscheduler, 0), Ok(i64::from(reset)));
}

fn policy_errors() {
    user();
    let real_time = 5_i32;
    let normal = 0_i32;
    assert_eq!(raw!(SYS_sched_setscheduler, 0, libc::SCHED_FIFO, &raw const real_time), Err(Errno::EPERM));
    assert_eq!(raw!(SYS_sched_setscheduler, 0, libc::SCHED_FIFO, &raw const normal), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_sched_setscheduler, 0, libc::SCHED_OTHER, &raw const real_time), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_sched_setscheduler, 0, 99, &raw const normal), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_sched_setscheduler, -1, 0, &raw const normal), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_sched_setscheduler, 9_999_999, 0, &raw const normal), Err(Errno::ESRCH));
    assert_eq!(raw!(SYS_sched_setparam, 0, 0), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_sched_setparam, 0, &raw const normal), Ok(0));
    assert_eq!(raw!(SYS_sched_getscheduler, -1), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_sched_getscheduler, 9_999_999), Err(Errno::ESRCH));
    let mut interval = [-1_i64; 2];
    raw!(SYS_sched_rr_get_interval, 0, interval.as_mut_ptr()).expect("sched_rr_get_interval");
    assert!(interval[0] == 0 && interval[1] >= 0);
    assert_eq!(raw!(SYS_sched_get_priority_max, libc::SCHED_RR), Ok(99));
}

/// `struct sched_attr` of 56 bytes: size, policy, flags, nice and priority, and the rest.
fn attr(policy: u32, nice: i32) -> [u32; 14] {
    let mut attr = [0; 14];
    [attr[0], attr[1], attr[4]] = [48, policy, nice.cast_unsigned()];
    attr
}

fn attributes_round_trip() {
    let wanted = attr(libc::SCHED_BATCH as u32, 9);
    raw!(SYS_sched_setattr, 0, wanted.as_ptr(), 0).expect("sched_setattr");
    let mut read = [0_u32; 14];
    raw!(SYS_sched_getattr, 0, read.as_mut_ptr(), 56, 0).expect("sched_getattr");
    assert_eq!((read[1], read[4]), (libc::SCHED_BATCH as u32, 9));
    assert_eq!(raw!(SYS_sched_getattr, 0, read.as_mut_ptr(), 4, 0), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_sched_setattr, 0, 0, 0), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_sched_setattr, 0, wanted.as_ptr(), 1), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_sched_setattr, 9_999_999, wanted.as_ptr(), 0), Err(Errno::ESRCH));
}

fn others_scheduling_is_theirs() {
    user();
    let wanted = attr(0, 0);
    assert_eq!(raw!(SYS_sched_setattr, 1, wanted.as_ptr(), 0), Err(Errno::EPERM));
    assert_eq!(raw!(SYS_sched_setscheduler, 1, 0, [0_i32].as_ptr()), Err(Errno::EPERM));
    assert_eq!(raw!(SYS_ioprio_set, 1, 1, 2 << 13), Err(Errno::EPERM));
    assert_eq!(raw!(SYS_sched_setaffinity, 1, 8, [1_u64].as_ptr()), Err(Errno::EPERM));
    raw!(SYS_sched_getscheduler, 1).expect("anybody may look");
}

fn affinity_is_inherited() {
    let mut all = [0_u64; 16];
    let len = raw!(SYS_sched_getaffinity, 0, 128, all.as_mut_ptr()).expect("sched_getaffinity");
    assert!(len >= 8 && all[0] != 0);
    let first = [1_u64 << all[0].trailing_zeros()];
    raw!(SYS_sched_setaffinity, 0, 8, first.as_ptr()).expect("sched_setaffinity");
    assert_eq!(
        in_child(|| {
            let mut own = [0_u64; 16];
            raw!(SYS_sched_getaffinity, 0, 128, own.as_mut_ptr()).expect("sched_getaffinity");
            i32::from(own[0] != first[0])
        }),
        0
    );
    assert_eq!(raw!(SYS_sched_setaffinity, 0, 8, [0_u64].as_ptr()), Err(Errno::EINVAL));
    let mut cpu = 99_u32;
    raw!(SYS_getcpu, &raw mut cpu, 0, 0).expect("getcpu");
    assert_eq!(cpu, all[0].trailing_zeros());
}

fn io_priority_round_trips() {
    let best_effort = 2 << 13 | 6;
    assert_eq!(raw!(SYS_ioprio_set, 1, 0, best_effort), Ok(0));
    assert_eq!(raw!(SYS_ioprio_get, 1, 0), Ok(best_effort));
    assert_eq!(in_child(|| i32::from(raw!(SYS_ioprio_get, 1, 0) != Ok(best_effort))), 0);
    assert_eq!(raw!(SYS_ioprio_get, 3, 0).map(|best| best > 0), Ok(true));
    assert_eq!(raw!(SYS_ioprio_get, 3, 7_654_321), Err(Errno::ESRCH));
    assert_eq!(raw!(SYS_ioprio_set, 1, 0, 7 << 13), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_ioprio_set, 9, 0, best_effort), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_ioprio_get, 1, 9_999_999), Err(Errno::ESRCH));
}

fn stat_shows_nice_and_policy() {
    raw!(SYS_sched_setattr, 0, attr(libc::SCHED_BATCH as u32, 3).as_ptr(), 0).expect("sched_setattr");
    let stat = std::fs::read_to_string("/proc/self/stat").expect("stat");
    let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
    assert_eq!((fields[16], fields[38]), ("3", "3"));
}

/// Uses this much of a CPU's time, however long that takes on a busy machine.
fn burn(milliseconds: u64) {
    let used = || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        raw!(SYS_clock_gettime, libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time).expect("clock_gettime");
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let until = used() + Duration::from_millis(milliseconds);
    let mut work = 0_u64;
    while used() < until {
        for _ in 0..1_000 {
            work = std::hint::black_box(work.wrapping_mul(3).wrapping_add(1));
        }
    }
}

fn usage(who: i32) -> i64 {
    // SAFETY: rusage is plain data.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    raw!(SYS_getrusage, who, &raw mut usage).expect("getrusage");
    usage.ru_utime.tv_sec * 1_000_000
        + usage.ru_utime.tv_usec
        + usage.ru_stime.tv_sec * 1_000_000
        + usage.ru_stime.tv_usec
}

fn usage_of_thread_and_children() {
    thread::spawn(|| burn(120)).join().expect("join");
    assert!(usage(libc::RUSAGE_SELF) > 30_000);
    assert!(usage(libc::RUSAGE_THREAD) < usage(libc::RUSAGE_SELF) - 20_000);
    let before = usage(libc::RUSAGE_CHILDREN);
    in_child(|| {
        burn(120);
        0
    });
    assert!(usage(libc::RUSAGE_CHILDREN) > before + 20_000);
    assert_eq!(raw!(SYS_getrusage, 77, 0), Err(Errno::EINVAL));
}

fn limit(resource: nix::sys::resource::Resource, soft: u64, hard: u64) {
    nix::sys::resource::setrlimit(resource, soft, hard).expect("setrlimit");
}

fn cpu_limit_raises_sigxcpu() {
    let status = in_child(|| {
        limit(nix::sys::resource::Resource::RLIMIT_CPU, 1, 3);
        burn(30_000);
        0
    });
    assert_eq!(status, 128 + libc::SIGXCPU);
}

fn address_space_limit_fails_mmap() {
    limit(nix::sys::resource::Resource::RLIMIT_AS, 1 << 30, 1 << 30);
    let map =
        |len: usize| raw!(SYS_mmap, 0, len, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
    assert_eq!(map(2 << 30), Err(Errno::ENOMEM));
    map(1 << 20).expect("mmap");
}

fn locked_memory_limit() {
    user();
    limit(nix::sys::resource::Resource::RLIMIT_MEMLOCK, 64 << 10, 64 << 10);
    let memory = vec![1_u8; 1 << 20];
    assert_eq!(raw!(SYS_mlock, memory.as_ptr(), 1 << 20), Err(Errno::ENOMEM));
    raw!(SYS_mlock, memory.as_ptr(), 4096).expect("mlock");
}

fn process_limit_stops_fork() {
    user();
    limit(nix::sys::resource::Resource::RLIMIT_NPROC, 1, 1);
    // SAFETY: the child, if there were one, would exit at once.
    let result = unsafe { libc::fork() };
    if result == 0 {
        // SAFETY: _exit takes no pointer.
        unsafe { libc::_exit(0) };
    }
    assert_eq!((result, Errno::last()), (-1, Errno::EAGAIN));
}

/// A child that waits until it is killed, whose memory holds what this process's did.
fn waiting_child() -> Pid {
    fork_child(|| {
        std::thread::sleep(std::time::Duration::from_secs(1000));
        0
    })
}

fn end(child: Pid) {
    kill(child, Signal::SIGKILL).expect("kill");
    guest::wait_raw(child.as_raw());
}

/// process_vm_readv, or writev, of one piece.
fn copy(write: bool, pid: i32, own: &mut [u8], other: usize, len: usize) -> nix::Result<i64> {
    let local = [own.as_mut_ptr() as usize, own.len()];
    let remote = [other, len];
    match write {
        false => raw!(SYS_process_vm_readv, pid, local.as_ptr(), 1, remote.as_ptr(), 1, 0_u64),
        true => raw!(SYS_process_vm_writev, pid, local.as_ptr(), 1, remote.as_ptr(), 1, 0_u64),
    }
}

fn memory_of_another_process() {
    let mut shared = vec![3_u8; 1 << 20];
    let child = waiting_child();
    shared.fill(4);
    let at = shared.as_ptr() as usize;
    let mut own = vec![0_u8; 1 << 20];
    assert_eq!(copy(false, child.as_raw(), &mut own, at, 1 << 20), Ok(1 << 20));
    assert!(own.iter().all(|&byte| byte == 3));
    own.fill(9);
    assert_eq!(copy(true, child.as_raw(), &mut own[..100], at + 5, 100), Ok(100));
    let mut again = vec![0_u8; 106];
    assert_eq!(copy(false, child.as_raw(), &mut again, at, 106), Ok(106));
    assert_eq!((again[4], again[5], again[104], again[105]), (3, 9, 9, 3));
    // One's own.
    assert_eq!(copy(false, std::process::id() as i32, &mut again, at, 3), Ok(3));
    assert_eq!(again[..3], [4; 3]);
    end(child);
    assert_eq!(copy(false, child.as_raw(), &mut again, at, 3), Err(Errno::ESRCH));
}

fn memory_of_others_is_theirs() {
    let child = waiting_child();
    let status = in_child(|| {
        user();
        let mut own = [0_u8; 8];
        let at = own.as_ptr() as usize;
        i32::from(copy(false, child.as_raw(), &mut own, at, 8) != Err(Errno::EPERM))
    });
    end(child);
    assert_eq!(status, 0);
}

fn memory_vectors_and_errors() {
    let child = waiting_child();
    let pid = child.as_raw();
    let mut own = vec![0_u8; 8192];
    let at = own.as_ptr() as usize;
    assert_eq!(copy(false, pid, &mut own, 4096, 8), Err(Errno::EFAULT));
    assert_eq!(copy(false, pid, &mut [], at, 8), Ok(0));
    assert_eq!(raw!(SYS_process_vm_readv, pid, 0, 0, 0, 0, 1_u64), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_process_vm_readv, pid, own.as_ptr(), 1025, 0, 0, 0_u64), Err(Errno::EINVAL));
    let pieces = [at, 3, at + 10, 5];
    let other = [at + 100, 6, at + 200, 100];
    assert_eq!(raw!(SYS_process_vm_readv, pid, pieces.as_ptr(), 2, other.as_ptr(), 2, 0_u64), Ok(8));
    let broken = [at, 16, 4096, 16];
    let local = [at + 4096, 32_usize];
    assert_eq!(raw!(SYS_process_vm_readv, pid, local.as_ptr(), 1, broken.as_ptr(), 2, 0_u64), Ok(16));
    end(child);
}

fn kcmp_tells_same_files() {
    let (reader, writer) = pipe().expect("pipe");
    let same = nix::unistd::dup(&reader).expect("dup");
    let me = std::process::id();
    let number = |fd: &std::os::fd::OwnedFd| std::os::fd::AsRawFd::as_raw_fd(fd);
    let compare = |kind: i32, a: i32, b: i32| raw!(SYS_kcmp, me, me, kind, a, b);
    assert_eq!(compare(0, number(&reader), number(&same)), Ok(0));
    let (less, more) =
        (compare(0, number(&reader), number(&writer)), compare(0, number(&writer), number(&reader)));
    assert!(matches!((less, more), (Ok(1), Ok(2)) | (Ok(2), Ok(1))), "{less:?} {more:?}");
    assert_eq!(compare(0, 999, number(&reader)), Err(Errno::EBADF));
    assert_eq!(compare(99, 0, 0), Err(Errno::EINVAL));
    let child = waiting_child();
    let other = child.as_raw();
    assert_eq!(raw!(SYS_kcmp, me, other, 0, number(&reader), number(&reader)), Ok(0));
    for kind in [1, 2, 3, 4] {
        assert_eq!(compare(kind, 0, 0), Ok(0));
        assert!(matches!(raw!(SYS_kcmp, me, other, kind, 0, 0), Ok(1 | 2)));
    }
    end(child);
    assert_eq!(raw!(SYS_kcmp, me, 9_999_999, 1, 0, 0), Err(Errno::ESRCH));
}

fn kcmp_tells_what_an_epoll_watches() {
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
    let (reader, writer) = pipe().expect("pipe");
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1");
    epoll.add(&reader, EpollEvent::new(EpollFlags::EPOLLIN, 0)).expect("epoll_ctl");
    let me = std::process::id();
    let number = |fd: &std::os::fd::OwnedFd| std::os::fd::AsRawFd::as_raw_fd(fd);
    let compare = |file: i32, slot: [i32; 3]| raw!(SYS_kcmp, me, me, 7, file, slot.as_ptr());
    let [own, from, to] = [std::os::fd::AsRawFd::as_raw_fd(&epoll.0), number(&reader), number(&writer)];
    assert_eq!(compare(from, [own, from, 0]), Ok(0));
    assert!(matches!(compare(to, [own, from, 0]), Ok(1 | 2)));
    assert_eq!(compare(from, [own, to, 0]), Err(Errno::ENOENT));
    assert_eq!(compare(from, [own, from, 1]), Err(Errno::ENOENT));
    assert_eq!(compare(from, [from, from, 0]), Err(Errno::EINVAL));
    assert_eq!(compare(from, [999, from, 0]), Err(Errno::EBADF));
    assert_eq!(compare(999, [own, from, 0]), Err(Errno::EBADF));
    assert_eq!(raw!(SYS_kcmp, me, me, 7, from, 8), Err(Errno::EFAULT));
}

fn pidfd(pid: i32) -> i64 {
    raw!(SYS_pidfd_open, pid, 0).expect("pidfd_open")
}

fn advice_to_oneself() {
    let own = pidfd(std::process::id() as i32);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let at = raw!(SYS_mmap, 0, 16384, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).expect("mmap");
    let pieces = [at, 4096, at + 8192, 4096];
    assert_eq!(raw!(SYS_process_madvise, own, pieces.as_ptr(), 2, libc::MADV_COLD, 0), Ok(8192));
    assert_eq!(raw!(SYS_process_madvise, own, pieces.as_ptr(), 2, 99, 0), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_process_madvise, own, pieces.as_ptr(), 2, libc::MADV_COLD, 1), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_process_madvise, 0, pieces.as_ptr(), 2, libc::MADV_COLD, 0), Err(Errno::EBADF));
    let hole = [at, 4096, 4096, 4096];
    assert_eq!(raw!(SYS_process_madvise, own, hole.as_ptr(), 2, libc::MADV_COLD, 0), Ok(4096));
}

fn release_of_a_killed_process() {
    let child = waiting_child();
    let its = pidfd(child.as_raw());
    assert_eq!(raw!(SYS_process_mrelease, its, 0), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_process_mrelease, its, 1), Err(Errno::EINVAL));
    end(child);
    assert_eq!(raw!(SYS_process_mrelease, its, 0), Err(Errno::ESRCH));
}

const MPOL_BIND: i32 = 2;

fn memory_policy() -> (i32, u64) {
    let (mut mode, mut nodes) = (-1_i32, [7_u64; 16]);
    raw!(SYS_get_mempolicy, &raw mut mode, nodes.as_mut_ptr(), 1024, 0, 0).expect("get_mempolicy");
    (mode, nodes[0])
}

fn memory_policy_round_trips() {
    assert_eq!(memory_policy(), (0, 0));
    let first = [1_u64];
    raw!(SYS_set_mempolicy, MPOL_BIND, first.as_ptr(), 64).expect("set_mempolicy");
    assert_eq!(memory_policy(), (MPOL_BIND, 1));
    raw!(SYS_set_mempolicy, 3, first.as_ptr(), 64).expect("set_mempolicy");
    let mut next = 9_i32;
    raw!(SYS_get_mempolicy, &raw mut next, 0, 0, 0, 1).expect("the next node");
    assert_eq!((memory_policy(), next), ((3, 1), 0));
    raw!(SYS_set_mempolicy, 1, 0, 0).expect("preferred: local");
    assert_eq!(memory_policy(), (4, 0));
    raw!(SYS_set_mempolicy, 0, 0, 0).expect("default");
    assert_eq!(memory_policy(), (0, 0));
    let (mut mode, mut nodes) = (-1_i32, [0_u64; 16]);
    raw!(SYS_get_mempolicy, &raw mut mode, nodes.as_mut_ptr(), 1024, 0, 4).expect("what is allowed");
    assert_eq!((mode, nodes[0] & 1), (0, 1));
    let at = &raw const nodes;
    raw!(SYS_get_mempolicy, &raw mut mode, 0, 0, at, 3).expect("the node of an address");
    assert_eq!(mode, 0);
}

fn memory_policy_errors() {
    let (first, far, mut mode) = ([1_u64], [1_u64 << 40], 0_i32);
    let set = |mode: i32, nodes: *const u64, max: u64| raw!(SYS_set_mempolicy, mode, nodes, max);
    assert_eq!(set(99, first.as_ptr(), 64), Err(Errno::EINVAL));
    assert_eq!(set(-1, first.as_ptr(), 64), Err(Errno::EINVAL));
    assert_eq!(set(MPOL_BIND, far.as_ptr(), 64), Err(Errno::EINVAL));
    assert_eq!(set(MPOL_BIND, std::ptr::null(), 0), Err(Errno::EINVAL));
    assert_eq!(set(0, first.as_ptr(), 64), Err(Errno::EINVAL));
    assert_eq!(set(MPOL_BIND | 3 << 14, first.as_ptr(), 64), Err(Errno::EINVAL));
    assert_eq!(set(MPOL_BIND, std::ptr::without_provenance(8), 64), Err(Errno::EFAULT));
    let get = |mode: *mut i32, flags: u64, at: u64| raw!(SYS_get_mempolicy, mode, 0, 0, at, flags);
    assert_eq!(get(&raw mut mode, 64, 0), Err(Errno::EINVAL));
    assert_eq!(get(&raw mut mode, 6, 0), Err(Errno::EINVAL));
    assert_eq!(get(&raw mut mode, 0, 4096), Err(Errno::EINVAL));
    assert_eq!(get(&raw mut mode, 2, 4096), Err(Errno::EFAULT));
    assert_eq!(get(&raw mut mode, 1, 0), Err(Errno::EINVAL));
}

fn ranges_and_pages() {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let at = raw!(SYS_mmap, 0, 8192, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).expect("mmap");
    let first = [1_u64];
    assert_eq!(raw!(SYS_mbind, at, 8192, MPOL_BIND, first.as_ptr(), 64, 0_u64), Ok(0));
    assert_eq!(raw!(SYS_mbind, at + 1, 4096, MPOL_BIND, first.as_ptr(), 64, 0_u64), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_mbind, at, 4096, MPOL_BIND, first.as_ptr(), 64, 64_u64), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_mbind, 4096, 4096, MPOL_BIND, first.as_ptr(), 64, 0_u64), Err(Errno::EFAULT));
    assert_eq!(raw!(SYS_mbind, at, 4096, 99, first.as_ptr(), 64, 0_u64), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_migrate_pages, 0, 64, first.as_ptr(), first.as_ptr()), Ok(0));
    assert_eq!(raw!(SYS_migrate_pages, 9_999_999, 64, first.as_ptr(), first.as_ptr()), Err(Errno::ESRCH));
    let page = Box::new([1_u8; 8192]);
    let pages = [(page.as_ptr() as usize + 4095) & !4095, 4096];
    let mut status = [99_i32; 2];
    assert_eq!(raw!(SYS_move_pages, 0, 2, pages.as_ptr(), 0, status.as_mut_ptr(), 0), Ok(0));
    assert_eq!((status[0], status[1] < 0), (0, true));
    let own = std::process::id();
    status[0] = 99;
    assert_eq!(raw!(SYS_move_pages, own, 1, pages.as_ptr(), 0, status.as_mut_ptr(), 0), Ok(0));
    assert_eq!(status[0], 0);
    assert_eq!(
        raw!(SYS_move_pages, 9_999_999, 1, pages.as_ptr(), 0, status.as_mut_ptr(), 0),
        Err(Errno::ESRCH)
    );
}

fn security_modules() {
    let (mut ids, mut size) = ([0_u64; 32], 256_u32);
    let count = raw!(SYS_lsm_list_modules, ids.as_mut_ptr(), &raw mut size, 0).expect("lsm_list_modules");
    assert!(count >= 1 && size as i64 == count * 8 && ids[..count as usize].contains(&100));
    size = 4;
    assert_eq!(raw!(SYS_lsm_list_modules, ids.as_mut_ptr(), &raw mut size, 0), Err(Errno::E2BIG));
    assert_eq!(i64::from(size), count * 8);
    assert_eq!(raw!(SYS_lsm_list_modules, ids.as_mut_ptr(), &raw mut size, 1), Err(Errno::EINVAL));
    size = 256;
    assert_eq!(raw!(SYS_lsm_get_self_attr, 100, ids.as_mut_ptr(), &raw mut size, 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(raw!(SYS_lsm_get_self_attr, 0, ids.as_mut_ptr(), &raw mut size, 0), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_lsm_set_self_attr, 100, ids.as_ptr(), 8, 0), Err(Errno::EINVAL));
}

fn clock_discipline_is_read() {
    user();
    let mut state = [0_u8; 512];
    let ok = raw!(SYS_adjtimex, state.as_mut_ptr());
    assert!(matches!(ok, Ok(0..=5)), "{ok:?}");
    // The tick: 10 ms.
    assert_eq!(i64::from_ne_bytes(state[88..96].try_into().expect("eight bytes")), 10_000);
    let mut other = [0_u8; 512];
    assert_eq!(raw!(SYS_clock_adjtime, libc::CLOCK_REALTIME, other.as_mut_ptr()), ok);
    other.fill(0);
    other[0] = 1;
    assert_eq!(raw!(SYS_clock_adjtime, libc::CLOCK_REALTIME, other.as_mut_ptr()), Err(Errno::EPERM));
    assert_eq!(raw!(SYS_adjtimex, 8), Err(Errno::EFAULT));
}

fn new_futex_calls() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static WORD: AtomicU32 = AtomicU32::new(1);
    const FLAGS: u32 = 2 | 128;
    let mask = u64::from(u32::MAX);
    let at = WORD.as_ptr();
    assert_eq!(
        raw!(SYS_futex_wait, at, 2, mask, FLAGS, 0, i64::from(libc::CLOCK_MONOTONIC)),
        Err(Errno::EAGAIN)
    );
    let waiter = thread::spawn(|| {
        raw!(
            SYS_futex_wait,
            WORD.as_ptr(),
            1,
            u64::from(u32::MAX),
            FLAGS,
            0,
            i64::from(libc::CLOCK_MONOTONIC)
        )
    });
    while raw!(SYS_futex_wake, at, mask, 1, FLAGS).expect("futex_wake") == 0 {
        thread::yield_now();
    }
    assert_eq!(waiter.join().expect("join"), Ok(0));
    let past = [0_i64, 1];
    assert_eq!(
        raw!(SYS_futex_wait, at, 1, mask, FLAGS, past.as_ptr(), i64::from(libc::CLOCK_MONOTONIC)),
        Err(Errno::ETIMEDOUT)
    );
    // struct futex_waitv: val, uaddr, flags.
    let several = [1, at as u64, u64::from(FLAGS), 2, at as u64, u64::from(FLAGS)];
    assert_eq!(raw!(SYS_futex_waitv, several.as_ptr(), 2, 0, 0, 0), Err(Errno::EAGAIN));
    let one = [1, at as u64, u64::from(FLAGS)];
    assert_eq!(
        raw!(SYS_futex_waitv, one.as_ptr(), 1, 0, past.as_ptr(), libc::CLOCK_MONOTONIC),
        Err(Errno::ETIMEDOUT)
    );
    let both = [1, at as u64, u64::from(FLAGS), 0, at as u64, u64::from(FLAGS)];
    assert_eq!(raw!(SYS_futex_requeue, both.as_ptr(), 0, 1, 1), Ok(0));
    WORD.store(2, Ordering::SeqCst);
    assert_eq!(raw!(SYS_futex_requeue, both.as_ptr(), 0, 1, 1), Err(Errno::EAGAIN));
    interrupted_futex(at);
}

/// A handler without SA_RESTART ends the wait.
fn interrupted_futex(at: *mut u32) {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, sigaction};
    extern "C" fn nothing(_: i32) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGALRM, &action) }.expect("sigaction");
    let waiter = [2, at as u64, 2_u64];
    nix::unistd::alarm::set(1);
    assert_eq!(raw!(SYS_futex_waitv, waiter.as_ptr(), 1, 0, 0, 0), Err(Errno::EINTR));
    nix::unistd::alarm::set(1);
    assert_eq!(raw!(SYS_futex_wait, at, 2, u64::from(u32::MAX), 2, 0, 0_u64), Err(Errno::EINTR));
}

fn protection_keys_are_answered() {
    // Without a key pkey_mprotect is mprotect.
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let at = raw!(SYS_mmap, 0, 4096, libc::PROT_READ, flags, -1, 0).expect("mmap");
    assert_eq!(raw!(SYS_pkey_mprotect, at, 4096, libc::PROT_READ | libc::PROT_WRITE, -1), Ok(0));
    assert_eq!(raw!(SYS_pkey_alloc, 1, 0), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_pkey_free, 99), Err(Errno::EINVAL));
}

fn sealed_memory_stays() {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let at = raw!(SYS_mmap, 0, 8192, libc::PROT_READ, flags, -1, 0).expect("mmap");
    assert_eq!(raw!(SYS_mseal, at, 4096, 1), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_mseal, at, 4096, 0), Ok(0));
    assert_eq!(raw!(SYS_munmap, at, 4096), Err(Errno::EPERM));
    assert_eq!(raw!(SYS_mprotect, at, 4096, libc::PROT_NONE), Err(Errno::EPERM));
    assert_eq!(raw!(SYS_munmap, at + 4096, 4096), Ok(0));
}

fn barriers_of_memory() {
    let known = raw!(SYS_membarrier, 0, 0, 0).expect("query");
    // GLOBAL, GLOBAL_EXPEDITED and its registration, PRIVATE_EXPEDITED and its.
    for command in [1, 4, 2, 16, 8] {
        if known & command != 0 {
            assert_eq!(raw!(SYS_membarrier, command, 0, 0), Ok(0), "{command}");
        }
    }
    if known & 512 != 0 {
        assert_eq!(raw!(SYS_membarrier, 512, 0, 0), Ok(4 | 16));
    }
    assert_eq!(raw!(SYS_membarrier, 1 << 20, 0, 0), Err(Errno::EINVAL));
}
