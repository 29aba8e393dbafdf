//! Pods behind containerd: `ctr run` beside runc, the memory of a pod with one idle container, and many pods at once.

use std::fs;
use std::time::{Duration, Instant};

use integration::containerd::{Containerd, IMAGE, PALISADE, RUNC};
use serde_json::{Value, json};

use crate::goals::{CTR_RUN_SHARE_OF_RUNC, POD_PSS_KIB};
use crate::micro::ratio;

/// Runs of each runtime for each round of the command line.
const RUNS_A_ROUND: usize = 10;
/// Pods at once.
const MANY: usize = 200;
/// How long nothing is asked of a pod until it counts as idle.
const IDLE: Duration = Duration::from_secs(5);
const SANDBOX: &str = "io.kubernetes.cri.sandbox-id";
const KIND: &str = "io.kubernetes.cri.container-type";

pub(crate) fn run(rounds: usize) -> Vec<Value> {
    let containerd = Containerd::start();
    vec![ctr_run(&containerd, rounds * RUNS_A_ROUND), one_pod(&containerd), many_pods(&containerd)]
}

fn ctr_run(containerd: &Containerd, count: usize) -> Value {
    let once = |runtime: &str| {
        let start = Instant::now();
        containerd.must(&["run", "--rm", "--runtime", runtime, IMAGE, "bench", "/bin/true"]);
        start.elapsed().as_nanos() as f64
    };
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..count {
        for (times, runtime) in times.iter_mut().zip([PALISADE, RUNC]) {
            times.push(once(runtime));
        }
    }
    let [ours, runc] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or_default()
    });
    println!(
        "## `ctr run --rm` of /bin/true, median of {count}\n\npalisade {:.1} ms, runc {:.1} ms: {} x runc, goal \
         {CTR_RUN_SHARE_OF_RUNC}\n",
        ours / 1e6,
        runc / 1e6,
        ratio(ours / runc),
    );
    json!({ "figure": "ctr-run", "unit": "ns", "palisade": ours, "runc": runc })
}

/// A sandbox and an idle container in it.
fn start_pod(containerd: &Containerd, name: &str) {
    let sandbox = format!("{SANDBOX}={name}");
    let member = format!("{name}-idle");
    for (id, kind) in [(name, "sandbox"), (member.as_str(), "container")] {
        let kind = format!("{KIND}={kind}");
        let annotations = ["--annotation", &sandbox, "--annotation", &kind];
        let head = ["run", "-d", "--null-io", "--runtime", PALISADE];
        containerd.must(&[&head[..], &annotations, &[IMAGE, id, "sleep", "1000000"]].concat());
    }
}

fn end_pod(containerd: &Containerd, name: &str) {
    for id in [format!("{name}-idle"), name.to_owned()] {
        containerd.must(&["task", "rm", "-f", &id]);
        containerd.must(&["container", "rm", &id]);
    }
}

/// Names and PSS of a word's processes, in KiB.
fn memory(containerd: &Containerd, word: &str) -> u64 {
    containerd.processes(word).into_iter().filter_map(pss).sum()
}

fn one_pod(containerd: &Containerd) -> Value {
    start_pod(containerd, "pod");
    std::thread::sleep(IDLE);
    let (shim, supervisor) = (memory(containerd, "containerd-shim"), memory(containerd, "supervise"));
    println!(
        "## A pod of a sandbox and an idle container\n\nshim {shim} KiB, supervisor {supervisor} KiB: {} KiB PSS, goal \
         {POD_PSS_KIB}\n",
        shim + supervisor
    );
    end_pod(containerd, "pod");
    containerd.assert_clean();
    json!({ "figure": "pod-pss", "unit": "KiB", "shim": shim, "supervisor": supervisor })
}

fn many_pods(containerd: &Containerd) -> Value {
    let names: Vec<String> = (0..MANY).map(|number| format!("pod{number}")).collect();
    let timed = |each: &dyn Fn(&str)| {
        let start = Instant::now();
        names.iter().for_each(|name| each(name));
        start.elapsed() / MANY as u32
    };
    let free = available();
    let made = timed(&|name| start_pod(containerd, name));
    let used = free.saturating_sub(available()) / MANY as u64;
    let asked = timed(&|name| {
        let member = format!("{name}-idle");
        let said = containerd.must(&["task", "exec", "--exec-id", "x", &member, "echo", "hello"]);
        assert_eq!(said, "hello\n", "{member}");
    });
    let pss = (memory(containerd, "containerd-shim") + memory(containerd, "supervise")) / MANY as u64;
    let ended = timed(&|name| end_pod(containerd, name));
    containerd.assert_clean();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "## {MANY} pods at once, each of a sandbox and an idle container\n\na pod: started in {:.0} ms, exec in {:.0} ms, \
         removed in {:.0} ms; {pss} KiB PSS of shim and supervisor, {used} KiB less of the host's memory available; nothing left \
         after removal\n",
        ms(made),
        ms(asked),
        ms(ended),
    );
    json!({
        "figure": "many-pods", "pods": MANY, "unit": "ms", "start": ms(made), "exec": ms(asked), "remove": ms(ended),
        "pss-kib": pss, "used-kib": used,
    })
}

/// MemAvailable of the host, in KiB.
fn available() -> u64 {
    figure(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemAvailable:")
}

fn pss(pid: i32) -> Option<u64> {
    Some(figure(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:"))
}

fn figure(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
