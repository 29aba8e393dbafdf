use abi_linux::Errno;
use abi_linux::signal::Signal;
use platform_api::SignalTarget;
use platform_api::fake::Event;

use crate::credentials::set_uid;
use crate::kill::Kill;
use crate::scene::{Scene, host};

const TERM: i32 = 15;
const CONT: i32 = 18;

/// Root 1, 2; user 1000: 3; user 2000: 4.
fn users() -> Scene {
    let scene = Scene::new();
    for (pid, uid) in [(2, 0), (3, 1000), (4, 2000)] {
        let process = scene.fork(1, pid);
        process.set_credentials(set_uid(&process.credentials(), uid).unwrap());
    }
    let _ = scene.host.take_events();
    scene
}

fn signalled(scene: &Scene) -> Vec<i32> {
    let events = scene.host.take_events().into_iter();
    let target = |event| match event {
        Event::Signalled(SignalTarget::Process(tgid), Signal::SIGTERM) => Some(tgid),
        _ => None,
    };
    events.filter_map(target).collect()
}

#[test]
fn users_signal_their_own_and_root_everybody() {
    let scene = users();
    assert_eq!(scene.task(2).kill(3, TERM), Ok(Kill::ByHost));
    assert_eq!(scene.task(3).kill(3, TERM), Ok(Kill::ByHost));
    assert_eq!(scene.task(3).kill(4, TERM), Err(Errno::EPERM));
    assert_eq!(scene.task(3).kill(4, 0), Err(Errno::EPERM));
    assert_eq!(scene.task(3).kill(4, CONT), Ok(Kill::ByHost), "same session");
    assert_eq!(scene.task(3).kill(3, 65), Err(Errno::EINVAL));
    assert_eq!(scene.task(3).kill(i32::MIN, TERM), Err(Errno::ESRCH));
}

#[test]
fn ids_outside_the_books_are_the_hosts_only_if_harmless() {
    let scene = users();
    assert_eq!(scene.task(2).kill(77, TERM), Ok(Kill::ByHost));
    assert_eq!(scene.task(3).kill(77, 0), Ok(Kill::ByHost));
    assert_eq!(scene.task(3).kill(77, TERM), Err(Errno::ESRCH));
}

#[test]
fn mixed_group_is_signalled_one_by_one() {
    let scene = users();
    assert_eq!(scene.task(3).kill(0, TERM), Ok(Kill::Done));
    assert_eq!(signalled(&scene), [host(3)]);
    assert_eq!(scene.task(2).kill(-1, TERM), Ok(Kill::ByHost));
    assert_eq!(signalled(&scene), []);
    assert_eq!(scene.task(4).kill(-1, TERM), Ok(Kill::Done));
    assert_eq!(signalled(&scene), []);
}

#[test]
fn tgkill_checks_ids() {
    let scene = users();
    let me = scene.task(3);
    assert_eq!(me.kill_thread(Some(3), 3, TERM), Ok(Kill::ByHost));
    assert_eq!(me.kill_thread(Some(0), 3, TERM), Err(Errno::EINVAL));
    assert_eq!(me.kill_thread(Some(4), 4, TERM), Err(Errno::EPERM));
    assert_eq!(me.kill_thread(Some(3), 3, -1), Err(Errno::EINVAL));
}
