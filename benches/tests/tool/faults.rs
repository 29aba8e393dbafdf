//! Runtimes that fail or hang, and users who ask for what there is not, want two at once, or stop in the middle.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Bench, Fake, done, eventually};

#[test]
fn a_runtime_that_fails_is_reported_with_its_words() {
    let bench = Bench::new();
    let runtimes = format!(
        "{},{},gone=/does/not/exist",
        bench.runtime("good", Fake::Sleeps("0")),
        bench.runtime("bad", Fake::Fails)
    );
    let run = bench.run(&["start/start-to-exit", "--runs", "3", "--runtimes", &runtimes]);
    assert_eq!(run.status, Some(1), "{run:?}");
    let report = bench.report();
    assert_eq!(report.outcome("start-to-exit", "good")["samples"].as_array().unwrap().len(), 3);
    let error = report.outcome("start-to-exit", "bad")["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("status 7: the disk is on fire"), "{error}");
    assert!(
        run.stdout.contains("the disk is on fire") && run.stdout.contains("/does/not/exist does not exist"),
        "{run:?}"
    );
    let html = fs::read_to_string(bench.dir().join("out/report.html")).unwrap();
    assert!(html.contains("the disk is on fire"));
}

#[test]
fn a_runtime_that_hangs_is_killed_with_its_children() {
    let bench = Bench::new();
    let runtimes =
        format!("{},{}", bench.runtime("good", Fake::Sleeps("0")), bench.runtime("stuck", Fake::Hangs));
    let run = bench.run(&["start/start-to-exit", "--runs", "2", "--limit", "2", "--runtimes", &runtimes]);
    assert_eq!(run.status, Some(1), "{run:?}");
    let error = bench.report().outcome("start-to-exit", "stuck")["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("hung: killed with all its processes after 2 s"), "{error}");
    // Once is enough.
    assert_eq!(bench.calls("run").iter().filter(|name| *name == "stuck").count(), 1);
    bench.assert_nothing_left();
}

#[test]
fn an_interrupt_keeps_what_was_measured() {
    let bench = Bench::new();
    let runtime = bench.runtime("rt", Fake::Sleeps("0.1"));
    let mut command =
        bench.command(&["start/start-to-exit", "start/exec", "--runs", "500", "--runtimes", &runtime]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("five runs", || bench.calls("run").len() >= 5);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("**Interrupted"), "{output:?}");
    let report = bench.report();
    assert_eq!(report.json["interrupted"], true);
    assert!(!report.outcome("start-to-exit", "rt")["samples"].as_array().unwrap().is_empty());
    bench.assert_nothing_left();
}

#[test]
fn a_second_benchmark_is_refused() {
    let bench = Bench::new();
    let runtime = bench.runtime("rt", Fake::Sleeps("0.1"));
    let mut command = bench.command(&["start/start-to-exit", "--runs", "500", "--runtimes", &runtime]);
    let mut first = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually("it measures", || bench.calls("run").len() >= 2);
    let second = done(&mut bench.command(&["start/start-to-exit", "--runtimes", &runtime]));
    kill(Pid::from_raw(first.id().cast_signed()), Signal::SIGTERM).unwrap();
    first.wait().unwrap();
    assert_eq!(second.status, Some(2), "{second:?}");
    assert!(second.stderr.starts_with("palisade bench: another benchmark runs (process "), "{second:?}");
}

#[test]
fn a_full_disk_costs_the_files_and_nothing_else() {
    let bench = Bench::new();
    let runtime = bench.runtime("rt", Fake::Sleeps("0"));
    let out = bench.dir().join("full");
    fs::create_dir(&out).unwrap();
    // Room for the first file, but not for all.
    let script =
        "mount -t tmpfs -o size=12k tmpfs \"$1\"; shift; \"$@\"; status=$?; ls -A \"$0\"; exit $status";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script])
        .arg(&out)
        .arg(&out)
        .arg(env!("CARGO_BIN_EXE_palisade-bench"));
    command.args(["start/start-to-exit", "--runs", "2", "--runtimes", &runtime, "--cache"]);
    command.arg(bench.dir().join("cache")).arg("--out").arg(&out);
    let run = done(&mut command);
    assert_eq!(run.status, Some(2), "{run:?}");
    let last = run.stderr.lines().last().unwrap();
    assert!(
        last.contains("cannot write the report to") && last.contains("No space left on device"),
        "{run:?}"
    );
    // The figures are on the terminal, and no file of the report is left, nor half of one.
    assert!(run.stdout.contains("| run of /bin/true"), "{run:?}");
    assert!(!run.stdout.contains("report.") && !run.stdout.contains(".tmp"), "{run:?}");
}

#[test]
fn what_there_is_not_is_refused_in_one_line() {
    let bench = Bench::new();
    for (args, said) in [
        (&["nonsense"][..], "no suite nonsense; there are: syscall, start"),
        (&["start/nonsense"], "suite start has no case nonsense"),
        (&["start", "--runtimes", "runk"], "no runtime runk; known are native, runc"),
        (&["start", "--runtimes", "runc,runc"], "two runtimes are called runc"),
        (&["start", "--runtimes", "runc", "--baseline", "crun"], "the baseline crun is none of the runtimes"),
        (&["pods"], "suite pods needs --via containerd"),
        (&["start", "--pin", "100000"], "there is no CPU 100000"),
        (&["start", "--via", "containerd=/does/not/exist"], "no containerd at /does/not/exist"),
    ] {
        let refused = done(&mut bench.command(args));
        assert_eq!(refused.status, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(said), "{refused:?}");
        assert_eq!((refused.stderr.lines().count(), refused.stdout.as_str()), (1, ""), "{refused:?}");
    }
    let unwritable = done(&mut bench.tool(&["start", "--out", "/proc/nowhere"]));
    assert!(unwritable.status == Some(2) && unwritable.stderr.contains("/proc/nowhere"), "{unwritable:?}");
}
