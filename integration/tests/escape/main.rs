//! Ways out of a sandbox, tried from inside (`guest_escape`), while this side looks whether anything came out.
//!
//! Those that hold under any Linux run natively and under runc as well. `cargo xtask soak races` runs the races for a
//! million rounds (ESCAPE_ROUNDS).

mod ground;
mod resources;
mod waiting;

use std::fs;
use std::path::Path;

use integration::bundle::Bundle;
use integration::process::{self, Finished};
use integration::runner::{Runner, Sandbox};
use integration::{paths, roots, runtime};
use nix::fcntl::{FcntlArg, fcntl};
use serde_json::json;

use crate::ground::{Ground, TOKEN};
use crate::waiting::{Waiting, status_line};

const PROGRAM: &str = env!("CARGO_BIN_EXE_guest_escape");
/// Longest run of all checks; a million rounds take longer.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(200);

fn programs() -> &'static Path {
    Path::new(PROGRAM).parent().expect("a program is in a directory")
}

fn rounds() -> Option<String> {
    std::env::var("ESCAPE_ROUNDS").ok()
}

/// What a guest must not change on the host.
fn settings() -> Vec<String> {
    let files = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/sys/kernel/uevent_helper"];
    files.iter().map(|file| fs::read_to_string(file).unwrap_or_default()).collect()
}

fn assert_passed(done: &Finished) {
    println!("{done:?}");
    assert!(done.status == 0 && !done.hung && !done.stderr.contains("BUG"), "{done:?}");
    assert!(!done.stdout.contains("FAIL"), "{done:?}");
}

#[test]
fn ways_that_linux_shuts_are_shut_natively_and_under_runc() {
    let mut command = Runner::Native.command(&[PROGRAM]);
    assert_passed(&process::run_within(&mut command, b"", LIMIT));
    let bind =
        json!({ "destination": "/t", "type": "bind", "source": programs(), "options": ["rbind", "ro"] });
    let bundle = Bundle::new(&roots::debian(), &["/t/guest_escape"]).with(|config| {
        config["mounts"].as_array_mut().expect("a list").push(bind);
    });
    assert_passed(&runtime::run(&runtime::runc(), &bundle));
    if paths::palisade_is_wanted() {
        assert_passed(&runtime::run(&paths::palisade(), &bundle));
    }
}

fn all_ways(strict: &[&str]) {
    if !paths::palisade_is_wanted() {
        return;
    }
    let ground = Ground::new();
    let (before, values) = (ground.look(), settings());
    let sandbox = strict.iter().fold(ground.sandbox(), |sandbox, option| sandbox.with_option(*option));
    let mut command = Runner::Palisade(sandbox).command(&["/t/guest_escape", "inside"]);
    let limit = if rounds().is_some() { LIMIT * 1000 } else { LIMIT };
    assert_passed(&process::run_within(&mut command, b"", limit));
    assert_eq!(before, ground.look(), "something outside of the volume has changed");
    assert_eq!(values, settings(), "a setting of the host has changed");
}

#[test]
fn ways_out_of_a_sandbox_are_shut() {
    all_ways(&[]);
}

#[test]
fn ways_out_of_a_strict_sandbox_are_shut() {
    all_ways(&["--strict"]);
}

#[test]
fn guests_have_no_rights_on_the_host() {
    if !paths::palisade_is_wanted() {
        return;
    }
    // Setuid programs of the image, and all capabilities inside, change nothing about the host's process.
    let script = "id -u; sleep 1000 & su -s /bin/sh nobody -c 'sleep 1000' & sleep 0.5; echo ready; cat";
    let sandbox = Sandbox::on(&roots::debian());
    let waiting = Waiting::start(&mut Runner::Palisade(sandbox).command(&["bash", "-c", script]), "ready");
    assert_eq!(waiting.said.first().map(String::as_str), Some("0"));
    let guests = waiting.guests();
    assert!(guests.len() >= 4, "{guests:?}");
    for pid in guests {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status_line(pid, set), "0000000000000000", "{set} of {pid}");
        }
        assert_eq!(status_line(pid, "NoNewPrivs"), "1");
        assert_eq!(status_line(pid, "Seccomp"), "2");
        let uids = status_line(pid, "Uid");
        assert!(uids.split_whitespace().all(|uid| uid != "0"), "{uids}");
        for space in ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup"] {
            let of = |who: &str| fs::read_link(format!("/proc/{who}/ns/{space}")).expect("it is there");
            assert_ne!(of(&pid.to_string()), of("self"), "{space}");
        }
        let root: Vec<_> = fs::read_dir(format!("/proc/{pid}/root")).expect("root").flatten().collect();
        assert!(root.is_empty(), "{root:?}");
        // Files that it has mapped, and nothing else.
        for fd in fs::read_dir(format!("/proc/{pid}/fd")).expect("its table").flatten() {
            // An exec may have closed it meanwhile.
            let Ok(found) = fs::metadata(fd.path()) else { continue };
            let flags =
                fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", fd.file_name().to_string_lossy()));
            assert!(found.is_file(), "{:?}", fs::read_link(fd.path()));
            let Ok(flags) = flags else { continue };
            let mode = flags.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags").trim();
            let mode = u32::from_str_radix(mode, 8).expect("octal");
            // The loader, for the length of an exec, which nobody can change.
            let is_sealed = fs::File::open(fd.path()).is_ok_and(|file| {
                fcntl(&file, FcntlArg::F_GET_SEALS).is_ok_and(|seals| seals & libc::F_SEAL_WRITE != 0)
            });
            assert!(mode & 3 == 0 || is_sealed, "open for writing: {:?}", fs::read_link(fd.path()));
        }
    }
    assert_eq!(waiting.end(), 0);
}

#[test]
fn token_file_is_the_only_one_of_its_length() {
    // What the guest compares with is what this side has written.
    let source = include_str!("../../src/bin/guest_escape/paths.rs").replace('_', "");
    assert!(source.contains(&format!("TOKEN: i64 = {TOKEN}")));
    let ground = Ground::new();
    assert_eq!(
        fs::metadata(ground.outside().join("escape-marker")).expect("it is there").len(),
        TOKEN as u64
    );
}
