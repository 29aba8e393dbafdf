//! prctl(2) as libraries and run times use it.

use std::process::ExitCode;
use std::thread;

use integration::guest::{self, in_child};
use integration::{checks, raw};
use nix::errno::Errno;

fn main() -> ExitCode {
    guest::main(checks![
        names_are_a_threads_own,
        timer_slack,
        huge_pages_off,
        write_and_execute_refused,
        machine_checks,
        time_stamp_counter,
        speculation_is_told,
        thread_id_address,
        mappings_get_names,
        memory_merging_is_off,
        layout_needs_privilege,
        io_flusher_needs_privilege,
        statistical_timing,
        subreaper_is_not_inherited,
        dumpable_values,
        what_other_machines_have,
    ])
}

fn prctl(op: i32, args: [u64; 4]) -> nix::Result<i64> {
    raw!(SYS_prctl, op, args[0], args[1], args[2], args[3])
}

fn get(op: i32) -> nix::Result<i64> {
    prctl(op, [0; 4])
}

fn set(op: i32, value: u64) -> nix::Result<i64> {
    prctl(op, [value, 0, 0, 0])
}

fn address<T>(of: &T) -> u64 {
    (&raw const *of).addr() as u64
}

fn names_are_a_threads_own() {
    let name = || {
        let mut name = [0_u8; 16];
        set(libc::PR_GET_NAME, name.as_mut_ptr().expose_provenance() as u64).expect("prctl");
        name
    };
    let own = name();
    let other = thread::spawn(move || {
        set(libc::PR_SET_NAME, address(b"a name that is far too long\0")).expect("prctl");
        (name(), std::fs::read_to_string("/proc/thread-self/comm").expect("comm"))
    });
    let (its, comm) = other.join().expect("join");
    assert_eq!((&its[..], comm.as_str()), (&b"a name that is \0"[..], "a name that is \n"));
    assert_eq!(name(), own);
    assert_eq!(set(libc::PR_SET_NAME, 8), Err(Errno::EFAULT));
}

fn timer_slack() {
    let standard = get(libc::PR_GET_TIMERSLACK).expect("prctl");
    set(libc::PR_SET_TIMERSLACK, 12_345).expect("prctl");
    assert_eq!(get(libc::PR_GET_TIMERSLACK), Ok(12_345));
    assert_eq!(in_child(|| i32::from(get(libc::PR_GET_TIMERSLACK) != Ok(12_345))), 0);
    set(libc::PR_SET_TIMERSLACK, 0).expect("prctl");
    assert_eq!(get(libc::PR_GET_TIMERSLACK), Ok(standard));
}

fn huge_pages_off() {
    assert_eq!(get(libc::PR_GET_THP_DISABLE), Ok(0));
    set(libc::PR_SET_THP_DISABLE, 1).expect("prctl");
    assert_eq!(get(libc::PR_GET_THP_DISABLE), Ok(1));
    assert_eq!(prctl(libc::PR_GET_THP_DISABLE, [1, 0, 0, 0]), Err(Errno::EINVAL));
}

fn write_and_execute_refused() {
    assert_eq!(get(libc::PR_GET_MDWE), Ok(0));
    assert_eq!(set(libc::PR_SET_MDWE, 64), Err(Errno::EINVAL));
    set(libc::PR_SET_MDWE, 1).expect("prctl");
    assert_eq!(get(libc::PR_GET_MDWE), Ok(1));
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let at = raw!(SYS_mmap, 0, 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0_u64).expect("mmap");
    assert_eq!(raw!(SYS_mprotect, at, 4096, libc::PROT_READ | libc::PROT_EXEC), Err(Errno::EACCES));
    let output = std::process::Command::new("echo").arg("here").output().expect("programs start");
    assert_eq!(output.stdout, b"here\n");
}

fn machine_checks() {
    let value = get(libc::PR_MCE_KILL_GET).expect("prctl");
    assert!((0..=2).contains(&value));
    assert_eq!(set(libc::PR_MCE_KILL, 9), Err(Errno::EINVAL));
    prctl(libc::PR_MCE_KILL, [1, 1, 0, 0]).expect("early");
    assert_eq!(get(libc::PR_MCE_KILL_GET), Ok(1));
}

fn time_stamp_counter() {
    let value = 0_i32;
    set(libc::PR_GET_TSC, address(&value)).expect("prctl");
    // SAFETY: `value` lives; the kernel has written to it.
    assert_eq!(unsafe { std::ptr::read_volatile(&raw const value) }, 1);
    assert_eq!(set(libc::PR_SET_TSC, 9), Err(Errno::EINVAL));
    assert_eq!(set(libc::PR_GET_TSC, 8), Err(Errno::EFAULT));
}

fn speculation_is_told() {
    for which in [0, 1] {
        let state = set(libc::PR_GET_SPECULATION_CTRL, which);
        assert!(matches!(state, Ok(0..64) | Err(Errno::ENODEV)), "{state:?}");
    }
    assert_eq!(set(libc::PR_GET_SPECULATION_CTRL, 99), Err(Errno::ENODEV));
    assert_eq!(prctl(libc::PR_GET_SPECULATION_CTRL, [0, 1, 0, 0]), Err(Errno::EINVAL));
}

fn thread_id_address() {
    let word = 0_i32;
    raw!(SYS_set_tid_address, &raw const word).expect("set_tid_address");
    let found = 0_u64;
    match set(libc::PR_GET_TID_ADDRESS, address(&found)) {
        // SAFETY: `found` lives; the kernel has written to it.
        Ok(_) => assert_eq!(unsafe { std::ptr::read_volatile(&raw const found) }, address(&word)),
        // A kernel without checkpoints.
        Err(error) => assert_eq!(error, Errno::EINVAL),
    }
    raw!(SYS_set_tid_address, 0).expect("set_tid_address");
}

fn mappings_get_names() {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let at = raw!(SYS_mmap, 0, 4096, libc::PROT_READ, flags, -1, 0_u64).expect("mmap").cast_unsigned();
    let name = |text: u64| prctl(0x5356_4d41, [0, at, 4096, text]);
    match name(address(b"a heap\0")) {
        Ok(_) => {
            let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
            assert!(maps.contains("[anon:a heap]"), "{maps}");
            assert_eq!(name(address(b"no [brackets]\0")), Err(Errno::EINVAL));
            name(0).expect("no name any more");
        }
        // A kernel without such names.
        Err(error) => assert_eq!(error, Errno::EINVAL),
    }
    assert_eq!(prctl(0x5356_4d41, [7, at, 4096, 0]), Err(Errno::EINVAL));
}

fn memory_merging_is_off() {
    assert!(matches!(get(libc::PR_GET_MEMORY_MERGE), Ok(0) | Err(Errno::EINVAL)));
}

fn layout_needs_privilege() {
    raw!(SYS_setresuid, 77, 77, 77).expect("setresuid");
    for what in 1..=9 {
        assert_eq!(prctl(libc::PR_SET_MM, [what, 4096, 0, 0]), Err(Errno::EPERM), "{what}");
    }
}

fn io_flusher_needs_privilege() {
    raw!(SYS_setresuid, 77, 77, 77).expect("setresuid");
    assert_eq!(set(57, 1), Err(Errno::EPERM));
    assert_eq!(get(58), Err(Errno::EPERM));
}

fn statistical_timing() {
    assert_eq!(get(libc::PR_GET_TIMING), Ok(0));
    assert_eq!((set(libc::PR_SET_TIMING, 0), set(libc::PR_SET_TIMING, 1)), (Ok(0), Err(Errno::EINVAL)));
    assert_eq!((get(31), get(32)), (Ok(0), Ok(0)));
}

fn subreaper_is_not_inherited() {
    let subreaper = || {
        let value = 9_i32;
        set(libc::PR_GET_CHILD_SUBREAPER, address(&value)).expect("prctl");
        // SAFETY: `value` lives; the kernel has written to it.
        unsafe { std::ptr::read_volatile(&raw const value) }
    };
    assert_eq!(subreaper(), 0);
    set(libc::PR_SET_CHILD_SUBREAPER, 5).expect("prctl");
    assert_eq!((subreaper(), in_child(subreaper)), (1, 0));
}

fn dumpable_values() {
    assert_eq!(get(libc::PR_GET_DUMPABLE), Ok(1));
    set(libc::PR_SET_DUMPABLE, 0).expect("prctl");
    assert_eq!(
        (get(libc::PR_GET_DUMPABLE), in_child(|| get(libc::PR_GET_DUMPABLE).map_or(9, |v| v as i32))),
        (Ok(0), 0)
    );
    for bad in [2, 3, u64::MAX] {
        assert_eq!(set(libc::PR_SET_DUMPABLE, bad), Err(Errno::EINVAL));
    }
    let output =
        std::process::Command::new("sh").args(["-c", "stat -c %U /proc/self/status"]).output().expect("sh");
    assert_eq!(output.stdout, b"root\n");
}

fn what_other_machines_have() {
    // Unaligned access, floating point, endianness, vectors of ARM, tagged addresses, FP mode.
    for op in [5, 6, 9, 10, 11, 12, 19, 20, 45, 46, 50, 51, 54, 55, 56, 63, 64, 69, 70, 9999, -1] {
        assert_eq!(get(op), Err(Errno::EINVAL), "{op}");
    }
}
