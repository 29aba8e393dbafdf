//! Faults planted behind `--cfg planted` (`cargo xtask planted`): each is found by the engine that is meant for it.
#![cfg(planted)]

use std::time::Duration;

use runtime_fuzz::campaign::{Plan, run};
use runtime_fuzz::differential::Differential;
use runtime_fuzz::engine::Engine;
use runtime_fuzz::findings::Findings;
use runtime_fuzz::grammar::{self, Selection};
use runtime_fuzz::link::Launcher;
use runtime_fuzz::process::ProcessEngine;

/// What a fault may take to be found.
const ALLOWED: Duration = Duration::from_secs(300);

/// Looks for findings whose key has this in it, for as long as is allowed.
fn finds(engine: &mut dyn Engine, of: grammar::Engine, calls: &[&str], key: &str) {
    let dir = tempfile::tempdir().expect("directory");
    let calls: Vec<String> = calls.iter().map(|call| (*call).to_owned()).collect();
    let begin = std::time::Instant::now();
    for seed in 1.. {
        let plan = Plan {
            time: Duration::from_secs(10),
            programs: u64::MAX,
            seed,
            selection: Selection::new(&calls, of).expect("calls"),
            corpus: dir.path().join("corpus"),
            out: dir.path().join("out"),
        };
        run(&plan, engine, &mut |_, _| {}).expect("a campaign");
        let findings = Findings::open(&plan.out).expect("findings");
        if let Some(found) = findings.all().keys().find(|found| found.contains(key)) {
            eprintln!("{found}: after {:?}", begin.elapsed());
            return;
        }
        assert!(begin.elapsed() < ALLOWED, "not found: {key}; found {:?}", findings.all().keys());
    }
}

#[test]
fn a_panic() {
    finds(
        &mut ProcessEngine::new(),
        grammar::Engine::Process,
        &["fd"],
        "panic crates/kernel-syscalls/src/fd/mod.rs",
    );
}

/// A lock that is taken twice: what checks their order in debug builds panics.
#[test]
fn a_deadlock() {
    finds(&mut ProcessEngine::new(), grammar::Engine::Process, &["eventfd2", "write"], "panic");
}

#[test]
fn a_leaked_descriptor() {
    finds(&mut ProcessEngine::new(), grammar::Engine::Process, &["memfd_create"], "leak of");
}

fn differential() -> Differential {
    let palisade = std::env::var_os("PALISADE").expect("PALISADE names a planted palisade");
    let fuzzer = std::path::PathBuf::from(&palisade).with_file_name("palisade-fuzz");
    Differential::new(Launcher { fuzzer, palisade: palisade.into() }).expect("both sides")
}

#[test]
fn a_wrong_errno() {
    finds(&mut differential(), grammar::Engine::Differential, &["lseek"], "lseek EINVAL but ENOTTY");
}

#[test]
fn a_lost_wake_up() {
    finds(
        &mut differential(),
        grammar::Engine::Differential,
        &["pipe2", "read", "write"],
        "read ok but waiting",
    );
}
