//! Ways out of a sandbox, tried from inside (`guest_escape`), while this side looks whether anything came out.
//!
//! Those that hold under any Linux run natively and under runc as well. `cargo xtask soak races` repeats the races a
//! million times (ESCAPE_ROUNDS).

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use integration::bundle::Bundle;
use integration::process::{self, Finished};
use integration::runner::{Runner, Sandbox};
use integration::{paths, roots, runtime};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::json;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_guest_escape");
/// Longest run of all checks; a million rounds take longer.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(200);

fn programs() -> &'static Path {
    Path::new(PROGRAM).parent().expect("a program is in a directory")
}

fn rounds() -> Option<String> {
    std::env::var("ESCAPE_ROUNDS").ok()
}

/// A directory of the host: `volume` is the guest's, `outside` is not.
struct Ground {
    dir: TempDir,
    _listener: UnixListener,
}

/// A length that no other file has: a guest that sees it has seen the file outside.
const TOKEN: usize = 424_242;

impl Ground {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("/tmp is writable");
        let (volume, outside) = (dir.path().join("volume"), dir.path().join("outside"));
        fs::create_dir_all(outside.join("empty")).expect("a directory");
        fs::create_dir(&volume).expect("a directory");
        fs::write(outside.join("escape-marker"), vec![b'!'; TOKEN]).expect("a file");
        fs::write(volume.join("file"), "a file of the volume").expect("a file");
        let node = |name: &str, kind, major, minor| {
            mknod(&volume.join(name), kind, Mode::from_bits_truncate(0o666), makedev(major, minor))
                .unwrap_or_else(|error| panic!("{name}: {error}; the test wants root with CAP_MKNOD"));
        };
        node("mem", SFlag::S_IFCHR, 1, 1);
        node("kmsg", SFlag::S_IFCHR, 1, 11);
        node("tty", SFlag::S_IFCHR, 4, 0);
        node("loop0", SFlag::S_IFBLK, 7, 0);
        node("fifo", SFlag::S_IFIFO, 0, 0);
        symlink("../outside", volume.join("way-out")).expect("a link");
        let listener = UnixListener::bind(volume.join("listener")).expect("a socket");
        Self { dir, _listener: listener }
    }

    fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// All that can be told of what lies outside.
    fn look(&self) -> BTreeMap<String, (u64, u32, u32, i64, i64)> {
        let entries = fs::read_dir(self.outside()).expect("it is there").flatten();
        let all = entries.map(|entry| entry.path()).chain([self.outside()]);
        let facts = |path: PathBuf| {
            let found = fs::symlink_metadata(&path).expect("it is there");
            let times = (found.mtime(), found.ctime());
            (path.display().to_string(), (found.len(), found.mode(), found.uid(), times.0, times.1))
        };
        all.map(facts).collect()
    }

    fn sandbox(&self) -> Sandbox {
        let mut volume = self.dir.path().join("volume").into_os_string();
        volume.push(":/volume");
        let mut sandbox = Sandbox::on(&roots::debian()).with_volume(programs(), "/t");
        sandbox.volumes.push(volume);
        let limit = if rounds().is_some() { "36000" } else { "40" };
        sandbox
            .with_option(format!("--env=GUEST_LIMIT_S={limit}"))
            .with_option("--env=ESCAPE_VOLUME=/volume")
            .with_option(format!("--env=ESCAPE_OUTSIDE={}", self.outside().display()))
            .with_option(format!("--env=ESCAPE_HOST_PID={}", std::process::id()))
            .with_option(format!("--env=ESCAPE_ROUNDS={}", rounds().unwrap_or_else(|| "1000".to_owned())))
    }
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

/// A line of a process's status.
fn status_line(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} of {pid}")).trim().to_owned()
}

/// A sandbox whose program has said a word, and waits for its input's end.
struct Waiting {
    child: Child,
    said: Vec<String>,
}

impl Waiting {
    fn start(command: &mut Command, until: &str) -> Self {
        process::default_signals();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.starts_with(until)) {
            let line = lines.next().unwrap_or_else(|| panic!("it ended after {said:?}"));
            said.push(line.expect("text"));
        }
        Self { child, said }
    }

    /// The host's ids of its guests: processes with a filter of ours below it.
    fn guests(&self) -> Vec<i32> {
        let all = process::tree(self.child.id()).into_iter();
        let own = self.child.id().cast_signed();
        let is_guest = |pid: &i32| {
            let root = fs::read_link(format!("/proc/{pid}/ns/user")).ok();
            *pid != own && root != fs::read_link("/proc/self/ns/user").ok()
        };
        all.filter(is_guest).collect()
    }

    fn end(mut self) -> i32 {
        drop(self.child.stdin.take());
        process::shell_status(self.child.wait().expect("it is ours"))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        process::kill_tree(self.child.id());
        let _ = self.child.wait();
    }
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

/// Most memory that a supervisor may have had when one program has used up one resource, with 1024 descriptors: the
/// bound that SECURITY.md states.
const MOST_MB: u64 = 600;

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
fn token_file_is_the_only_one_of_its_length() {
    // What the guest compares with is what this side has written.
    let source = include_str!("../src/bin/guest_escape/paths.rs").replace('_', "");
    assert!(source.contains(&format!("TOKEN: i64 = {TOKEN}")));
    let ground = Ground::new();
    assert_eq!(
        fs::metadata(ground.outside().join("escape-marker")).expect("it is there").len(),
        TOKEN as u64
    );
    assert!(fs::metadata(ground.dir.path()).expect("it is there").permissions().mode() & 0o100 != 0);
    std::io::stdout().flush().expect("stdout");
}
