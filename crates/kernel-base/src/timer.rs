//! Deadlines of the kernel: poll timeouts, itimers, timerfds, all on one ordered map that arms one host
//! timer.

use std::collections::BTreeMap;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;

use platform_api::{Clock, Platform};

use crate::sync::Mutex;

/// Told when its deadline has passed. Runs on the reactor's thread; must not block.
pub trait Expire: Send + Sync {
    /// The deadline has passed.
    fn expire(&self);
}

/// Names an armed timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerKey {
    deadline_ns: u64,
    serial: u64,
}

impl TimerKey {
    /// When it runs out.
    #[must_use]
    pub const fn deadline_ns(self) -> u64 {
        self.deadline_ns
    }
}

#[derive(Default)]
struct Queue {
    serial: u64,
    timers: BTreeMap<TimerKey, Weak<dyn Expire>>,
}

/// All timers of a container, on [`Clock::Monotonic`].
pub struct Timers {
    platform: Arc<dyn Platform>,
    queue: Mutex<Queue>,
}

impl Timers {
    /// No timers yet.
    #[must_use]
    pub fn new(platform: Arc<dyn Platform>) -> Self {
        Self { platform, queue: Mutex::default() }
    }

    /// Now, in nanoseconds of [`Clock::Monotonic`].
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.platform.now_ns(Clock::Monotonic)
    }

    /// Calls `target` at `deadline_ns`, unless it is dropped or the timer cancelled before.
    pub fn arm(&self, deadline_ns: u64, target: Weak<dyn Expire>) -> TimerKey {
        let mut queue = self.queue.lock();
        queue.serial += 1;
        let key = TimerKey { deadline_ns, serial: queue.serial };
        queue.timers.insert(key, target);
        let first = queue.timers.first_key_value().is_some_and(|(first, _)| *first == key);
        if first {
            self.platform.arm_timer(Some(deadline_ns));
        }
        key
    }

    /// Cancels a timer; harmless when it has run already.
    pub fn cancel(&self, key: TimerKey) {
        self.queue.lock().timers.remove(&key);
    }

    /// Runs what is due and arms the host timer for the next.
    pub fn run_due(&self) {
        loop {
            let now = self.now_ns();
            let mut queue = self.queue.lock();
            let Some((&key, _)) = queue.timers.first_key_value() else {
                return;
            };
            if key.deadline_ns > now {
                self.platform.arm_timer(Some(key.deadline_ns));
                return;
            }
            let target = queue.timers.remove(&key);
            drop(queue);
            if let Some(target) = target.and_then(|weak| weak.upgrade()) {
                target.expire();
            }
        }
    }

    /// Waits for `future` until `deadline_ns` (`None`: for ever) at most. It is polled once in any case.
    pub async fn limit<T>(&self, deadline_ns: Option<u64>, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut timeout = pin!(async {
            match deadline_ns {
                Some(at) => self.sleep_until(at).await,
                None => pending().await,
            }
        });
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => timeout.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    /// Waits until `deadline_ns`; dropping the future cancels the timer.
    pub async fn sleep_until(&self, deadline_ns: u64) {
        let mut armed: Option<(TimerKey, Arc<Sleeper>)> = None;
        let mut guard = SleepGuard { timers: self, key: None };
        poll_fn(|cx| {
            if self.now_ns() >= deadline_ns {
                return Poll::Ready(());
            }
            if armed.is_none() {
                let sleeper = Arc::new(Sleeper { waker: cx.waker().clone() });
                let weak: Weak<Sleeper> = Arc::downgrade(&sleeper);
                let key = self.arm(deadline_ns, weak);
                guard.key = Some(key);
                armed = Some((key, sleeper));
            }
            Poll::Pending
        })
        .await;
    }
}

struct Sleeper {
    waker: std::task::Waker,
}

impl Expire for Sleeper {
    fn expire(&self) {
        self.waker.wake_by_ref();
    }
}

struct SleepGuard<'a> {
    timers: &'a Timers,
    key: Option<TimerKey>,
}

impl Drop for SleepGuard<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.timers.cancel(key);
        }
    }
}
