//! Measures one case under one runtime, once.

mod idle;
mod life;
mod pod;
mod program;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::failure::Failure;
use crate::report::model::CurvePoint;
use crate::runtimes::Runtime;
use crate::suite::{Case, Driver, Suite};

/// What one run gave.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    /// Figures by name.
    pub(crate) figures: Vec<(String, f64)>,
    /// How memory grows with the number of sandboxes.
    pub(crate) curve: Vec<CurvePoint>,
}

impl Readings {
    fn one(name: &str, value: f64) -> Self {
        Self { figures: vec![(name.to_owned(), value)], curve: Vec::new() }
    }
}

/// Where and how runs take place.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) suite: &'a Suite,
    pub(crate) root: &'a Path,
    pub(crate) probe: PathBuf,
    /// The one CPU for all of it.
    pub(crate) pin: Option<usize>,
    pub(crate) limit: Duration,
}

impl Place<'_> {
    /// The same command on one CPU, if that is wanted: what it starts inherits that.
    fn pinned(&self, command: Command) -> Command {
        let Some(cpu) = self.pin else { return command };
        let mut outer = Command::new("taskset");
        outer.args(["-c", &cpu.to_string()]).arg(command.get_program()).args(command.get_args());
        outer
    }
}

/// One run.
pub(crate) fn once(place: &Place<'_>, case: &Case, runtime: &Runtime) -> Result<Readings, Failure> {
    if let Err(reason) = &runtime.program {
        return Err(Failure::Failed(reason.clone()));
    }
    if case.only.as_ref().is_some_and(|only| *only != runtime.name) {
        return Err(Failure::NotApplicable("it is measured elsewhere"));
    }
    match place.suite.driver {
        Driver::Program => program::once(place, case, runtime),
        Driver::Life => life::once(place, case, runtime),
        Driver::Idle => idle::once(place, case, runtime),
        Driver::Pod => pod::once(place, case, runtime),
    }
}

/// Does something with a container of an id that no other has; removes what is left of it when that fails.
fn with_container<T>(runtime: &Runtime, body: impl FnOnce(&str) -> Result<T, Failure>) -> Result<T, Failure> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let id = format!("palisade-bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let result = body(&id);
    if result.is_err() {
        runtime.remove(&id);
    }
    result
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
