//! Timing: batches of an operation until enough samples are there.

use std::time::{Duration, Instant};

/// How long one figure is measured, after a short warm-up.
const MEASURE: Duration = Duration::from_millis(150);
const WARM_UP: Duration = Duration::from_millis(20);
const MOST_SAMPLES: usize = 100_000;

/// The quantiles of one operation's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) p50_ns: f64,
    pub(crate) p99_ns: f64,
}

impl Summary {
    /// Of samples that took `batch` operations each.
    pub(crate) fn of(mut samples_ns: Vec<u64>, batch: u32) -> Self {
        samples_ns.sort_unstable();
        let at = |share: usize| {
            let index = (samples_ns.len() * share / 100).min(samples_ns.len().saturating_sub(1));
            samples_ns.get(index).map_or(f64::NAN, |sample| *sample as f64 / f64::from(batch))
        };
        Self { p50_ns: at(50), p99_ns: at(99) }
    }
}

/// Measures `operation`, `batch` times for each sample so that the clock's own cost vanishes.
pub(crate) fn measure(batch: u32, mut operation: impl FnMut()) -> Summary {
    measure_samples(batch, || {
        let start = Instant::now();
        (0..batch).for_each(|_| operation());
        start.elapsed()
    })
}

/// Takes samples that measure themselves; each counts for `batch` operations.
pub(crate) fn measure_samples(batch: u32, mut sample: impl FnMut() -> Duration) -> Summary {
    let begin = Instant::now();
    while begin.elapsed() < WARM_UP {
        sample();
    }
    let (begin, mut samples) = (Instant::now(), Vec::with_capacity(MOST_SAMPLES));
    while begin.elapsed() < MEASURE && samples.len() < MOST_SAMPLES {
        samples.push(u64::try_from(sample().as_nanos()).unwrap_or(u64::MAX));
    }
    Summary::of(samples, batch)
}
