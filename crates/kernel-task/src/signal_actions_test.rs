use abi_linux::signal::{Action, SigSet, Signal};
use guest_loader::protocol::{SIGNAL_PAGE_ACTIONS, SIGNAL_PAGE_TABLE};
use platform_api::SignalState;
use platform_api::fake::BASE;

use super::{SignalPage, first_caught};
use crate::fork::ChildMemory;
use crate::scene::{Scene, host};
use crate::task::Task;

const HANDLER: u64 = 0x5000;
const PLAIN: Action = Action { handler: HANDLER, flags: 0, restorer: 0x6000, mask: u64::MAX };

fn set(signals: &[Signal]) -> SigSet {
    SigSet(signals.iter().fold(0, |all, signal| all | signal.bit().0))
}

#[test]
fn own_signals_come_before_the_process_s_and_faults_before_others() {
    let caught = SigSet(u64::MAX);
    let first = |own: &[Signal], shared: &[Signal]| {
        first_caught(&SignalState {
            pending: set(own),
            shared_pending: set(shared),
            caught,
            ..Default::default()
        })
    };
    assert_eq!(first(&[], &[]), None);
    assert_eq!(first(&[Signal::SIGUSR2, Signal::SIGUSR1], &[Signal::SIGHUP]), Some(Signal::SIGUSR1));
    assert_eq!(first(&[Signal::SIGINT, Signal::SIGSEGV], &[]), Some(Signal::SIGSEGV));
    assert_eq!(first(&[], &[Signal::SIGHUP, Signal::SIGTRAP]), Some(Signal::SIGTRAP));
}

#[test]
fn blocked_and_uncaught_signals_do_not_count() {
    let state = SignalState {
        pending: set(&[Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM]),
        blocked: set(&[Signal::SIGHUP]),
        caught: set(&[Signal::SIGHUP, Signal::SIGTERM]),
        ..Default::default()
    };
    assert_eq!(first_caught(&state), Some(Signal::SIGTERM));
}

#[test]
fn signal_page_is_whole_pages_of_the_guest() {
    assert!(SignalPage::new(0x7fff_0000_0000).is_ok());
    for bad in [0, 0x1001, 0x7fff_ffff_e000, !4095] {
        assert!(SignalPage::new(bad).is_err(), "{bad:#x}");
    }
}

fn scene_with_page() -> Scene {
    let scene = Scene::new();
    scene.task(1).process.signal_actions.write(|actions| actions.set_page(SignalPage::new(BASE).unwrap()));
    scene
}

fn word(scene: &Scene, at: u64) -> u64 {
    u64::from_le_bytes(scene.host.peek(BASE + at, 8).try_into().unwrap())
}

fn stage(task: &Task, action: Action) -> u64 {
    task.stage_action(Signal::SIGHUP, action).unwrap()
}

#[test]
fn handler_without_the_flag_is_called_through_the_stub() {
    let scene = scene_with_page();
    let task = scene.task(1);
    assert_eq!(stage(&task, PLAIN), BASE + SIGNAL_PAGE_ACTIONS);
    assert_eq!(word(&scene, SIGNAL_PAGE_TABLE + 8), HANDLER);
    assert_eq!(word(&scene, SIGNAL_PAGE_ACTIONS), BASE);
    assert_eq!(word(&scene, SIGNAL_PAGE_ACTIONS + 8), Action::RESTART);
    assert_eq!(task.interrupting_action(Signal::SIGHUP), Some(PLAIN.kept()));
    stage(&task, Action { flags: Action::RESTART, ..PLAIN });
    assert_eq!(word(&scene, SIGNAL_PAGE_ACTIONS), HANDLER);
    assert_eq!(task.interrupting_action(Signal::SIGHUP), None);
}

#[test]
fn without_a_page_nothing_is_staged() {
    let task = Scene::new().task(1);
    assert_eq!(task.stage_action(Signal::SIGHUP, PLAIN), None);
    assert_eq!(task.interrupting_action(Signal::SIGHUP), None);
}

#[test]
fn page_that_the_guest_took_away_leaves_the_books_alone() {
    let scene = Scene::new();
    let task = scene.task(1);
    task.process.signal_actions.write(|actions| actions.set_page(SignalPage::new(BASE << 8).unwrap()));
    assert_eq!(task.stage_action(Signal::SIGHUP, PLAIN), None);
    assert_eq!(task.interrupting_action(Signal::SIGHUP), None);
}

#[test]
fn handler_that_was_to_be_called_once_reads_back_as_default_afterwards() {
    let scene = scene_with_page();
    let task = scene.task(1);
    stage(&task, Action { flags: Action::RESET_HAND, ..PLAIN });
    let caught = SignalState { caught: Signal::SIGHUP.bit(), ..Default::default() };
    scene.host.set_signal_state(host(1), caught);
    assert_eq!(task.interrupting_action(Signal::SIGHUP).unwrap().handler, HANDLER);
    scene.host.set_signal_state(host(1), SignalState::default());
    assert_eq!(task.interrupting_action(Signal::SIGHUP).unwrap().handler, Action::DEFAULT);
}

#[test]
fn child_in_the_parent_s_memory_leaves_the_table_alone() {
    let scene = scene_with_page();
    stage(&scene.task(1), PLAIN);
    let copied = scene.task(1).process.signal_actions.read(|actions| actions.inherited(ChildMemory::Copied));
    let shared = scene.task(1).process.signal_actions.read(|actions| actions.inherited(ChildMemory::Shared));
    assert!(!copied.borrowed && copied.interrupting.len() == 1);
    scene.fork(1, 2);
    let child = scene.task(2);
    child.process.signal_actions.write(|actions| *actions = shared);
    stage(&child, Action { handler: 0x7000, ..PLAIN });
    assert_eq!(word(&scene, SIGNAL_PAGE_TABLE + 8), HANDLER);
    assert_eq!(word(&scene, SIGNAL_PAGE_ACTIONS), 0x7000);
}

#[test]
fn first_handler_decides_whether_a_call_is_interrupted() {
    let scene = scene_with_page();
    let task = scene.task(1);
    stage(&task, PLAIN);
    let state = |pending: &[Signal]| SignalState {
        pending: set(pending),
        caught: SigSet(u64::MAX),
        ..Default::default()
    };
    assert!(task.process.interrupts_call(&state(&[Signal::SIGHUP, Signal::SIGINT])));
    assert!(!task.process.interrupts_call(&state(&[Signal::SIGINT])));
    assert!(!task.process.interrupts_call(&state(&[Signal::SIGHUP, Signal::SIGSEGV])));
}
