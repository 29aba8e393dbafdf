//! From a delivered call to its answer.
//!
//! A worker finds the task, dispatches, and answers. Calls that never park are plain functions; the others
//! are polled once and parked by the executor when they have to wait. A panic in a handler is a bug of
//! ours: it is logged with the call and ends the guest process that provoked it, not the sandbox.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;

use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::executor::{Executor, ReadyQueue, Slot};
use kernel_task::kernel::{ParkedCall, ParkedCalls};
use kernel_task::{Kernel, Task, current};
use platform_api::{Clock, HostTid, KernelEvents, Reply, Restart, SignalTarget, Syscall, Worker};

use crate::cx::{Cx, Outcome};
use crate::dispatch::{dispatch, dispatch_blocking};
use crate::gate::restart_of;
use crate::observe::{Ending, Observers, measured};
use crate::process::seccomp;

struct Shared {
    kernel: Arc<Kernel>,
    observers: Arc<Observers>,
}

impl Shared {
    fn finish(&self, cx: &Cx, result: SysResult<Outcome>) {
        if self.observers.is_empty() {
            self.answer(cx, result);
        } else {
            self.observers.finish(cx, Ending::Answered(&result), || self.answer(cx, result));
        }
    }

    fn answer(&self, cx: &Cx, result: SysResult<Outcome>) {
        let platform = &self.kernel.platform;
        match result {
            Ok(Outcome::Value(value)) => platform.reply(cx.call.id, Reply::Value(value)),
            Ok(Outcome::Continue) => platform.reply(cx.call.id, Reply::Continue),
            Ok(Outcome::Answered) => {}
            Ok(Outcome::Substitute { nr, args }) => {
                if let Err(error) = platform.substitute(&cx.call, nr, args) {
                    tracing::debug!(tid = cx.call.tid, %error, "substitution failed");
                }
            }
            Err(errno) => platform.reply(cx.call.id, Reply::Errno(errno)),
        }
    }

    /// Ends the process whose call made a handler panic.
    fn panicked(&self, cx: &Cx, payload: &(dyn std::any::Any + Send)) {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("panic");
        let place = current::take_panic().unwrap_or_else(|| "an unknown place".to_owned());
        let name = syscall_table::by_nr(cx.call.nr).map_or("unknown", |row| row.name);
        let (nr, args, pid, tid) = (cx.call.nr, cx.call.args, cx.process.pid, cx.guest_tid);
        let version = env!("CARGO_PKG_VERSION");
        let report = format!(
            "palisade {version}: {name} ({nr}) of process {pid}, thread {tid}, arguments {args:x?}, panicked at {place}: {text}"
        );
        tracing::error!("BUG: {report}");
        self.kernel.counts.note_panic(report);
        let _ = self.kernel.platform.send_signal(SignalTarget::Process(cx.process.tgid), Signal::SIGKILL);
        self.kernel.platform.reply(cx.call.id, Reply::Errno(Errno::EIO));
    }
}

/// Handles one call that may wait, from dispatch to answer.
async fn run(shared: Arc<Shared>, cx: Cx) {
    let mut handler = pin!(dispatch_blocking(&cx));
    let guarded = poll_fn(|context| {
        current::set(cx.task.tid);
        match catch_unwind(AssertUnwindSafe(|| measured(&cx, || handler.as_mut().poll(context)))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    });
    match guarded.await {
        Ok(result) => shared.finish(&cx, result),
        Err(payload) => shared.panicked(&cx, &*payload),
    }
}

struct CallWorker<F, M> {
    shared: Arc<Shared>,
    executor: Arc<Executor<F>>,
    slot: Slot<F>,
    make: M,
}

impl<F, M> CallWorker<F, M>
where
    F: Future<Output = ()> + Send + 'static,
    M: Fn(Arc<Shared>, Cx) -> F + Send,
{
    fn task(&self, call: &Syscall) -> Option<Arc<Task>> {
        match self.shared.kernel.task(call.tid) {
            Ok(task) => Some(task),
            Err(errno) => {
                // A thread that nobody can account for gets nothing.
                tracing::debug!(tid = call.tid, nr = call.nr, %errno, "call of an unknown thread");
                self.shared.kernel.platform.reply(call.id, Reply::Errno(Errno::ESRCH));
                None
            }
        }
    }
}

impl<F, M> Worker for CallWorker<F, M>
where
    F: Future<Output = ()> + Send + 'static,
    M: Fn(Arc<Shared>, Cx) -> F + Send,
{
    fn call(&mut self, call: Syscall) {
        let entry = self.shared.observers.enter(&*self.shared.kernel.platform);
        if let Some(task) = self.task(&call) {
            let cx = Cx { task, call, entry };
            current::set(cx.task.tid);
            if cx.task.has_seccomp()
                && let Some(refusal) = seccomp::refusal(&cx)
            {
                self.shared.finish(&cx, refusal);
                self.executor.drain();
                return;
            }
            match catch_unwind(AssertUnwindSafe(|| measured(&cx, || dispatch(&cx)))) {
                Ok(Some(result)) => self.shared.finish(&cx, result),
                Ok(None) => {
                    let task = Arc::clone(&cx.task);
                    let forks = task.forks();
                    let future = (self.make)(Arc::clone(&self.shared), cx);
                    let parked = || task.kernel().parked_now(&task, forks);
                    let now = || task.kernel().platform.now_ns(Clock::Monotonic);
                    self.executor.start(&mut self.slot, call, future, now, parked);
                }
                Err(payload) => self.shared.panicked(&cx, &*payload),
            }
        }
        self.executor.drain();
    }
}

struct Parked<F> {
    executor: Arc<Executor<F>>,
    observers: Arc<Observers>,
    kernel: Weak<Kernel>,
}

impl<F: Future<Output = ()> + Send + 'static> ParkedCalls for Parked<F> {
    fn parked(&self, tid: HostTid) -> Option<Syscall> {
        self.executor.parked_call(tid)
    }
    fn cancel(&self, tid: HostTid) -> Option<Syscall> {
        let task = if self.observers.is_empty() { None } else { self.kernel.upgrade()?.known_task(tid) };
        let (call, since_ns) = self.executor.cancel(tid)?;
        if let Some(task) = task {
            self.observers.interrupted(&task, &call, since_ns);
        }
        Some(call)
    }
    fn all(&self) -> Vec<ParkedCall> {
        self.executor.all().into_iter().map(|(call, since_ns)| ParkedCall { call, since_ns }).collect()
    }
    fn restart_of(&self, nr: i32) -> Restart {
        restart_of(nr)
    }
}

struct Events<F> {
    kernel: Arc<Kernel>,
    executor: Arc<Executor<F>>,
}

impl<F: Future<Output = ()> + Send + 'static> KernelEvents for Events<F> {
    fn exited(&self, tgid: HostTid) {
        self.kernel.process_died(tgid);
    }
    fn timer_expired(&self) {
        self.kernel.timers.run_due();
    }
    fn is_call_waiting(&self) -> bool {
        self.executor.is_any_parked()
    }
    fn drain(&self) {
        self.executor.drain();
    }
}

/// A kernel's engine: makes workers, which share what is parked.
#[derive(Clone)]
pub struct Engine {
    make: Arc<dyn Fn() -> Box<dyn Worker> + Send + Sync>,
    events: Arc<dyn KernelEvents>,
}

impl Engine {
    /// The engine of a kernel; one for each. Kernels that share objects have one queue.
    #[must_use]
    pub fn new(kernel: &Arc<Kernel>, observers: &Arc<Observers>, ready: &Arc<ReadyQueue>) -> Self {
        assemble(kernel, observers, ready, run)
    }

    /// Makes `count` workers.
    #[must_use]
    pub fn workers(&self, count: usize) -> Vec<Box<dyn Worker>> {
        std::iter::repeat_with(|| (self.make)()).take(count).collect()
    }

    /// What the platform's reactor tells.
    #[must_use]
    pub fn events(&self) -> &Arc<dyn KernelEvents> {
        &self.events
    }
}

fn assemble<F, M>(
    kernel: &Arc<Kernel>,
    observers: &Arc<Observers>,
    ready: &Arc<ReadyQueue>,
    make: M,
) -> Engine
where
    F: Future<Output = ()> + Send + 'static,
    M: Fn(Arc<Shared>, Cx) -> F + Send + Sync + Clone + 'static,
{
    let executor = Executor::new(ready);
    let parked = Parked {
        executor: Arc::clone(&executor),
        observers: Arc::clone(observers),
        kernel: Arc::downgrade(kernel),
    };
    kernel.set_parked_calls(Arc::new(parked));
    let shared = Arc::new(Shared { kernel: Arc::clone(kernel), observers: Arc::clone(observers) });
    let events = Arc::new(Events { kernel: Arc::clone(kernel), executor: Arc::clone(&executor) });
    let worker = move || -> Box<dyn Worker> {
        Box::new(CallWorker {
            shared: Arc::clone(&shared),
            slot: executor.slot(),
            executor: Arc::clone(&executor),
            make: make.clone(),
        })
    };
    Engine { make: Arc::new(worker), events }
}
