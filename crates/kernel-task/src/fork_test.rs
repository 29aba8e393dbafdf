use abi_linux::Errno;
use kernel_base::reg::Fd;
use platform_api::ProcFile;

use crate::scene::{Scene, file, host};

#[test]
fn child_has_the_descriptors_of_the_moment_of_fork() {
    let scene = Scene::new();
    let init = scene.task(1);
    let fd = init.process.files.insert(file(), false, 100).unwrap();
    init.prepare_fork();
    scene.host_process(2, 1, 1);
    // Before the child's first call the parent goes on.
    init.process.files.remove(fd).unwrap();
    let child = scene.task(2);
    assert!(child.process.files.get(fd).is_ok());
    assert_eq!(child.process.ppid(), 1);
    assert_eq!(child.process.files.get(Fd(1)).err(), Some(Errno::EBADF));
}

#[test]
fn forks_of_two_threads_are_told_apart() {
    let scene = Scene::new();
    scene.fork(1, 2);
    let (leader, other) = (scene.task(2), scene.thread(3, 2));
    leader.prepare_fork();
    leader.process.files.insert(file(), false, 100).unwrap();
    other.prepare_fork();
    // The children arrive in the other order.
    scene.host_process(5, 2, 3);
    scene.host_process(4, 2, 2);
    assert_eq!(scene.task(5).process.files.list().len(), 1);
    assert_eq!(scene.task(4).process.files.list().len(), 0);
}

#[test]
fn second_fork_settles_the_first() {
    let scene = Scene::new();
    let init = scene.task(1);
    init.prepare_fork();
    scene.host_process(2, 1, 1);
    init.process.files.insert(file(), false, 100).unwrap();
    init.prepare_fork();
    scene.host_process(3, 1, 1);
    assert_eq!(scene.task(3).process.files.list().len(), 1);
    assert_eq!(scene.task(2).process.files.list().len(), 0);
}

#[test]
fn parent_finds_its_child_before_the_childs_first_call() {
    let scene = Scene::new();
    let init = scene.task(1);
    assert!(scene.kernel.process(2).is_none());
    init.prepare_fork();
    // The clone has not happened yet: the snapshot must stay.
    assert!(scene.kernel.process(2).is_none());
    scene.host_process(2, 1, 1);
    assert_eq!(scene.kernel.process(2).map(|child| child.pid), Some(2));
}

#[test]
fn failed_fork_leaves_no_files_behind_once_the_thread_waits() {
    let scene = Scene::new();
    let init = scene.task(1);
    let fd = init.process.files.insert(file(), false, 100).unwrap();
    let weak = std::sync::Arc::downgrade(&init.process.files.get(fd).unwrap());
    init.prepare_fork();
    init.process.files.remove(fd).unwrap();
    assert!(weak.upgrade().is_some());
    scene.kernel.parked_now(&init, init.forks());
    assert!(weak.upgrade().is_none());
}

#[test]
fn dead_child_that_nobody_waited_for_is_not_taken_for_a_new_one() {
    let scene = Scene::new();
    let init = scene.task(1);
    scene.fork(1, 2);
    scene.kernel.process_died(host(2));
    scene.host.set_proc(host(2), ProcFile::Stat, b"2 (x) Z 1");
    init.process.files.insert(file(), false, 100).unwrap();
    init.prepare_fork();
    // Somebody looks around while the clone is under way.
    assert!(scene.kernel.process(7).is_none());
    scene.host_process(3, 1, 1);
    assert_eq!(scene.task(3).process.files.list().len(), 1);
    assert!(scene.kernel.process(2).is_none());
}

#[test]
fn child_of_a_killed_parent_gets_its_snapshot_from_init() {
    let scene = Scene::new();
    scene.fork(1, 2);
    let maker = scene.task(2);
    maker.process.files.insert(file(), false, 100).unwrap();
    maker.prepare_fork();
    // Killed before the child's first call, and the news of it has not come: the child is init's on the host.
    scene.host.set_proc(host(2), ProcFile::Stat, b"2 (x) Z 1");
    scene.host_process(3, 1, 1);
    let orphan = scene.task(3);
    assert_eq!(orphan.process.ppid(), 1);
    assert_eq!(orphan.process.files.list().len(), 1);
}

#[test]
fn snapshots_of_clones_that_never_happened_are_dropped_with_their_makers() {
    let scene = Scene::new();
    scene.task(1);
    for maker in [2, 3] {
        scene.fork(1, maker);
        scene.task(maker).prepare_fork();
        scene.host.set_proc(host(maker), ProcFile::Stat, format!("{maker} (x) Z 1").as_bytes());
        scene.kernel.process_died(host(maker));
    }
    // A third one's child did come to be, and is not mistaken for one of theirs.
    scene.fork(1, 4);
    scene.task(4).process.files.insert(file(), false, 100).unwrap();
    scene.task(4).prepare_fork();
    scene.host_process(5, 1, 1);
    scene.kernel.process_died(host(4));
    assert_eq!(scene.task(5).process.files.list().len(), 1);
}

#[test]
fn process_without_a_snapshot_is_refused() {
    let scene = Scene::new();
    scene.host_process(2, 1, 1);
    assert_eq!(scene.kernel.task(host(2)).err(), Some(Errno::ESRCH));
}

#[test]
fn orphans_go_to_the_subreaper() {
    let scene = Scene::new();
    let reaper = scene.fork(1, 2);
    reaper.child_subreaper.store(true, std::sync::atomic::Ordering::Relaxed);
    scene.fork(2, 3);
    let grandchild = scene.fork(3, 4);
    scene.kernel.process_died(host(3));
    assert_eq!(grandchild.ppid(), 2);
    assert!(scene.kernel.process(3).is_none());
}

#[test]
fn exit_of_a_thread_keeps_descriptors_while_the_host_has_another() {
    let scene = Scene::new();
    let process = scene.fork(1, 2);
    process.files.insert(file(), false, 100).unwrap();
    scene.host.set_proc(host(2), ProcFile::Stat, b"2 (t) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 2 0");
    scene.task(2).exit_thread(0);
    assert_eq!(process.files.list().len(), 1);
    scene.task(2).exit_group(0);
    assert_eq!(process.files.list().len(), 0);
}

#[test]
fn death_that_a_parent_waited_for_is_known_at_its_next_call() {
    let scene = Scene::new();
    let (child, other) = (scene.fork(1, 2), scene.fork(1, 3));
    child.files.insert(file(), false, 100).unwrap();
    scene.task(1).waits_for(2);
    scene.host.remove_thread(host(2));
    scene.host.remove_thread(host(3));
    scene.task(1);
    assert!(child.has_exited() && child.files.list().is_empty());
    assert!(!other.has_exited());
    scene.task(1).waits_for(-1);
    scene.task(1);
    assert!(other.has_exited());
    // The host's own news come late.
    scene.kernel.process_died(host(2));
    assert!(scene.kernel.process(2).is_none());
}

#[test]
fn thread_that_was_listed_while_it_ended_is_forgotten() {
    let scene = Scene::new();
    let process = scene.fork(1, 2);
    scene.thread(5, 2);
    scene.task(5).exit_thread(0);
    // The host still has it.
    scene.kernel.find_new_threads(&process);
    assert_eq!(process.tasks().len(), 2);
    scene.host.remove_thread(host(5));
    scene.kernel.find_new_threads(&process);
    assert_eq!(process.tasks().len(), 1);
}

#[test]
fn call_that_has_ended_settles_no_later_fork() {
    let scene = Scene::new();
    let init = scene.task(1);
    let fd = init.process.files.insert(file(), false, 100).unwrap();
    let parked = init.forks();
    // The call was woken and answered before its worker came to look, and the thread is in clone(2) again.
    init.prepare_fork();
    scene.kernel.parked_now(&init, parked);
    scene.host_process(2, 1, 1);
    assert!(scene.task(2).process.files.get(fd).is_ok());
}

#[test]
fn clone_under_way_in_a_process_that_exits_has_its_child() {
    let scene = Scene::new();
    scene.fork(1, 2);
    let (leader, other) = (scene.task(2), scene.thread(3, 2));
    leader.process.files.insert(file(), false, 100).unwrap();
    other.prepare_fork();
    leader.exit_group(0);
    scene.host_process(5, 2, 3);
    assert_eq!(scene.task(5).process.files.list().len(), 1);
}

#[test]
fn failed_clone_of_a_process_that_exits_leaves_no_files_behind() {
    let scene = Scene::new();
    let process = scene.fork(1, 2);
    let other = scene.thread(3, 2);
    let fd = process.files.insert(file(), false, 100).unwrap();
    let weak = std::sync::Arc::downgrade(&process.files.get(fd).unwrap());
    other.prepare_fork();
    scene.task(2).exit_group(0);
    scene.host.set_proc(host(2), ProcFile::Stat, b"2 (x) Z 1");
    scene.kernel.process_died(host(2));
    assert!(weak.upgrade().is_none());
}

#[test]
fn orphans_of_different_programs_are_told_apart() {
    let scene = Scene::new();
    scene.task(1);
    for (maker, files) in [(2, 1), (3, 2)] {
        let process = scene.fork(1, maker);
        for _ in 0..files {
            process.files.insert(file(), false, 100).unwrap();
        }
        let host_auxv = vec![maker as u8; 16];
        scene.host.set_proc(host(maker), ProcFile::Auxv, &host_auxv);
        process.set_image(crate::exec::Image { host_auxv, ..Default::default() });
        scene.task(maker).prepare_fork();
        scene.host.set_proc(host(maker), ProcFile::Stat, format!("{maker} (x) Z 1").as_bytes());
    }
    for (child, maker, files) in [(4, 3, 2), (5, 2, 1)] {
        scene.host.set_proc(host(child), ProcFile::Auxv, &[maker; 16]);
        scene.host_process(child, 1, 1);
        assert_eq!(scene.task(child).process.files.list().len(), files);
    }
}
