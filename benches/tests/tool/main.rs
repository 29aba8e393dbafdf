//! The benchmark on itself: runtimes that are shell scripts, whose times and faults are known.

mod compare;
mod containerd;
mod faults;
mod harness;

use harness::{Bench, Fake};

#[test]
fn a_runtime_that_sleeps_is_measured_as_that() {
    let bench = Bench::new();
    let (idle, sleeper) =
        (bench.runtime("idle", Fake::Sleeps("0")), bench.runtime("sleeper", Fake::Sleeps("0.2")));
    let done = bench.run(&["start/start-to-exit", "--runs", "7", "--runtimes", &format!("{idle},{sleeper}")]);
    assert_eq!(done.status, Some(0), "{done:?}");
    let report = bench.report();
    let summary = |name| report.outcome("start-to-exit", name)["summary"].clone();
    let (idle, sleeper) = (summary("idle"), summary("sleeper"));
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    // What a shell costs beside its sleep is what the other one costs; a loaded machine adds to both.
    let slept = number(&sleeper["p50"]) - number(&idle["p50"]);
    assert!(number(&sleeper["min"]) >= 200e6, "{sleeper}");
    assert!((150e6..400e6).contains(&slept), "{slept}: {sleeper} {idle}");
    let [low, high] = [0, 1].map(|side| number(&sleeper["ci95"][side]));
    assert!(low <= number(&sleeper["p50"]) && number(&sleeper["p50"]) <= high && low >= 200e6, "{sleeper}");
}

#[test]
fn runtimes_take_turns() {
    let bench = Bench::new();
    let runtimes = ["a", "b", "c"].map(|name| bench.runtime(name, Fake::Sleeps("0"))).join(",");
    let done = bench.run(&["start/start-to-exit", "--quick", "--runs", "3", "--runtimes", &runtimes]);
    assert_eq!(done.status, Some(0), "{done:?}");
    // The first round warms up.
    assert_eq!(bench.calls("run"), ["a", "b", "c", "b", "c", "a", "c", "a", "b", "a", "b", "c"]);
}

#[test]
fn a_native_run_and_runc_give_all_figures() {
    let bench = Bench::new();
    let suites = [
        "syscall/floor",
        "start/start-to-exit",
        "start/first-instruction",
        "start/life",
        "start/exec",
        "memory",
    ];
    let options = ["--quick", "--runs", "1", "--runtimes", "native,runc"];
    let done = bench.run(&[&suites[..], &options].concat());
    assert_eq!(done.status, Some(0), "{done:?}");
    let report = bench.report();
    for figure in report.figures() {
        for outcome in figure["results"].as_array().unwrap() {
            let measured = !outcome["samples"].as_array().unwrap().is_empty();
            assert!(measured || outcome["not_applicable"].is_string(), "{figure}");
        }
    }
    let points = report.json["curves"][0]["points"].as_array().unwrap().len();
    assert!(points > 2, "{}", report.json["curves"]);
    assert!(done.stdout.contains("| run of /bin/true"), "{done:?}");
    bench.assert_nothing_left();
}

#[test]
fn reports_keep_to_their_schema() {
    let bench = Bench::new();
    let runtimes = format!(
        "{},{},gone=/does/not/exist",
        bench.runtime("idle", Fake::Sleeps("0")),
        bench.runtime("bad", Fake::Fails)
    );
    bench.run(&["start/start-to-exit", "syscall/floor", "--runs", "2", "--runtimes", &runtimes]);
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/report.schema.json");
    // Another Python than Debian's may come first on the PATH.
    let has_validator = |python: &&str| {
        let run = std::process::Command::new(python).args(["-c", "import jsonschema"]).output();
        run.is_ok_and(|output| output.status.success())
    };
    let python = ["python3", "/usr/bin/python3"].into_iter().find(has_validator);
    let python = python.expect("a Python with jsonschema (apt-get install python3-jsonschema)");
    let check = |report: &std::path::Path| {
        let script = "import json, jsonschema, sys\n\
                      jsonschema.Draft202012Validator.check_schema(json.load(open(sys.argv[1])))\n\
                      jsonschema.validate(json.load(open(sys.argv[2])), json.load(open(sys.argv[1])))";
        let mut command = std::process::Command::new(python);
        command.args(["-c", script, schema]).arg(report).output().expect("it has run before")
    };
    let said = check(&bench.report_file());
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    // The validator does look.
    let mut spoilt = bench.report().json;
    spoilt["figures"][0]["results"][0]["samples"] = "none".into();
    let file = bench.dir().join("spoilt.json");
    std::fs::write(&file, spoilt.to_string()).unwrap();
    let said = check(&file);
    assert!(String::from_utf8_lossy(&said.stderr).contains("ValidationError"), "{said:?}");
}
