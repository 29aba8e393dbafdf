//! Whatever lies in a guest's memory and registers, no handler panics: each has its parser of structures, names and
//! numbers met here, with descriptors of many kinds.

use abi_linux::raw::general as nr;
use abi_linux::raw::prctl::PR_SET_SECCOMP;
use abi_linux::signal::Signal;
use platform_api::SignalTarget;
use platform_api::fake::{BASE, Event};
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use proptest::strategy::Strategy;
use proptest::test_runner::TestCaseError;

use super::rig::{HOST, Rig};

/// Calls that read structures, and which are made more often than others.
const PARSERS: [u32; 52] = [
    nr::__NR_ioctl,
    nr::__NR_fcntl,
    nr::__NR_setsockopt,
    nr::__NR_getsockopt,
    nr::__NR_bind,
    nr::__NR_connect,
    nr::__NR_sendto,
    nr::__NR_sendmsg,
    nr::__NR_recvmsg,
    nr::__NR_sendmmsg,
    nr::__NR_recvmmsg,
    nr::__NR_prctl,
    nr::__NR_preadv2,
    nr::__NR_openat2,
    nr::__NR_mount,
    nr::__NR_fsopen,
    nr::__NR_fsconfig,
    nr::__NR_mount_setattr,
    nr::__NR_statmount,
    nr::__NR_listmount,
    nr::__NR_sched_setattr,
    nr::__NR_sched_setscheduler,
    nr::__NR_timer_create,
    nr::__NR_timer_settime,
    nr::__NR_timerfd_settime,
    nr::__NR_mq_open,
    nr::__NR_mq_getsetattr,
    nr::__NR_mq_notify,
    nr::__NR_semop,
    nr::__NR_semctl,
    nr::__NR_msgctl,
    nr::__NR_shmctl,
    nr::__NR_setxattr,
    nr::__NR_getxattr,
    nr::__NR_setxattrat,
    nr::__NR_getxattrat,
    nr::__NR_listxattr,
    nr::__NR_file_setattr,
    nr::__NR_name_to_handle_at,
    nr::__NR_open_by_handle_at,
    nr::__NR_io_setup,
    nr::__NR_io_submit,
    nr::__NR_epoll_ctl,
    nr::__NR_pselect6,
    nr::__NR_ppoll,
    nr::__NR_rt_sigaction,
    nr::__NR_rt_sigqueueinfo,
    nr::__NR_capset,
    nr::__NR_process_vm_readv,
    nr::__NR_writev,
    nr::__NR_utimensat,
    nr::__NR_lsm_set_self_attr,
];

/// Bytes of guest memory that are filled.
const FILLED: usize = 8192;

/// A call, in numbers that say nothing yet.
type Draft = (u32, [(u8, u64); 6]);

fn draft() -> impl Strategy<Value = Draft> {
    (any::<u32>(), any::<[(u8, u64); 6]>())
}

/// An argument: a pointer, a descriptor, a small number, a length, or anything.
fn argument((kind, value): (u8, u64)) -> u64 {
    const LENGTHS: [u64; 12] = [0, 1, 4, 8, 16, 24, 64, 110, 128, 4096, 1 << 31, u64::MAX];
    match kind % 8 {
        0..=2 => BASE + value % FILLED as u64 / 8 * 8,
        3 => value % 16,
        4 => value % 64,
        5 => LENGTHS[value as usize % LENGTHS.len()],
        6 => 1 << (value % 64),
        _ => value,
    }
}

/// Descriptors from 0 on.
fn open_some(rig: &mut Rig) {
    rig.open("/file", 0o102);
    rig.open("/", 0o200_000);
    rig.value(nr::__NR_pipe2, &[BASE, 0o4000]);
    for (family, kind) in [(1, 1), (1, 2), (2, 1), (2, 2), (10, 1), (16, 3)] {
        rig.value(nr::__NR_socket, &[family, kind | 0o4000, 0]);
    }
    let name = rig.text(BASE, "m");
    rig.value(nr::__NR_memfd_create, &[name, 2]);
    rig.value(nr::__NR_epoll_create1, &[0]);
    rig.value(nr::__NR_timerfd_create, &[1, 0o4000]);
    rig.value(nr::__NR_eventfd2, &[0, 0o4000]);
    rig.value(nr::__NR_inotify_init1, &[0o4000]);
}

fn number((choice, _): &Draft) -> u32 {
    const LAST: u32 = 470;
    let number = choice / 4;
    if choice % 4 == 0 { number % LAST } else { PARSERS[number as usize % PARSERS.len()] }
}

fn try_all(bytes: &[u8], drafts: &[Draft]) -> Result<(), TestCaseError> {
    let mut rig = Rig::new();
    open_some(&mut rig);
    assert!(rig.host.poke(BASE, bytes));
    for draft in drafts {
        let number = number(draft);
        let arguments = draft.1.map(argument);
        // What ends the process, or has later calls end it; programs of filters have a test of their own.
        let ends = matches!(number, nr::__NR_exit | nr::__NR_exit_group | nr::__NR_seccomp);
        if ends || number == nr::__NR_prctl && arguments[0] as u32 == PR_SET_SECCOMP {
            continue;
        }
        rig.start(number, &arguments);
        rig.drain();
        let killed = Event::Signalled(SignalTarget::Process(HOST), Signal::SIGKILL);
        // What a panic ends with, and nothing else here.
        prop_assert!(!rig.host.take_events().contains(&killed), "call {number} with {arguments:x?}");
    }
    Ok(())
}

/// Mostly small numbers, since others are refused at once.
fn memory(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    };
    let word = |value: u64| match value % 6 {
        0 => 0,
        1 => value >> 3 & 0xf,
        2 => (value >> 3 & 0xf) << 32 | value >> 8 & 0xf,
        3 => BASE + (value >> 3) % FILLED as u64,
        4 => value >> 3 & 0x7f | 0x7361_0000,
        _ => value,
    };
    (0..FILLED / 8).flat_map(|_| word(next()).to_ne_bytes()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_handler_panics_whatever_it_is_given(
        seed in any::<u64>(),
        drafts in proptest::collection::vec(draft(), 20..80),
    ) {
        try_all(&memory(seed), &drafts)?;
    }
}
