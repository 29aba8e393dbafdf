//! What others see of a running container. All of it hangs on one point, `kernel_syscalls::Observers`.
//!
//! | module | tells |
//! |---|---|
//! | [`strace`] | `--strace`: a line for each call, written before the call is answered: none is lost |
//! | [`inspect`] | what waits, what is open and locked: asked once, nothing observed |
//! | [`security`] | security events to a file or socket |
//! | [`stats`] | counts for metrics and profiles, with a lease |
//! | [`tap`] | a live trace: calls in rings of bounded size, which a thread of their own takes to a client; what finds no room is counted |

mod address;
pub(crate) mod inspect;
pub(crate) mod security;
pub(crate) mod stats;
pub(crate) mod strace;
pub(crate) mod tap;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use kernel_syscalls::{Observer, Observers};
use kernel_task::Kernel;
use runtime_control::observe::{TraceBatch, TraceFilter};

use crate::container::Container;
use crate::error::Error;
use tap::{Sink, Tap, ToOwn};

/// Most observers of one container at a time.
const MOST: usize = 16;

/// Stack of the thread that takes a trace.
const STACK: usize = 256 * 1024;

/// A trace that begins before the program does.
pub struct Trace {
    pub filter: TraceFilter,
    /// Takes what was seen, on a thread of its own; an error ends the trace.
    pub sink: Box<dyn FnMut(TraceBatch) -> std::io::Result<()> + Send>,
}

/// A number of this thread, by which it finds what is its own: taken as rest by how many there are, it is rarely another
/// thread's as well.
fn own_slot() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    if OWN.get() == usize::MAX {
        OWN.set(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    OWN.get()
}

/// An observer, until this is dropped.
pub(crate) struct Attached {
    observers: Arc<Observers>,
    kernel: Arc<Kernel>,
    observer: Arc<dyn Observer>,
}

impl Attached {
    pub(crate) fn new(
        observers: &Arc<Observers>,
        kernel: &Arc<Kernel>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        if observers.count() >= MOST {
            return Err(Error::WrongState("too many look at this container; end one of its traces"));
        }
        observers.add(Arc::clone(&observer), &*kernel.platform);
        Ok(Self { observers: Arc::clone(observers), kernel: Arc::clone(kernel), observer })
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.observers.remove(&self.observer, &*self.kernel.platform);
    }
}

/// A live trace of a container, which ends when this is dropped.
pub(crate) struct LiveTrace {
    tap: Arc<Tap>,
    _attached: Attached,
}

impl LiveTrace {
    /// Begins one.
    pub(crate) fn begin(
        observers: &Arc<Observers>,
        kernel: &Arc<Kernel>,
        filter: &TraceFilter,
    ) -> Result<Self, Error> {
        let tap = Arc::new(Tap::new(filter, &*kernel.platform)?);
        let observer: Arc<dyn Observer> = Arc::<Tap>::clone(&tap);
        Ok(Self { _attached: Attached::new(observers, kernel, observer)?, tap })
    }

    /// Takes what is seen to `sink`, until the container has ended or nobody wants it any more.
    pub(crate) fn run(&self, sink: &mut dyn Sink) {
        self.tap.run(sink);
    }
}

/// Starts a trace that this process takes itself.
pub(crate) fn start(trace: Trace, container: &Container) -> Result<JoinHandle<()>, Error> {
    let live = container.trace(&trace.filter)?;
    let mut sink = ToOwn(trace.sink);
    let builder = thread::Builder::new().name("trace".to_owned()).stack_size(STACK);
    builder.spawn(move || live.run(&mut sink)).map_err(Error::Thread)
}
