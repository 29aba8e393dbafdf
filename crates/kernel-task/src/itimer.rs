//! ITIMER_REAL: alarm(2) and setitimer(2). The other two itimers count CPU time and are the host's.

use std::sync::{Arc, Weak};

use abi_linux::signal::Signal;
use kernel_base::sync::Mutex;
use kernel_base::timer::{Expire, TimerKey};
use platform_api::{HostTid, SignalTarget};

use crate::kernel::Kernel;

#[derive(Default)]
struct Armed {
    key: Option<TimerKey>,
    deadline_ns: u64,
    interval_ns: u64,
}

/// The real-time interval timer of one process.
pub struct RealTimer {
    kernel: Weak<Kernel>,
    tgid: HostTid,
    armed: Mutex<Armed>,
    this: Weak<RealTimer>,
}

/// Time left and interval, in nanoseconds; 0 left means disarmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerValue {
    pub left_ns: u64,
    pub interval_ns: u64,
}

impl RealTimer {
    pub(crate) fn new(kernel: Weak<Kernel>, tgid: HostTid) -> Arc<Self> {
        Arc::new_cyclic(|this| Self { kernel, tgid, armed: Mutex::default(), this: this.clone() })
    }

    /// What is left until the next SIGALRM.
    #[must_use]
    pub fn get(&self) -> TimerValue {
        let armed = self.armed.lock();
        let Some(kernel) = self.kernel.upgrade().filter(|_| armed.key.is_some()) else {
            return TimerValue::default();
        };
        // A running timer never reads as disarmed (kernel/time/itimer.c itimer_get_remtime).
        let left_ns = armed.deadline_ns.saturating_sub(kernel.timers.now_ns()).max(1000);
        TimerValue { left_ns, interval_ns: armed.interval_ns }
    }

    /// Sets it and returns what was left of the old one; `left_ns` 0 disarms.
    pub fn set(&self, value: TimerValue) -> TimerValue {
        let old = self.get();
        self.disarm();
        if value.left_ns > 0
            && let Some(kernel) = self.kernel.upgrade()
        {
            let deadline_ns = kernel.timers.now_ns().saturating_add(value.left_ns);
            self.arm(&kernel, deadline_ns, value.interval_ns);
        }
        old
    }

    fn arm(&self, kernel: &Kernel, deadline_ns: u64, interval_ns: u64) {
        let target: Weak<Self> = self.this.clone();
        let mut armed = self.armed.lock();
        let key = kernel.timers.arm(deadline_ns, target);
        *armed = Armed { key: Some(key), deadline_ns, interval_ns };
    }

    /// Stops it.
    pub fn disarm(&self) {
        let key = std::mem::take(&mut *self.armed.lock()).key;
        if let (Some(key), Some(kernel)) = (key, self.kernel.upgrade()) {
            kernel.timers.cancel(key);
        }
    }
}

impl Expire for RealTimer {
    fn expire(&self) {
        let Some(kernel) = self.kernel.upgrade() else { return };
        let Armed { key, deadline_ns, interval_ns } = std::mem::take(&mut *self.armed.lock());
        if key.is_none() {
            return;
        }
        let Some(process) = kernel.process_by_host(self.tgid) else { return };
        if interval_ns > 0 {
            let next = deadline_ns.saturating_add(interval_ns).max(kernel.timers.now_ns());
            self.arm(&kernel, next, interval_ns);
        }
        let sent = kernel.platform.send_signal(SignalTarget::Process(self.tgid), Signal::SIGALRM);
        if sent.is_ok() {
            kernel.check_signals(&process);
        }
    }
}
