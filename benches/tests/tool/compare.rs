//! `compare` finds what became slower, and nothing else.

use std::fs;

use crate::harness::{Bench, Done, Fake, done};

/// A report of one fake runtime, under the name `rt`. What it says does not depend on how busy the machine is.
fn measured(bench: &Bench, nanoseconds: u32, name: &str) -> String {
    let runtime = bench.runtime("rt", Fake::Says(nanoseconds));
    let run = bench.run(&["syscall/calls", "--runs", "8", "--runtimes", &runtime]);
    assert_eq!(run.status, Some(0), "{run:?}");
    let path = bench.dir().join(name);
    fs::copy(bench.report_file(), &path).unwrap();
    path.display().to_string()
}

fn compare(bench: &Bench, old: &str, new: &str) -> Done {
    done(&mut bench.tool(&["compare", old, new]))
}

#[test]
fn a_fifth_more_is_found_and_equal_runs_are_equal() {
    let bench = Bench::new();
    let [old, same, slow] =
        [(100, "old"), (100, "same"), (120, "slow")].map(|(s, name)| measured(&bench, s, name));
    let found = compare(&bench, &old, &slow);
    assert_eq!(found.status, Some(1), "{found:?}");
    assert!(found.stdout.contains("WORSE") && found.stdout.contains("1 worse"), "{found:?}");
    let faster = compare(&bench, &slow, &old);
    assert_eq!(faster.status, Some(0), "{faster:?}");
    assert!(faster.stdout.contains("1 better"), "{faster:?}");
    let equal = compare(&bench, &old, &same);
    assert_eq!(equal.status, Some(0), "{equal:?}");
    assert!(equal.stdout.contains("0 worse, 0 better, 1 the same"), "{equal:?}");
}

#[test]
fn too_few_runs_tell_nothing_and_bad_files_are_refused() {
    let bench = Bench::new();
    let runtime = bench.runtime("rt", Fake::Sleeps("0"));
    bench.run(&["start/start-to-exit", "--runs", "2", "--runtimes", &runtime]);
    let report = bench.report_file().display().to_string();
    let few = compare(&bench, &report, &report);
    assert!(few.status == Some(0) && few.stdout.contains("1 with too few runs"), "{few:?}");
    let bad = bench.dir().join("bad.json").display().to_string();
    fs::write(&bad, "{\"format\": 1}").unwrap();
    for (old, new) in [(&bad, &report), (&report, &"/does/not/exist".to_owned())] {
        let refused = compare(&bench, old, new);
        assert_eq!(refused.status, Some(2), "{refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    }
}
