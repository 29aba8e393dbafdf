use std::sync::atomic::Ordering;

use abi_linux::Errno;

use crate::scene::Scene;

#[test]
fn shell_moves_its_child_until_exec() {
    let scene = Scene::new();
    let shell = scene.fork(1, 2);
    let child = scene.fork(2, 3);
    assert_eq!(scene.task(2).set_pgid(3, 3), Ok(()));
    assert_eq!((child.pgid(), shell.pgid()), (3, 1));
    child.did_exec.store(true, Ordering::Relaxed);
    assert_eq!(scene.task(2).set_pgid(3, 3), Err(Errno::EACCES));
    assert_eq!(scene.task(3).set_pgid(0, 0), Ok(()));
}

#[test]
fn only_existing_groups_of_the_session_can_be_joined() {
    let scene = Scene::new();
    scene.fork(1, 2);
    scene.fork(2, 3);
    assert_eq!(scene.task(2).set_pgid(3, 99), Err(Errno::EPERM));
    assert_eq!(scene.task(2).set_pgid(0, -1), Err(Errno::EINVAL));
    assert_eq!(scene.task(3).set_pgid(2, 2), Err(Errno::ESRCH));
    assert_eq!(scene.task(3).set_sid(), Ok(3));
    assert_eq!(scene.task(2).set_pgid(3, 0), Err(Errno::EPERM));
    assert_eq!(scene.task(2).set_pgid(0, 3), Err(Errno::EPERM));
}

#[test]
fn group_leader_cannot_start_a_session() {
    let scene = Scene::new();
    scene.fork(1, 2);
    assert_eq!(scene.task(2).set_pgid(0, 0), Ok(()));
    assert_eq!(scene.task(2).set_sid(), Err(Errno::EPERM));
}

#[test]
fn group_is_orphaned_when_its_shell_is_gone() {
    let scene = Scene::new();
    scene.fork(1, 2);
    assert_eq!(scene.task(2).set_sid(), Ok(2));
    scene.fork(2, 3);
    assert_eq!(scene.task(3).set_pgid(0, 0), Ok(()));
    assert!(!scene.kernel.group_is_orphaned(3));
    scene.kernel.process_died(crate::scene::host(2));
    assert!(scene.kernel.group_is_orphaned(3));
}
