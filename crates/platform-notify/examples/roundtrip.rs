//! Measures a null call (an emulated getppid) over a bare loop of RECV and SEND, and through the platform with one
//! and two workers, in one run: `cargo run --release -p platform-notify --example roundtrip [CALLS]`.
//!
//! The guest makes the calls; a sample is the time from one received call to the next.

#[path = "../tests/platform/common.rs"]
mod common;

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use host_sys::seccomp::{self, Answer};
use platform_api::{Platform, Range, Reply, Restart, Syscall};
use platform_notify::NotifyPlatform;

const TELL_COUNT: i32 = 1700;
/// The number that calls are substituted with; it comes back as a call of its own.
const AGAIN: i32 = 1900;

/// Whether the measured call is still to be answered.
#[derive(PartialEq)]
enum Next {
    Answer,
    Done,
}

/// Prints percentiles of the gaps between arrivals.
fn report(name: &str, arrivals: &[Instant]) {
    let mut gaps: Vec<u128> =
        arrivals.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_nanos()).collect();
    if gaps.is_empty() {
        return;
    }
    let mean = gaps.iter().sum::<u128>() / gaps.len() as u128;
    gaps.sort_unstable();
    let at = |percent: usize| gaps[gaps.len() * percent / 100];
    println!("{name:<28} p50 {:>6} ns   p99 {:>6} ns   mean {mean:>6} ns", at(50), at(99));
}

/// The floor: nothing but the two ioctls.
fn bare(calls: usize) {
    let container = common::container("spin");
    let listener = container.listener();
    let mut arrivals = Vec::with_capacity(calls + 2);
    loop {
        let mut slot = seccomp::empty_notification();
        if seccomp::receive(listener, &mut slot).is_err() {
            break;
        }
        let answer = match slot.data.nr {
            common::EXECVEAT => Answer::Continue,
            TELL_COUNT => Answer::Value(calls as i64),
            _ => {
                arrivals.push(Instant::now());
                Answer::Value(4242)
            }
        };
        let _ = seccomp::send(listener.as_fd(), slot.id, answer);
    }
    report("bare RECV and SEND", &arrivals);
}

/// The same through `NotifyPlatform::run`.
fn platform(name: &str, calls: usize, workers: usize, touch: fn(&NotifyPlatform, &Syscall) -> Next) {
    let arrivals = Arc::new(Mutex::new(Vec::with_capacity(calls + 2)));
    let sink = Arc::clone(&arrivals);
    common::run(
        "spin",
        workers,
        move |platform, call| {
            if call.nr == TELL_COUNT {
                platform.reply(call.id, Reply::Value(calls as i64));
                return;
            }
            if call.nr != AGAIN {
                sink.lock().unwrap().push(Instant::now());
                if touch(platform, &call) == Next::Done {
                    return;
                }
            }
            platform.reply(call.id, Reply::Value(4242));
        },
        |_| (),
    );
    report(name, &arrivals.lock().unwrap());
}

fn spawning() {
    let mut times: Vec<_> = (0..50)
        .map(|_| {
            let started = Instant::now();
            let container = common::container("reply");
            let made = started.elapsed();
            drop(container);
            (made, started.elapsed())
        })
        .collect();
    times.sort_unstable();
    let (made, gone) = times[times.len() / 2];
    println!("spawn                        p50 {made:?} made, {gone:?} until it is gone again");
}

fn main() {
    let calls = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(200_000);
    common::guest();
    for _ in 0..3 {
        bare(calls);
        platform("platform, 1 worker", calls, 1, |_, _| Next::Answer);
        platform("platform, 2 workers", calls, 2, |_, _| Next::Answer);
        platform("… and NOTIF_ID_VALID", calls, 2, |platform, call| {
            assert!(platform.is_waiting(call.id));
            Next::Answer
        });
        platform("… and identify", calls / 10, 2, |platform, call| {
            assert!(platform.identify(call.tid).is_ok());
            Next::Answer
        });
        platform("… and signal_state", calls / 10, 2, |platform, call| {
            assert!(platform.signal_state(call.tid).is_ok());
            Next::Answer
        });
        platform("… and 1 byte read", calls, 2, |platform, call| {
            let range = [Range { addr: call.instruction_pointer & !0xfff, len: 1 }];
            let mut byte = [0];
            assert_eq!(platform.read_memory(call.tid, &range, &mut byte), Ok(1));
            Next::Answer
        });
        platform("substitute, and its new call", calls / 20, 2, |platform, call| {
            assert_eq!(platform.substitute(call, AGAIN, [0; 6]), Ok(()));
            Next::Done
        });
        platform("interrupt by stop, each other", calls / 20, 2, |platform, call| {
            // Every second one, or it would never get on.
            if call.id.0 % 2 == 0 {
                return Next::Answer;
            }
            assert_eq!(platform.interrupt(call, Restart::Sys, false), Ok(()));
            Next::Done
        });
    }
    spawning();
}
