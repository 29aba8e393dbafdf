//! Containers made, started, joined, killed and deleted, while something of them is killed at random moments: of all
//! that, nothing may be left.
//!
//! `PALISADE_SOAK_CYCLES` says how often (`cargo xtask soak lifecycle --cycles N`); `PALISADE_SOAK_SEED` repeats a run.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use integration::bundle::Bundle;
use integration::host_state::HostState;
use integration::runtime::{Runtime, eventually, new_id, ours, reap_orphans, sleeper, spawn_quiet};
use integration::{paths, process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

/// As often as fits into a run of all tests.
const CYCLES: u64 = 30;
/// Longest time between a cycle's beginning and a kill in it: some more than a life takes on an idle machine.
const LONGEST_US: u64 = 60_000;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Numbers that look random (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(self.below(LONGEST_US))
    }
}

/// Kills one of all processes that this one has started, and theirs; says which.
fn kill_one(choice: u64) -> Option<String> {
    let own = std::process::id().cast_signed();
    let all: Vec<i32> = process::tree(own.cast_unsigned()).into_iter().filter(|pid| *pid != own).collect();
    let count = u64::try_from(all.len()).ok().filter(|count| *count > 0)?;
    let victim = *all.get(usize::try_from(choice % count).ok()?)?;
    let line = fs::read(format!("/proc/{victim}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line.split(|&b| b == 0).map(String::from_utf8_lossy).collect();
    let is_ours = words.first().is_some_and(|name| name.ends_with("palisade"));
    let command = ["create", "start", "exec", "kill", "delete", "run", "supervise", "await"];
    let name = match command.iter().find(|name| words.iter().any(|word| word == *name)) {
        Some(name) if is_ours => (*name).to_owned(),
        _ => "guest".to_owned(),
    };
    kill(Pid::from_raw(victim), Signal::SIGKILL).ok().map(|()| name)
}

/// Waits for a command that nothing may hold up.
fn end(mut child: Child, what: &str) {
    eventually(&format!("{what} ends"), || child.try_wait().expect("it is ours").is_some());
}

/// One container's life, cut short somewhere.
fn cycle(runtime: &Runtime, bundle: &Bundle, random: &mut Random) -> Option<String> {
    let id = new_id();
    let path = bundle.path().display().to_string();
    let (delay, choice) = (random.delay(), random.below(u64::MAX));
    let killer = thread::spawn(move || {
        thread::sleep(delay);
        kill_one(choice)
    });
    let step = |words: &[&str]| end(spawn_quiet(&mut runtime.command(words)), words.first().unwrap_or(&""));
    if random.below(4) == 0 {
        let child = spawn_quiet(&mut runtime.command(&["run", "--bundle", &path, &id]));
        thread::sleep(random.delay());
        step(&["delete", "--force", &id]);
        // What was not there yet when it was deleted comes, and is deleted then.
        eventually("nothing runs", || {
            step(&["delete", "--force", &id]);
            fs::read_dir(format!("/proc/{}/task", child.id())).is_err()
                || fs::read_to_string(format!("/proc/{}/stat", child.id()))
                    .is_ok_and(|stat| stat.contains(") Z "))
        });
        end(child, "run");
    } else {
        step(&["create", "--bundle", &path, &id]);
        step(&["start", &id]);
        if random.below(2) == 0 {
            step(&["exec", "--detach", &id, "sleep", "1000"]);
        }
        if random.below(2) == 0 {
            step(&["kill", &id, "KILL"]);
        }
    }
    let killed = killer.join().expect("it does not panic");
    if random.below(3) == 0 {
        let mut child = spawn_quiet(&mut runtime.command(&["delete", "--force", &id]));
        thread::sleep(random.delay() / 3);
        let _ = child.kill();
        end(child, "a delete that was killed");
    }
    step(&["delete", "--force", &id]);
    assert_eq!(runtime.ids(), 0, "{id}: {killed:?} was killed");
    reap_orphans();
    killed
}

#[test]
fn random_kills_leave_nothing() {
    let cycles = setting("PALISADE_SOAK_CYCLES").unwrap_or(CYCLES);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let seed = setting("PALISADE_SOAK_SEED").unwrap_or(now as u64 | 1);
    println!("PALISADE_SOAK_SEED={seed}");
    ours(|runtime| {
        let mut random = Random(seed);
        let bundle = sleeper().with(|config| {
            config["hooks"]["createRuntime"] = json!([{ "path": "/bin/true" }]);
            config["linux"]["resources"] = json!({ "pids": { "limit": 100 } });
        });
        let before = HostState::now();
        let started = Instant::now();
        let mut kills: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..cycles {
            if let Some(name) = cycle(runtime, &bundle, &mut random) {
                *kills.entry(name).or_default() += 1;
            }
        }
        let left = before.left_after(Duration::from_secs(20));
        println!(
            "{cycles} cycles in {:.0?}; killed: {kills:?}; left: {} processes, {} mounts, {} cgroups, {} files, {} network namespaces",
            started.elapsed(),
            left.processes.len(),
            left.mounts.len(),
            left.cgroups.len(),
            left.state.len() + runtime.ids(),
            left.networks.len(),
        );
        assert_eq!(left, HostState::default());
    });
}

#[test]
fn state_shows_what_is_left_of_a_killed_creation() {
    // The control of the count: a supervisor without its command is seen, and goes with the container.
    ours(|runtime| {
        let (bundle, id) = (sleeper(), new_id());
        let before = HostState::now();
        assert_eq!(runtime.create(&bundle, &id, &[]), 0);
        let there = HostState::now().minus(&before);
        assert!(!there.processes.is_empty() && !there.cgroups.is_empty(), "{there:?}");
        let mut command = Command::new(paths::palisade());
        command.arg("--root").arg(runtime.root.path()).args(["delete", "--force", &id]);
        end(spawn_quiet(&mut command), "delete");
    });
}
