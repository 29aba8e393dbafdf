//! Resources used up from inside: the guest's own trouble, and nobody else's.

use integration::bundle::Bundle;
use integration::runner::{Runner, Sandbox};
use integration::{paths, roots, runtime};
use serde_json::json;

use crate::programs;
use crate::waiting::{Waiting, status_line};

/// Most memory that a supervisor may have had when one program has used up one resource: the bound
/// that SECURITY.md states.
const MOST_MB: u64 = 400;

/// What to exhaust, and what the limit answers.
const BOMBS: &[(&str, &str)] = &[
    ("descriptors", "EMFILE"),
    ("pipes", "EMFILE"),
    ("sockets", "EMFILE"),
    ("timers", "EAGAIN"),
    ("watches", "ENOSPC"),
    ("epolls", "ELOOP"),
    ("directories", "ERANGE|ENAMETOOLONG"),
    ("names", "ELOOP"),
    ("iovecs", "EINVAL"),
    ("mappings", "ENOMEM"),
    ("memory_files", "ENOSPC"),
    ("locks", "ENOLCK"),
    ("segments", "ENOSPC"),
    ("arguments", "E2BIG"),
];

#[test]
fn exhausted_resources_are_the_guests_own_trouble() {
    if !paths::palisade_is_wanted() {
        return;
    }
    for (what, errnos) in BOMBS {
        let sandbox = Sandbox::on(&roots::debian()).with_volume(programs(), "/t");
        let mut command = Runner::Palisade(sandbox).command(&["/t/guest_escape", "exhaust", what]);
        let waiting = Waiting::start(&mut command, "full");
        let last = waiting.said.last().expect("a line").clone();
        let peak = status_line(waiting.child.id().cast_signed(), "VmHWM");
        let kilobytes: u64 = peak.trim_end_matches(" kB").parse().expect("a number");
        println!("{what}: {:?}, supervisor at most {} MB", waiting.said, kilobytes / 1024);
        assert!(errnos.split('|').any(|errno| last.ends_with(&format!(" {errno}"))), "{what}: {last}");
        assert!(kilobytes / 1024 <= MOST_MB, "{what}: {peak}");
        // Others feel nothing, and neither does the host: it has descriptors, memory and processes left.
        let other = Runner::Palisade(Sandbox::on(&roots::debian())).run(&["sh", "-c", "echo fine | cat"]);
        assert_eq!((other.stdout.as_str(), other.status), ("fine\n", 0), "beside {what}: {other:?}");
        assert_eq!(waiting.end(), 0, "{what}");
    }
}

#[test]
fn thread_and_fork_bombs_end_at_the_cgroups_limit() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let _alone = runtime::alone();
    for what in ["threads", "processes"] {
        let bind =
            json!({ "destination": "/t", "type": "bind", "source": programs(), "options": ["rbind", "ro"] });
        let script = format!("/t/guest_escape exhaust {what} </dev/null; sleep 0; echo alive");
        let bundle = Bundle::new(&roots::debian(), &["bash", "-c", &script]).with(|config| {
            config["mounts"].as_array_mut().expect("a list").push(bind);
            config["linux"]["resources"] = json!({ "pids": { "limit": 200 } });
            config["linux"]["cgroupsPath"] = json!(format!("/palisade-escape-{}", std::process::id()));
        });
        for program in runtime::runtimes() {
            let done = runtime::run(&program, &bundle);
            println!("{}: {done:?}", program.display());
            assert!(done.stdout.contains(&format!("full {what} EAGAIN")), "{done:?}");
        }
    }
}

#[test]
fn files_in_memory_end_at_the_containers_limit() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let _alone = runtime::alone();
    // Two instances, each of which would allow more than the container has.
    let script = "for dir in /one /two; do dd if=/dev/zero of=$dir/file bs=1M count=100 2>&1 | grep -o 'No space.*'; done; \
                  cat /one/file /two/file | wc -c";
    let mount =
        |at: &str| json!({ "destination": at, "type": "tmpfs", "source": "t", "options": ["size=1g"] });
    let bundle = Bundle::new(&roots::debian(), &["bash", "-c", script]).with(|config| {
        config["mounts"].as_array_mut().expect("a list").extend([mount("/one"), mount("/two")]);
        config["linux"]["resources"] = json!({ "memory": { "limit": 64 << 20 } });
        config["linux"]["cgroupsPath"] = json!(format!("/palisade-escape-{}", std::process::id()));
    });
    let done = runtime::run(&paths::palisade(), &bundle);
    println!("{done:?}");
    let bytes: u64 = done.stdout.lines().last().and_then(|line| line.trim().parse().ok()).expect("a length");
    assert!(done.stdout.starts_with("No space left on device\nNo space left on device\n"), "{done:?}");
    assert!((60 << 20..=64 << 20).contains(&bytes), "{bytes}");
}
