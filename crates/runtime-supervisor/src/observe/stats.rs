//! Counts of calls: for metrics, and with their parts for a profile.
//!
//! Nothing is counted until somebody asks, and no longer than a while after the last question: a counter is an observer
//! with a lease. Each thread has a table of its own, whose lock nobody else takes but who asks.
//!
//! Lock order: the locks of tables are leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kernel_base::sync::Mutex;
use kernel_syscalls::{Ending, Observed, Observer, Observers, Outcome};
use kernel_task::Kernel;
use platform_api::{Clock, Syscall};
use runtime_control::observe::{BUCKETS, CallStats, Depth, Now, Parts, PathStats, Stats, bucket_of};
use rustc_hash::{FxHashMap, FxHashSet};
use syscall_table::Ty;

use super::own_slot;

/// Tables of a counter.
const TABLES: usize = 4;
/// Numbers of calls that a guest may have us count beyond those that exist go into one row.
const UNKNOWN: i32 = -1;
/// Paths that a table remembers; a guest chooses them.
const MOST_PATHS: usize = 1024;
/// How much of a path is looked at.
const PATH_LEN: usize = 256;
/// Paths that are told.
const TOLD_PATHS: usize = 50;

#[derive(Default)]
struct Row {
    succeeded: u64,
    by_host: u64,
    interrupted: u64,
    failed: BTreeMap<i32, (String, u64)>,
    buckets: [u64; BUCKETS + 1],
    total_ns: u64,
    parts: Parts,
}

#[derive(Default)]
struct Table {
    rows: FxHashMap<i32, Box<Row>>,
    paths: FxHashMap<Vec<u8>, (u64, u64)>,
}

/// A counter of one container.
pub(crate) struct Counter {
    depth: Depth,
    since_ns: u64,
    /// Monotonic time up to which somebody wants it.
    until_ns: AtomicU64,
    tables: [Mutex<Table>; TABLES],
}

impl Counter {
    fn new(depth: Depth, kernel: &Kernel) -> Arc<Self> {
        let since_ns = kernel.platform.now_ns(Clock::Realtime);
        Arc::new(Self { depth, since_ns, until_ns: AtomicU64::new(0), tables: Default::default() })
    }

    /// Goes on for `lease` from now on.
    fn renew(self: &Arc<Self>, lease: Duration, observers: &Observers, kernel: &Kernel) {
        let lease = u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX);
        let until = kernel.platform.now_ns(Clock::Monotonic).saturating_add(lease);
        self.until_ns.fetch_max(until, Ordering::Relaxed);
        let observer: Arc<dyn Observer> = Arc::<Self>::clone(self);
        observers.keep(&observer, &*kernel.platform);
    }

    /// Counts no more.
    fn finish(self: &Arc<Self>, observers: &Observers, kernel: &Kernel) {
        let observer: Arc<dyn Observer> = Arc::<Self>::clone(self);
        observers.remove(&observer, &*kernel.platform);
    }

    fn count_path(&self, observed: &Observed<'_>, table: &mut Table, path: Vec<u8>) {
        let path =
            if table.paths.len() < MOST_PATHS || table.paths.contains_key(&path) { path } else { Vec::new() };
        let (count, total_ns) = table.paths.entry(path).or_default();
        (*count, *total_ns) = (*count + 1, *total_ns + observed.times.run_ns);
    }

    /// What has been counted.
    fn stats(&self) -> Stats {
        let (mut rows, mut paths) =
            (BTreeMap::<i32, CallStats>::new(), FxHashMap::<Vec<u8>, PathStats>::default());
        for table in &self.tables {
            let table = table.lock();
            for (&nr, row) in &table.rows {
                row.add_to(rows.entry(nr).or_insert_with(|| CallStats { nr, ..CallStats::default() }));
            }
            for (path, (count, total_ns)) in &table.paths {
                let sum = paths.entry(path.clone()).or_default();
                (sum.count, sum.total_ns) = (sum.count + count, sum.total_ns + total_ns);
            }
        }
        let named = |(path, sum): (Vec<u8>, PathStats)| PathStats { path: crate::error::shown(&path), ..sum };
        let mut paths: Vec<PathStats> = paths.into_iter().map(named).collect();
        paths.sort_by(|a, b| b.total_ns.cmp(&a.total_ns).then_with(|| a.path.cmp(&b.path)));
        paths.truncate(TOLD_PATHS);
        Stats { since_ns: self.since_ns, calls: rows.into_values().collect(), paths, now: Now::default() }
    }
}

impl Row {
    fn add(&mut self, observed: &Observed<'_>) {
        match observed.ending {
            Ending::Answered(Ok(Outcome::Value(_))) => self.succeeded += 1,
            Ending::Answered(Ok(_)) => self.by_host += 1,
            Ending::Answered(Err(errno)) => {
                let name = || errno.name().map_or_else(|| errno.raw().to_string(), str::to_owned);
                self.failed.entry(errno.raw()).or_insert_with(|| (name(), 0)).1 += 1;
            }
            Ending::Interrupted => self.interrupted += 1,
        }
        let (times, parts) = (&observed.times, &mut self.parts);
        // One that had begun before somebody looked has no duration.
        if times.begun_ns != 0 {
            if let Some(bucket) = self.buckets.get_mut(bucket_of(times.total_ns)) {
                *bucket += 1;
            }
            self.total_ns += times.total_ns;
        }
        parts.entry_ns += times.entry_ns;
        parts.run_ns += times.run_ns;
        parts.host_calls += times.spent.host_calls;
        parts.host_ns += times.spent.host_ns;
        parts.copies += times.spent.copies;
        parts.copy_ns += times.spent.copy_ns;
    }

    fn add_to(&self, sum: &mut CallStats) {
        sum.succeeded += self.succeeded;
        sum.by_host += self.by_host;
        sum.interrupted += self.interrupted;
        for (&errno, (name, count)) in &self.failed {
            match sum.failed.iter_mut().find(|(known, _, _)| *known == errno) {
                Some((_, _, all)) => *all += count,
                None => sum.failed.push((errno, name.clone(), *count)),
            }
        }
        sum.buckets.resize(BUCKETS + 1, 0);
        sum.buckets.iter_mut().zip(&self.buckets).for_each(|(all, own)| *all += own);
        sum.total_ns += self.total_ns;
        let (all, own) = (&mut sum.parts, &self.parts);
        all.entry_ns += own.entry_ns;
        all.run_ns += own.run_ns;
        all.host_calls += own.host_calls;
        all.host_ns += own.host_ns;
        all.copies += own.copies;
        all.copy_ns += own.copy_ns;
        all.answer_ns += own.answer_ns;
    }
}

/// Numbers that exist, and one for all others.
fn row_number(call: &Syscall) -> i32 {
    syscall_table::by_nr(call.nr).map_or(UNKNOWN, |_| call.nr)
}

/// The first path among a call's arguments.
fn path_of(observed: &Observed<'_>) -> Option<Vec<u8>> {
    let row = syscall_table::by_nr(observed.call.nr)?;
    let at = row.args.iter().position(|arg| arg.ty == Ty::Path)?;
    let mut bytes = [0; PATH_LEN];
    let address = *observed.call.args.get(at)?;
    // Not across a page that may not be there.
    let len = PATH_LEN.min(4096 - (address % 4096) as usize);
    let got = observed.task.mem().read_partial(address, bytes.get_mut(..len)?).ok()?;
    let text = bytes.get(..got)?;
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
    Some(text.get(..end)?.to_vec()).filter(|path| !path.is_empty())
}

impl Observer for Counter {
    fn call(&self, observed: &Observed<'_>) {
        let path = if self.depth == Depth::Parts { path_of(observed) } else { None };
        let Some(table) = self.tables.get(own_slot() % TABLES) else { return };
        let mut table = table.lock();
        table.rows.entry(row_number(observed.call)).or_default().add(observed);
        if let Some(path) = path {
            self.count_path(observed, &mut table, path);
        }
    }

    fn answered(&self, call: &Syscall, ns: u64) {
        let Some(table) = self.tables.get(own_slot() % TABLES) else { return };
        table.lock().rows.entry(row_number(call)).or_default().parts.answer_ns += ns;
    }

    fn meters(&self) -> bool {
        self.depth == Depth::Parts
    }

    fn has_expired(&self, now_ns: u64) -> bool {
        now_ns > self.until_ns.load(Ordering::Relaxed)
    }
}

/// The counters of a container: of calls, and of their parts.
#[derive(Default)]
pub(crate) struct Counters {
    counts: Mutex<Option<Arc<Counter>>>,
    parts: Mutex<Option<Arc<Counter>>>,
}

impl Counters {
    /// Counts for `lease` from now on, without one no longer, and tells what was counted so far.
    pub(crate) fn ask(
        &self,
        depth: Depth,
        lease: Duration,
        observers: &Observers,
        kernel: &Arc<Kernel>,
    ) -> Stats {
        let mut slot = match depth {
            Depth::Counts => self.counts.lock(),
            Depth::Parts => self.parts.lock(),
        };
        let counter = Arc::clone(slot.get_or_insert_with(|| Counter::new(depth, kernel)));
        if lease.is_zero() {
            counter.finish(observers, kernel);
            *slot = None;
        } else {
            counter.renew(lease, observers, kernel);
        }
        drop(slot);
        Stats { now: now(kernel, observers), ..counter.stats() }
    }
}

/// What a container holds at this moment.
fn now(kernel: &Arc<Kernel>, observers: &Observers) -> Now {
    let processes = kernel.processes();
    let mut tables = FxHashSet::default();
    let mut descriptors = 0;
    for process in &processes {
        if tables.insert(process.files.identity()) {
            descriptors += process.files.list().len() as u64;
        }
    }
    Now {
        parked: kernel.waiting().len() as u64,
        processes: processes.len() as u64,
        threads: processes.iter().map(|process| process.tasks().len() as u64).sum(),
        descriptors,
        gate_refusals: kernel.counts.gate_refusals.load(Ordering::Relaxed),
        panics: kernel.counts.panics.load(Ordering::Relaxed),
        observers: observers.count() as u64,
    }
}
