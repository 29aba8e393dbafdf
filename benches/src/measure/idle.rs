//! Idle sandboxes: how much memory they take, and how that grows with their number.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::{Place, Readings};
use crate::failure::Failure;
use crate::job;
use crate::report::model::CurvePoint;
use crate::runtimes::{Bundle, RootMode, Runtime};
use crate::stop;
use crate::suite::Case;

/// The program is quiet by then, and so is what started it: some runtimes let go of memory only after some seconds.
const SETTLE: Duration = Duration::from_secs(6);
/// Two measurements of settled memory are no further apart than this share.
const STEADY: f64 = 0.01;
const MOST_SETTLING: Duration = Duration::from_secs(20);
const GIB: f64 = (1_u64 << 30) as f64;

/// Sandboxes that are removed with this value.
struct Fleet<'a> {
    runtime: &'a Runtime,
    bundle: Bundle,
    ids: Vec<String>,
}

impl<'a> Fleet<'a> {
    fn new(place: &Place<'_>, runtime: &'a Runtime) -> Result<Self, Failure> {
        let bundle = Bundle::new(place.root, RootMode::ReadOnly, &place.probe, &["/bin/sleep", "1000000"])?;
        Ok(Self { runtime, bundle, ids: Vec::new() })
    }

    fn grow(&mut self, count: usize, limit: Duration) -> Result<(), Failure> {
        while self.ids.len() < count {
            if stop::wanted() {
                return Err(Failure::Interrupted);
            }
            let id = format!("palisade-bench-{}-idle-{}", std::process::id(), self.ids.len());
            self.ids.push(id.clone());
            self.runtime.start_in_background(&self.bundle, &id, limit)?;
        }
        Ok(())
    }

    /// PSS of all processes, in bytes, once it does not change any more.
    fn settled(&self) -> f64 {
        let began = Instant::now();
        thread::sleep(SETTLE);
        let mut last = self.pss();
        while began.elapsed() < MOST_SETTLING && !stop::wanted() {
            thread::sleep(SETTLE / 6);
            let now = self.pss();
            if (now - last).abs() <= STEADY * last {
                return now;
            }
            last = now;
        }
        last
    }

    fn pss(&self) -> f64 {
        self.runtime.processes().into_iter().filter_map(pss).sum()
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        self.ids.iter().for_each(|id| self.runtime.remove(id));
        job::kill_descendants();
    }
}

pub(super) fn once(place: &Place<'_>, case: &Case, runtime: &Runtime) -> Result<Readings, Failure> {
    let mut fleet = Fleet::new(place, runtime)?;
    let mut curve = Vec::new();
    for &count in &case.counts {
        fleet.grow(count, place.limit)?;
        let pss = fleet.settled();
        let available = figure(&fs::read_to_string("/proc/meminfo")?, "MemAvailable:").unwrap_or(f64::NAN);
        curve.push(CurvePoint { sandboxes: count, pss_bytes: pss, available_bytes: available });
    }
    if stop::wanted() {
        return Err(Failure::Interrupted);
    }
    let mut figures = Vec::new();
    for figure in &case.figures {
        let value = match figure.name.as_str() {
            "one-sandbox" => curve.iter().find(|point| point.sandboxes == 1).map(|point| point.pss_bytes),
            "each-further" => Some(slope(&curve, |point| point.pss_bytes)),
            "sandboxes-per-gib" => Some(GIB / -slope(&curve, |point| point.available_bytes)),
            other => return Err(Failure::Failed(format!("no one measures {other}"))),
        };
        figures.extend(
            value.filter(|value| value.is_finite() && *value > 0.0).map(|value| (figure.name.clone(), value)),
        );
    }
    Ok(Readings { figures, curve })
}

/// Of the line through the points with the least squares.
fn slope(points: &[CurvePoint], of: impl Fn(&CurvePoint) -> f64) -> f64 {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|point| point.sandboxes as f64).sum::<f64>() / count;
    let mean_y = points.iter().map(&of).sum::<f64>() / count;
    let both = |point: &CurvePoint| (point.sandboxes as f64 - mean_x) * (of(point) - mean_y);
    let square = |point: &CurvePoint| (point.sandboxes as f64 - mean_x).powi(2);
    points.iter().map(both).sum::<f64>() / points.iter().map(square).sum::<f64>()
}

/// PSS of a process in bytes.
pub(super) fn pss(pid: i32) -> Option<f64> {
    figure(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:")
}

/// A line `NAME 123 kB`, in bytes.
fn figure(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0)
}
