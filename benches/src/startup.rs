//! Start to exit of /bin/true from a bundle, and the memory of an idle sandbox.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use integration::bundle::Bundle;
use integration::{process, roots};
use serde_json::{Value, json};

use crate::goals::{IDLE_PSS_KIB, LIFE_SHARE_OF_RUNC, START_SHARE_OF_RUNC};
use crate::micro::ratio;
use crate::runtimes::Runtime;
use crate::table::{Table, time};

/// Starts of each runtime for each round of the command line.
const STARTS_A_ROUND: usize = 10;

pub(crate) fn run(rounds: usize) -> Vec<Value> {
    let mut result = start_to_exit(rounds * STARTS_A_ROUND);
    result.extend(life_cycle(rounds * STARTS_A_ROUND));
    result.extend(idle_memory());
    result
}

fn start_to_exit(count: usize) -> Vec<Value> {
    let bundle = Bundle::new(&roots::busybox(), &["/bin/true"]);
    println!("## `RUNTIME run` of /bin/true, start to exit\n");
    let once = |runtime: Runtime| {
        let mut command = runtime.run_bundle(bundle.path())?;
        let start = Instant::now();
        succeeds(&mut command).then(|| start.elapsed().as_nanos() as f64)
    };
    compare("start-to-exit", START_SHARE_OF_RUNC, count, once)
}

fn life_cycle(count: usize) -> Vec<Value> {
    let bundle = Bundle::new(&roots::busybox(), &["/bin/true"]);
    println!("## `RUNTIME create`, `start`, exit of /bin/true, `delete`\n");
    let once = |runtime: Runtime| {
        let start = Instant::now();
        live_once(runtime, &bundle).then(|| start.elapsed().as_nanos() as f64)
    };
    compare("life-cycle", LIFE_SHARE_OF_RUNC, count, once)
}

/// As a container engine does it, which learns of the end from the host.
fn live_once(runtime: Runtime, bundle: &Bundle) -> bool {
    let id = Runtime::new_id();
    let pid_file = bundle.path().join("pid");
    let Some(mut create) = runtime.command("create") else { return false };
    create.arg("--bundle").arg(bundle.path()).arg("--pid-file").arg(&pid_file).arg(&id);
    let of_container = |verb| runtime.command(verb).is_some_and(|mut command| succeeds(command.arg(&id)));
    let lived = succeeds(&mut create) && of_container("start") && {
        let pid = fs::read_to_string(&pid_file).unwrap_or_default();
        while is_alive(pid.trim()) {
            thread::sleep(Duration::from_micros(200));
        }
        of_container("delete")
    };
    if !lived {
        // It may never have come to be.
        let _ = runtime.command("delete").map(|mut command| succeeds(command.arg("--force").arg(&id)));
    }
    lived
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}

fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Measures `once`, in nanoseconds, for all runtimes in turn, and prints the table.
fn compare(
    figure: &str,
    share_of_runc: f64,
    count: usize,
    once: impl Fn(Runtime) -> Option<f64>,
) -> Vec<Value> {
    let mut samples: Vec<(Runtime, Vec<f64>)> = Runtime::ALL
        .into_iter()
        .filter(|runtime| once(*runtime).is_some())
        .map(|runtime| (runtime, Vec::new()))
        .collect();
    for _ in 0..count {
        for (runtime, times) in &mut samples {
            times.extend(once(*runtime));
        }
    }
    let quantile = |times: &[f64], share: usize| {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted
            .get((sorted.len() * share / 100).min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or(f64::NAN)
    };
    let runc = samples
        .iter()
        .find(|(runtime, _)| *runtime == Runtime::Runc)
        .map_or(f64::NAN, |(_, times)| quantile(times, 50));
    let mut table = Table::new(&["runtime", "p50", "p99", "of runc", "goal"]);
    let mut result = Vec::new();
    for (runtime, times) in &samples {
        let (p50, p99) = (quantile(times, 50), quantile(times, 99));
        let goal =
            if *runtime == Runtime::Palisade { format!("{share_of_runc} of runc") } else { String::new() };
        table.row(vec![runtime.name().to_owned(), time(p50), time(p99), ratio(p50 / runc), goal]);
        result.push(
            json!({ "figure": figure, "runtime": runtime.name(), "unit": "ns", "p50": p50, "p99": p99 }),
        );
    }
    println!("{table}");
    result
}

/// PSS of everything that Palisade runs for a sandbox that sleeps, without the sleeping program itself.
fn idle_memory() -> Option<Value> {
    let mut command = Command::new(Runtime::Palisade.program()?);
    let root = roots::busybox();
    command.args(["do", "--rootfs"]).arg(root).args(["--", "/bin/sleep", "1000"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
    thread::sleep(Duration::from_secs(1));
    // From the root down: the supervisor, the container's init, the program. (The host knows both guests by the name
    // of the loader.)
    let names = ["supervisor", "init", "the program"];
    let tree = process::tree(child.id());
    let processes: Vec<_> =
        names.into_iter().zip(tree).filter_map(|(name, pid)| Some((name, pss(pid)?))).collect();
    process::kill_tree(child.id());
    // Only to reap it.
    let _ = child.wait();
    let own: u64 = processes.iter().take(2).map(|(_, pss)| pss).sum();
    let list: Vec<String> = processes.iter().map(|(name, pss)| format!("{name} {pss} KiB")).collect();
    println!("## PSS of an idle sandbox\n\n{} KiB, goal {IDLE_PSS_KIB} KiB ({})", own, list.join(", "));
    Some(json!({ "figure": "idle-pss", "unit": "KiB", "palisade": own, "processes": list }))
}

/// PSS of a process, in KiB.
fn pss(pid: i32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
