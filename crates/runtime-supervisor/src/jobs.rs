//! Signals to `palisade` itself, and job control between the user's shell and the sandbox.
//!
//! Signals are blocked in every thread and taken by one thread here: termination requests go on to the
//! guest's program, SIGWINCH sets the window size. When the guest's program stops (^Z), the terminal is
//! given back, `palisade` stops itself as the program would have, and on SIGCONT goes on with it.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::Arc;
use std::thread;

use abi_linux::signal::Signal as GuestSignal;
use kernel_task::Kernel;
use nix::sys::signal::{SigSet, Signal, raise};
use platform_api::KernelEvents;
use runtime_oci::ContainerSpec;

use crate::error::Error;
use crate::terminal::Relay;

/// Stack of a helper thread, in bytes.
pub(crate) const STACK: usize = 128 * 1024;

/// Requests that the guest's program gets instead of `palisade`.
const FORWARDED: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// Blocks what [`Jobs`] takes, in this thread and those that it will start.
pub(crate) fn block_signals() -> Result<SigSet, Error> {
    let mut set = SigSet::empty();
    FORWARDED.into_iter().for_each(|signal| set.add(signal));
    set.add(Signal::SIGWINCH);
    set.thread_block().map_err(|errno| Error::Platform(abi_linux::Errno::from_raw(errno as i32)))?;
    Ok(set)
}

/// The guest's program as a job.
pub(crate) struct Jobs {
    kernel: Arc<Kernel>,
    events: Arc<dyn KernelEvents>,
    relay: Option<Arc<Relay>>,
    /// The program's process id inside the container.
    main: AtomicI32,
    stops: Sender<i32>,
}

impl Jobs {
    /// Starts the threads that wait for signals and stops.
    pub(crate) fn start(
        signals: SigSet,
        kernel: &Arc<Kernel>,
        spec: &ContainerSpec,
        relay: Option<Arc<Relay>>,
        events: Arc<dyn KernelEvents>,
    ) -> Result<Arc<Self>, Error> {
        let (stops, stopped) = channel();
        let main = AtomicI32::new(if spec.init { 2 } else { 1 });
        let jobs = Arc::new(Self { kernel: Arc::clone(kernel), events, relay, main, stops });
        let (waiter, stopper) = (Arc::clone(&jobs), Arc::clone(&jobs));
        start_thread("signals", move || waiter.take_signals(&signals))?;
        start_thread("jobs", move || stopper.take_stops(&stopped))?;
        Ok(jobs)
    }

    fn take_signals(&self, signals: &SigSet) {
        loop {
            match signals.wait() {
                Ok(Signal::SIGWINCH) => self.relay.iter().for_each(|relay| relay.sync_window_size()),
                Ok(signal) => self.forward(signal as i32),
                Err(_) => return,
            }
            self.events.drain();
        }
    }

    fn forward(&self, number: i32) {
        let process = self.kernel.process(self.main.load(Ordering::Relaxed));
        if let (Some(process), Some(signal)) = (process, GuestSignal::new(number))
            && let Err(error) = self.kernel.signal_process(&process, signal)
        {
            tracing::debug!(number, %error, "cannot pass the signal on");
        }
    }

    fn take_stops(&self, stopped: &Receiver<i32>) {
        for pid in stopped {
            if let Some(relay) = &self.relay {
                relay.suspend();
            }
            // Everything stops here until somebody sends SIGCONT.
            let _ = raise(Signal::SIGSTOP);
            if let Some(relay) = &self.relay {
                relay.resume();
            }
            let _ = self.kernel.signal_group(pid, GuestSignal::SIGCONT);
            self.events.drain();
        }
    }

    /// The program leads process group `pid` now.
    pub(crate) fn attached(&self, pid: i32) {
        self.main.store(pid, Ordering::Relaxed);
        if let Some(relay) = &self.relay {
            relay.set_foreground(pid);
        }
    }

    /// The program has been stopped by a signal.
    pub(crate) fn stopped(&self, pid: i32) {
        // Without a terminal nobody pressed ^Z, and whoever stopped it inside will continue it.
        if self.relay.is_some() {
            let _ = self.stops.send(pid);
        }
    }
}

/// Starts a detached helper thread; it ends with the process.
pub(crate) fn start_thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(STACK);
    builder.spawn(body).map(drop).map_err(Error::Thread)
}
