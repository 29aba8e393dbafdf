//! Timers on a clock that stands still.

use super::{Notify, TimerClock};
use crate::scene::{Scene, host};
use abi_linux::Errno;
use abi_linux::signal::{SigSet, Signal};
use abi_linux::time::{Itimerspec, Timespec};
use platform_api::fake::Event;
use platform_api::{Clock, CpuTimeOf, SignalInfo, SignalState, SignalTarget};

const MS: u64 = 1_000_000;

fn spec(value_ns: u64, interval_ns: u64) -> Itimerspec {
    Itimerspec { it_value: Timespec::from_ns(value_ns), it_interval: Timespec::from_ns(interval_ns) }
}

fn sent(scene: &Scene) -> Vec<SignalInfo> {
    let events = scene.host.take_events();
    let info = |event: &Event| match event {
        Event::Queued(SignalTarget::Process(tgid), Signal::SIGUSR1, info) if *tgid == host(1) => Some(*info),
        _ => None,
    };
    events.iter().filter_map(info).collect()
}

#[test]
fn pending_signal_counts_overruns_instead() {
    let scene = Scene::new();
    let process = scene.kernel.process(1).unwrap();
    let timers = &process.posix_timers;
    let id = timers
        .create(&process, TimerClock::Wall(Clock::Monotonic), 10, |_| Notify::Process(Signal::SIGUSR1, 7))
        .unwrap();
    let timer = timers.get(id).unwrap();
    assert_eq!(timer.set_time(false, &spec(10 * MS, 10 * MS)), Ok(spec(0, 0)));
    scene.host.set_now(25 * MS);
    scene.kernel.timers.run_due();
    assert_eq!(sent(&scene), [SignalInfo::Timer { id, overrun: 1, value: 7 }]);
    assert_eq!(timer.time(), spec(5 * MS, 10 * MS));
    let shared_pending = SigSet(Signal::SIGUSR1.bit().0);
    scene.host.set_signal_state(host(1), SignalState { shared_pending, ..SignalState::default() });
    scene.host.set_now(50 * MS);
    scene.kernel.timers.run_due();
    assert_eq!(sent(&scene), []);
    assert_eq!(timer.overrun(), 0, "not delivered yet");
    scene.host.set_signal_state(host(1), SignalState::default());
    assert_eq!(timer.overrun(), 4);
    timers.clear();
    scene.host.set_now(500 * MS);
    scene.kernel.timers.run_due();
    assert_eq!(sent(&scene), []);
    assert_eq!(timers.delete(id), Err(Errno::EINVAL));
}

#[test]
fn timers_have_a_limit_and_fresh_ids() {
    let scene = Scene::new();
    let process = scene.kernel.process(1).unwrap();
    let create =
        || process.posix_timers.create(&process, TimerClock::Wall(Clock::Boottime), 2, |_| Notify::Nothing);
    assert_eq!((create(), create(), create()), (Ok(0), Ok(1), Err(Errno::EAGAIN)));
    process.posix_timers.delete(0).unwrap();
    assert_eq!(create(), Ok(2));
    let timer = process.posix_timers.get(2).unwrap();
    timer.set_time(false, &spec(3 * MS, 2 * MS)).unwrap();
    scene.host.set_now(6 * MS);
    assert_eq!(timer.time(), spec(MS, 2 * MS), "SIGEV_NONE counts without running");
}

#[test]
fn timer_on_cpu_time_waits_for_work() {
    let scene = Scene::new();
    let process = scene.kernel.process(1).unwrap();
    let timers = &process.posix_timers;
    let clock = TimerClock::Cpu(CpuTimeOf::Process(host(1)));
    scene.host.set_cpu_time(host(1), 7 * MS);
    let id = timers.create(&process, clock, 10, |_| Notify::Process(Signal::SIGUSR1, 7)).unwrap();
    let timer = timers.get(id).unwrap();
    assert_eq!(timer.set_time(false, &spec(40 * MS, 0)), Ok(spec(0, 0)));
    for (now, used) in [(500, 7), (1000, 46), (1500, 46)] {
        scene.host.set_cpu_time(host(1), used * MS);
        scene.host.set_now(now * MS);
        scene.kernel.timers.run_due();
        assert_eq!(sent(&scene), []);
    }
    assert_eq!(timer.time(), spec(MS, 0));
    scene.host.set_cpu_time(host(1), 47 * MS);
    scene.host.set_now(1600 * MS);
    scene.kernel.timers.run_due();
    assert_eq!(sent(&scene), [SignalInfo::Timer { id, overrun: 0, value: 7 }]);
    assert_eq!(timer.time(), spec(0, 0));
}
