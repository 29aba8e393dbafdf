//! What a supervisor can reach, as the host sees it while it runs: its own root directory, and nothing open that leads
//! out of it. What it can do there is `runtime-supervisor`'s payload tests' to show.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use integration::bundle::Bundle;
use integration::paths;
use integration::process;
use integration::runtime::{Runtime, eventually, new_id, ours, read_pid, sleeper, spawn_quiet};
use serde_json::json;

/// A container with a volume.
fn with_volume(volume: &Path) -> Bundle {
    let mount =
        json!({ "destination": "/volume", "source": volume, "type": "bind", "options": ["rbind", "ro"] });
    sleeper().with(|config| config["mounts"].as_array_mut().expect("a list").push(mount))
}

/// The lines of a process's mountinfo as ids and places.
fn mounts(pid: i32) -> Vec<(String, String)> {
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("it runs");
    let word = |line: &str, at| line.split(' ').nth(at).unwrap_or_default().to_owned();
    table.lines().map(|line| (word(line, 0), word(line, 4))).collect()
}

/// The host's mounts on which an open directory of the process lies: from one of them `..` leads anywhere.
fn open_host_directories(pid: i32) -> Vec<String> {
    let host: BTreeSet<String> =
        mounts(std::process::id().cast_signed()).into_iter().map(|(id, _)| id).collect();
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
    let is_hosts = |number: &str| {
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
        info.lines().filter_map(|line| line.strip_prefix("mnt_id:")).any(|id| host.contains(id.trim()))
    };
    let open = fds.filter(|fd| fs::metadata(fd.path()).is_ok_and(|meta| meta.is_dir()));
    let open = open.filter(|fd| is_hosts(&fd.file_name().to_string_lossy()));
    open.map(|fd| fs::read_link(fd.path()).unwrap_or_default().display().to_string()).collect()
}

fn assert_apart(pid: i32, trees: &[&str]) {
    for namespace in ["mnt", "ipc", "uts"] {
        let of = |whose: &str| fs::read_link(format!("/proc/{whose}/ns/{namespace}")).expect("it runs");
        assert_ne!(of(&pid.to_string()), of("self"), "{namespace}");
    }
    let places: BTreeSet<String> = mounts(pid).into_iter().map(|(_, place)| place).collect();
    let wanted: BTreeSet<String> = ["/", "/proc"].iter().chain(trees).map(ToString::to_string).collect();
    assert_eq!(places, wanted);
    assert_eq!(open_host_directories(pid), Vec::<String>::new());
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).expect("it runs");
    assert_eq!(cwd, Path::new("/"));
}

#[test]
fn supervisor_has_the_containers_trees_alone() {
    ours(|runtime| {
        let volume = tempfile::tempdir().expect("/tmp is writable");
        let bundle = with_volume(volume.path());
        let path = bundle.path().display().to_string();
        // In the foreground.
        let id = new_id();
        let mut child = spawn_quiet(&mut runtime.command(&["run", "--bundle", &path, &id]));
        runtime.wait_for(&id, "running");
        assert_apart(child.id().cast_signed(), &["/1", "/2"]);
        runtime.ok(&["delete", "--force", &id]);
        assert_eq!(process::shell_status(child.wait().expect("it is ours")), 137);
        // And alone.
        let (id, file) = (new_id(), volume.path().join("pid"));
        assert_eq!(runtime.create(&bundle, &id, &["--pid-file", &file.display().to_string()]), 0);
        assert_apart(read_pid(&file), &["/1", "/2"]);
        runtime.ok(&["start", &id]);
        runtime.ok(&["exec", &id, "true"]);
        assert_apart(read_pid(&file), &["/1", "/2"]);
        runtime.ok(&["delete", "--force", &id]);
    });
}

#[test]
fn mounts_on_the_host_come_in_where_that_was_asked_for() {
    ours(|runtime| {
        for (propagation, comes) in [("rslave", true), ("rprivate", false)] {
            let volume = tempfile::tempdir().expect("/tmp is writable");
            let below = volume.path().join("below");
            fs::create_dir(&below).expect("it is ours");
            let mount = |arguments: &[&str]| {
                let done = std::process::Command::new("mount").args(arguments).status();
                assert!(done.expect("there is mount(8)").success(), "{arguments:?}");
            };
            let (source, below) = (volume.path().display().to_string(), below.display().to_string());
            mount(&["--bind", &source, &source]);
            mount(&["--make-shared", &source]);
            let entry = json!({
                "destination": "/volume", "source": source, "type": "bind", "options": ["rbind", propagation]
            });
            let bundle =
                sleeper().with(|config| config["mounts"].as_array_mut().expect("a list").push(entry));
            let id = new_id();
            assert_eq!(runtime.create(&bundle, &id, &[]), 0);
            runtime.ok(&["start", &id]);
            mount(&["-t", "tmpfs", "none", &below]);
            fs::write(Path::new(&below).join("new"), "").expect("it is ours");
            let seen = runtime.run(&["exec", &id, "test", "-e", "/volume/below/new"]).status == 0;
            runtime.ok(&["delete", "--force", &id]);
            for path in [&below, &source] {
                let done = std::process::Command::new("umount").arg(path).status();
                assert!(done.expect("there is umount(8)").success(), "{path}");
            }
            assert_eq!(seen, comes, "{propagation}");
        }
    });
}

#[test]
fn host_root_is_kept_for_whom_it_is_the_root_and_cannot_be_written() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let runtime = Runtime::palisade();
    let mut child = spawn_quiet(&mut runtime.command(&["do", "--", "sleep", "100"]));
    let pid = child.id().cast_signed();
    eventually("the supervisor has a root of its own", || mounts(pid).iter().any(|(_, place)| place == "/0"));
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("it runs");
    let kept: Vec<&str> =
        table.lines().filter(|line| line.split(' ').nth(4).is_some_and(|at| at.starts_with("/0"))).collect();
    let is_readonly = |line: &&str| line.split(' ').nth(5).is_some_and(|options| options.starts_with("ro"));
    assert!(!kept.is_empty() && kept.iter().all(is_readonly), "{kept:#?}");
    let _ = child.kill();
    let _ = child.wait();
}
