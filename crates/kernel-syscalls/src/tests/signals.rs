//! rt_sigaction(2).

use super::rig::{Ended, NOWHERE, Rig};
use abi_linux::Errno;
use abi_linux::raw::general as nr;
use abi_linux::signal::{Action, Signal};
use guest_loader::protocol::{LOADER_DONE, LOADER_INFO};
use platform_api::fake::BASE;
use zerocopy::IntoBytes;

const USR1: u64 = Signal::SIGUSR1.raw() as u64;

fn plain_handler(rig: &Rig) -> u64 {
    let action = Action { handler: 0x5000, ..Action::default() };
    assert!(rig.host.poke(BASE, action.as_bytes()));
    BASE
}

#[test]
fn sigaction_refuses_what_linux_refuses_in_its_order() {
    let mut rig = Rig::new();
    let act = plain_handler(&rig);
    let mut error = |args: &[u64]| rig.error(nr::__NR_rt_sigaction, args);
    assert_eq!(error(&[0, NOWHERE, 0, 16]), Errno::EINVAL);
    assert_eq!(error(&[0, NOWHERE, 0, 8]), Errno::EFAULT);
    assert_eq!(error(&[65, act, 0, 8]), Errno::EINVAL);
    assert_eq!(error(&[0, 0, 0, 8]), Errno::EINVAL);
    for signal in [Signal::SIGKILL, Signal::SIGSTOP] {
        assert_eq!(error(&[signal.raw() as u64, act, 0, 8]), Errno::EINVAL);
    }
    assert_eq!(error(&[USR1, 0, u64::MAX - 4096, 8]), Errno::EFAULT);
}

#[test]
fn host_sets_and_tells_actions_of_a_process_without_a_signal_page() {
    let mut rig = Rig::new();
    let act = plain_handler(&rig);
    assert_eq!(rig.call(nr::__NR_rt_sigaction, &[USR1, act, 0, 8]), Ended::Continued);
    assert_eq!(rig.call(nr::__NR_rt_sigaction, &[USR1, 0, BASE, 8]), Ended::Continued);
}

#[test]
fn private_calls_are_the_loader_s() {
    let mut rig = Rig::new();
    assert_eq!(rig.error(LOADER_INFO as u32, &[BASE, 1 << 16, 0, BASE]), Errno::ENOSYS);
    assert_eq!(rig.error(LOADER_DONE as u32, &[0]), Errno::ENOSYS);
}
