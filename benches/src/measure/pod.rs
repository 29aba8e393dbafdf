//! Pods behind containerd: a sandbox and an idle container in it, by the annotations with which CRI joins them.

use std::thread;
use std::time::{Duration, Instant};

use super::{Place, Readings, idle, life, nanoseconds};
use crate::failure::Failure;
use crate::job;
use crate::runtimes::{Bundle, Containerd, Kind, RootMode, Runtime};
use crate::stop;
use crate::suite::Case;

/// How long nothing is asked of pods until they count as idle.
const IDLE: Duration = Duration::from_secs(6);

/// Pods that are removed with this value.
struct Pods<'a> {
    containerd: &'a Containerd,
    bundle: Bundle,
    names: Vec<String>,
}

impl Pods<'_> {
    fn start(&mut self, name: String, limit: Duration) -> Result<(), Failure> {
        self.names.push(name.clone());
        for (id, kind) in [(name.clone(), "sandbox"), (member(&name), "container")] {
            let sandbox = format!("io.kubernetes.cri.sandbox-id={name}");
            let kind = format!("io.kubernetes.cri.container-type={kind}");
            let annotations = ["--annotation", sandbox.as_str(), "--annotation", kind.as_str()];
            job::run(&mut self.containerd.run_detached(&self.bundle, &id, &annotations), limit)?.success()?;
        }
        Ok(())
    }

    fn remove(&mut self) {
        for name in std::mem::take(&mut self.names) {
            self.containerd.remove(&member(&name));
            self.containerd.remove(&name);
        }
    }
}

impl Drop for Pods<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

fn member(pod: &str) -> String {
    format!("{pod}-idle")
}

pub(super) fn once(place: &Place<'_>, case: &Case, runtime: &Runtime) -> Result<Readings, Failure> {
    let Kind::Containerd(containerd) = &runtime.kind else {
        return Err(Failure::NotApplicable("pods are containerd's"));
    };
    if case.counts.is_empty() {
        return life::start_to_exit(place, case, runtime);
    }
    let count = case.counts.first().copied().unwrap_or(1);
    let bundle = Bundle::new(place.root, RootMode::ReadOnly, &place.probe, &["/bin/sleep", "1000000"])?;
    let mut pods = Pods { containerd, bundle, names: Vec::new() };
    let began = Instant::now();
    for number in 0..count {
        if stop::wanted() {
            return Err(Failure::Interrupted);
        }
        pods.start(format!("palisade-bench-{}-pod{number}", std::process::id()), place.limit)?;
    }
    let started = began.elapsed();
    thread::sleep(IDLE);
    let pss: f64 = containerd.processes().into_iter().filter_map(idle::pss).sum();
    let began = Instant::now();
    for name in &pods.names {
        job::run(&mut containerd.exec(&member(name), &["/bin/true"]), place.limit)?.success()?;
    }
    let asked = began.elapsed();
    let began = Instant::now();
    pods.remove();
    let removed = began.elapsed();
    // A suite's figures have names of their own, so those of many pods say how many.
    let figures = [
        ("start", nanoseconds(started)),
        ("exec", nanoseconds(asked)),
        ("remove", nanoseconds(removed)),
        ("pss", pss),
    ];
    let figures = figures.map(|(name, sum)| (format!("{}-{name}", case.name), sum / count as f64)).to_vec();
    Ok(Readings { figures, curve: Vec::new() })
}
