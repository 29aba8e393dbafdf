//! Signals to `palisade` itself, and job control between the user's shell and the sandbox.
//!
//! Signals are blocked in every thread and taken by one thread here: termination requests go on to the
//! guest's program, SIGWINCH sets the window size. What the user's terminal sends (^C where a program has
//! not taken the terminal, or has none) is for the whole foreground group, what kill(2) sends for the
//! program alone. When the guest's program stops (^Z), the terminal is given back, `palisade` stops itself
//! as the program would have, and on SIGCONT goes on with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use abi_linux::signal::Signal as GuestSignal;
use kernel_task::{Kernel, Process};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use platform_api::KernelEvents;
use runtime_oci::ContainerSpec;

use crate::error::Error;
use crate::terminal::Relay;

/// Stack of a helper thread, in bytes.
pub(crate) const STACK: usize = 128 * 1024;

/// Requests that the guest's program gets instead of `palisade`.
const FORWARDED: [Signal; 7] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGTSTP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// `si_code` of a signal that the host's terminal sent, not a process.
const SI_KERNEL: i32 = 0x80;

/// Blocks what [`Jobs`] takes, in this thread and those that it will start.
pub(crate) fn block_signals() -> Result<SigSet, Error> {
    let mut set = SigSet::empty();
    FORWARDED.into_iter().for_each(|signal| set.add(signal));
    set.add(Signal::SIGWINCH);
    set.add(Signal::SIGCONT);
    set.thread_block().map_err(platform_error)?;
    Ok(set)
}

/// The guest's program as a job.
pub(crate) struct Jobs {
    kernel: Arc<Kernel>,
    events: Arc<dyn KernelEvents>,
    relay: Option<Arc<Relay>>,
    /// The program's process id inside the container.
    main: AtomicI32,
    stops: Sender<(i32, Signal)>,
    /// A SIGTSTP was passed on: when the program stops, so do we.
    stop_asked: AtomicBool,
    /// `take_stops` is in a stop of its own.
    stopping: AtomicBool,
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
        let jobs = Arc::new(Self {
            kernel: Arc::clone(kernel),
            events,
            relay,
            main,
            stops,
            stop_asked: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        });
        let (waiter, stopper) = (Arc::clone(&jobs), Arc::clone(&jobs));
        let queue = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).map_err(platform_error)?;
        start_thread("signals", move || waiter.take_signals(&queue))?;
        start_thread("jobs", move || stopper.take_stops(&stopped))?;
        Ok(jobs)
    }

    fn take_signals(&self, queue: &SignalFd) {
        loop {
            match queue.read_signal() {
                Ok(Some(info)) => {
                    let signal = Signal::try_from(info.ssi_signo.cast_signed());
                    signal.into_iter().for_each(|signal| self.take_signal(signal, info.ssi_code));
                }
                Ok(None) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
            self.events.drain();
        }
    }

    fn take_signal(&self, signal: Signal, code: i32) {
        match (signal, &self.relay) {
            (Signal::SIGWINCH, Some(relay)) => relay.sync_window_size(),
            (Signal::SIGWINCH, None) => self.forward_to_group(signal),
            (Signal::SIGCONT, _) if self.stopping.load(Ordering::SeqCst) => {}
            (Signal::SIGCONT, relay) => {
                relay.iter().for_each(|relay| relay.retake());
                self.forward_to_group(signal);
            }
            (Signal::SIGTSTP, _) => {
                self.stop_asked.store(true, Ordering::SeqCst);
                self.forward_to_group(signal);
            }
            (Signal::SIGHUP, _) => self.forward_to_group(signal),
            _ if code == SI_KERNEL => self.forward_to_group(signal),
            _ => self.forward(signal),
        }
    }

    fn main_process(&self) -> Option<Arc<Process>> {
        self.kernel.process(self.main.load(Ordering::Relaxed))
    }

    fn forward(&self, signal: Signal) {
        if let (Some(process), Some(signal)) = (self.main_process(), GuestSignal::new(signal as i32))
            && let Err(error) = self.kernel.signal_process(&process, signal)
        {
            tracing::debug!(?signal, %error, "cannot pass the signal on");
        }
    }

    /// To the container's foreground group, and the program's own if that is another.
    fn forward_to_group(&self, signal: Signal) {
        let Some(guest_signal) = GuestSignal::new(signal as i32) else { return };
        let main = self.main_process().map_or(0, |process| process.pgid());
        let foreground = self.relay.as_ref().map_or(0, |relay| relay.foreground());
        let both = matches!(signal, Signal::SIGHUP | Signal::SIGCONT);
        let first = if foreground == 0 { main } else { foreground };
        for group in [first, main].into_iter().take(if both && first != main { 2 } else { 1 }) {
            if group > 0 {
                // A group that is gone needs no signal.
                let _ = self.kernel.signal_group(group, guest_signal);
            }
        }
    }

    fn take_stops(&self, stopped: &Receiver<(i32, Signal)>) {
        for (pid, signal) in stopped {
            let taken = self.relay.as_ref().is_some_and(|relay| relay.suspend());
            self.stopping.store(true, Ordering::SeqCst);
            stop_self(signal);
            if let Some(relay) = &self.relay {
                relay.resume(taken);
            }
            let _ = self.kernel.signal_group(pid, GuestSignal::SIGCONT);
            self.events.drain();
            self.stopping.store(false, Ordering::SeqCst);
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
    pub(crate) fn stopped(&self, pid: i32, signal: i32) {
        let asked = self.stop_asked.swap(false, Ordering::SeqCst);
        // Without a terminal nobody pressed ^Z, and whoever stopped it inside will continue it.
        if asked || self.relay.is_some() {
            let signal = match Signal::try_from(signal) {
                Ok(signal @ (Signal::SIGTTIN | Signal::SIGTTOU)) => signal,
                // In place of SIGSTOP, too: where no shell could continue us, this one does not stop.
                _ => Signal::SIGTSTP,
            };
            let _ = self.stops.send((pid, signal));
        }
    }
}

pub(crate) fn platform_error(errno: Errno) -> Error {
    Error::Platform(abi_linux::Errno::from_raw(errno as i32))
}

/// Everything stops here until somebody sends SIGCONT. Where that could be nobody, in an orphaned process
/// group, the host ignores the signal.
fn stop_self(signal: Signal) {
    let mut set = SigSet::empty();
    set.add(signal);
    // It stays pending for this thread alone until it is let through.
    let _ = set.thread_block();
    let _ = raise(signal);
    let _ = set.thread_unblock();
    let _ = set.thread_block();
}

/// Starts a detached helper thread; it ends with the process.
pub(crate) fn start_thread(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let builder = thread::Builder::new().name(name.to_owned()).stack_size(STACK);
    builder.spawn(body).map(drop).map_err(Error::Thread)
}
