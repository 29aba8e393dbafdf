//! /proc/<pid> as programs parse it: what its files say agrees with the system calls, and with each other.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use integration::checks;
use integration::guest::text::{errno, field, kilobytes, link, names, read};
use integration::guest::{self, fork_child, in_child, scratch::Scratch, wait_raw};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{Pid, getpgrp, getpid, getppid, getsid, gettid, pipe};

fn main() -> ExitCode {
    guest::main(checks![
        stat_agrees_with_the_calls,
        stat_tells_that_another_thread_sleeps,
        stat_has_a_start_time_in_the_past,
        status_statm_and_stat_agree,
        threads_are_listed_before_their_first_call,
        thread_names_are_their_own,
        thread_directories_are_hidden_but_there,
        zombie_is_shown_until_it_is_waited_for,
        zombie_has_no_memory_and_no_descriptors,
        mappings_have_the_files_device_and_inode,
        rollup_sums_the_mappings,
        memory_is_read_and_written,
        memory_of_another_image_is_not_read,
        descriptors_lead_to_their_files,
        fdinfo_tells_position_and_kind,
        deleted_program_is_marked,
        login_is_set_once_and_inherited,
        oom_score_adj_is_checked_and_inherited,
        coredump_filter_is_kept,
        limits_are_those_of_the_calls,
        arguments_and_environment_are_shown,
        mountinfo_is_a_tree,
        cgroup_ends_with_the_unified_hierarchy,
        small_files_have_their_form,
        waiting_thread_shows_its_call,
    ])
}

/// The fields of a stat file, numbered as in the manual: [1] is the id, [2] the name.
fn stat(path: &str) -> Vec<String> {
    let text = read(path);
    let (head, rest) = text.trim_end().rsplit_once(") ").expect("a name in parentheses");
    let (pid, comm) = head.split_once(" (").expect("an id and a name");
    let mut fields = vec![String::new(), pid.to_owned(), comm.to_owned()];
    fields.extend(rest.split(' ').map(ToOwned::to_owned));
    assert_eq!(fields.len(), 53, "{text}");
    fields
}

/// Waits until `probe` gives something.
fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(found) = probe() {
            return found;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} never came");
}

fn stat_agrees_with_the_calls() {
    let fields = stat("/proc/self/stat");
    assert_eq!(fields[1], getpid().to_string());
    assert_eq!(fields[2], read("/proc/self/comm").trim_end());
    assert_eq!(fields[3], "R");
    assert_eq!(fields[4], getppid().to_string());
    assert_eq!(fields[5], getpgrp().to_string());
    assert_eq!(fields[6], getsid(None).expect("getsid").to_string());
    assert_eq!(fields[20], "1");
    assert_eq!(link("/proc/self"), fields[1]);
    assert_eq!(link("/proc/thread-self"), format!("{}/task/{}", fields[1], fields[1]));
}

fn stat_tells_that_another_thread_sleeps() {
    let leader = getpid();
    let looks = move || eventually("a sleeping leader", || (stat("/proc/self/stat")[3] == "S").then_some(()));
    assert_eq!(gettid(), leader);
    // The leader waits for the thread in futex(2).
    thread::spawn(looks).join().expect("the thread");
}

fn stat_has_a_start_time_in_the_past() {
    let started: f64 = stat("/proc/self/stat")[22].parse().expect("ticks");
    let booted: f64 = read("/proc/stat")
        .lines()
        .find_map(|line| line.strip_prefix("btime ").map(|text| text.parse().expect("seconds")))
        .expect("btime");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let age = now - (booted + started / 100.0);
    assert!((-2.0..60.0).contains(&age), "started {age} s ago");
    let uptime = read("/proc/uptime");
    let up: f64 = uptime.split(' ').next().expect("uptime").parse().expect("seconds");
    assert!(up >= started / 100.0 - 0.1, "up {up} s, started at {started} ticks");
}

fn status_statm_and_stat_agree() {
    let resident = kilobytes("/proc/self/status", "VmRSS") as i64;
    let statm = read("/proc/self/statm");
    let pages: Vec<i64> = statm.split_whitespace().map(|word| word.parse().expect("pages")).collect();
    assert_eq!(pages.len(), 7);
    assert!((pages[1] * 4 - resident).abs() < 2048, "{statm} and {resident} kB");
    let size: i64 = stat("/proc/self/stat")[23].parse().expect("bytes");
    assert!((pages[0] * 4096 - size).abs() < 4 << 20, "{statm} and {size}");
    assert_eq!(field("/proc/self/status", "Threads"), "1");
    assert_eq!(field("/proc/self/status", "Pid"), getpid().to_string());
    assert_eq!(field("/proc/self/status", "State"), "R (running)");
}

/// Starts a thread that waits in a futex, and gives its id.
fn sleeper() -> (i32, mpsc::Sender<()>, thread::JoinHandle<()>) {
    let (tell, told) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let handle = thread::spawn(move || {
        tell.send(gettid().as_raw()).expect("somebody listens");
        let _ = ended.recv();
    });
    (told.recv().expect("an id"), end, handle)
}

fn threads_are_listed_before_their_first_call() {
    let mut sleepers: Vec<_> = (0..4).map(|_| sleeper()).collect();
    let mut expected: Vec<i32> = sleepers.iter().map(|(tid, ..)| *tid).collect();
    expected.push(getpid().as_raw());
    expected.sort_unstable();
    let mut listed: Vec<i32> =
        names("/proc/self/task").iter().map(|name| name.parse().expect("an id")).collect();
    listed.sort_unstable();
    assert_eq!(listed, expected);
    assert_eq!(fs::metadata("/proc/self/task").expect("stat").nlink(), 7);
    assert_eq!(field("/proc/self/status", "Threads"), "5");
    assert_eq!(stat("/proc/self/stat")[20], "5");
    for (tid, end, handle) in sleepers.drain(..) {
        drop(end);
        handle.join().expect("it ends");
        eventually("the thread's end", || {
            (!PathBuf::from(format!("/proc/self/task/{tid}")).exists()).then_some(())
        });
    }
}

fn thread_names_are_their_own() {
    let (tid, end, handle) = sleeper();
    let path = format!("/proc/self/task/{tid}/comm");
    let before = read("/proc/self/comm");
    fs::write(&path, "a (name) of 15+ bytes").expect("threads name each other");
    assert_eq!(read(&path), "a (name) of 15+\n");
    assert_eq!(stat(&format!("/proc/self/task/{tid}/stat"))[2], "a (name) of 15+");
    assert_eq!(field(&format!("/proc/self/task/{tid}/status"), "Name"), "a (name) of 15+");
    assert_eq!(read("/proc/self/comm"), before);
    drop(end);
    handle.join().expect("it ends");
}

fn thread_directories_are_hidden_but_there() {
    let (tid, end, handle) = sleeper();
    assert_eq!(field(&format!("/proc/{tid}/status"), "Tgid"), getpid().to_string());
    assert_eq!(field(&format!("/proc/{tid}/status"), "Pid"), tid.to_string());
    assert!(!names("/proc").contains(&tid.to_string()));
    drop(end);
    handle.join().expect("it ends");
}

/// A child that has died and is not waited for.
fn zombie() -> Pid {
    let child = fork_child(|| 7);
    let path = format!("/proc/{child}/stat");
    eventually("a zombie", || (stat(&path)[3] == "Z").then_some(()));
    child
}

fn zombie_is_shown_until_it_is_waited_for() {
    let name = read("/proc/self/comm");
    let child = zombie();
    let dir = format!("/proc/{child}");
    let fields = stat(&format!("{dir}/stat"));
    assert_eq!((fields[1].clone(), fields[4].clone()), (child.to_string(), getpid().to_string()));
    assert_eq!(fields[2], name.trim_end());
    assert_eq!(field(&format!("{dir}/status"), "State"), "Z (zombie)");
    assert!(names("/proc").contains(&child.to_string()));
    assert_eq!(names(&format!("{dir}/task")), [child.to_string()]);
    wait_raw(child.as_raw());
    assert_eq!(errno(fs::read(format!("{dir}/stat"))), libc::ENOENT);
    assert!(!names("/proc").contains(&child.to_string()));
}

fn zombie_has_no_memory_and_no_descriptors() {
    let child = zombie();
    let dir = format!("/proc/{child}");
    assert_eq!(read(&format!("{dir}/cmdline")), "");
    assert_eq!(read(&format!("{dir}/maps")), "");
    assert_eq!(read(&format!("{dir}/statm")), "0 0 0 0 0 0 0\n");
    assert!(!read(&format!("{dir}/status")).contains("VmRSS"));
    assert_eq!(names(&format!("{dir}/fd")), [""; 0]);
    assert_eq!(errno(fs::read_link(format!("{dir}/exe"))), libc::ENOENT);
    assert_eq!(errno(fs::read_link(format!("{dir}/cwd"))), libc::ENOENT);
    wait_raw(child.as_raw());
}

fn mappings_have_the_files_device_and_inode() {
    let exe = link("/proc/self/exe");
    let known = fs::metadata(&exe).expect("it is there");
    let maps = read("/proc/self/maps");
    let line = maps.lines().find(|line| line.ends_with(&exe)).expect("the program is mapped");
    let words: Vec<&str> = line.split_whitespace().collect();
    let (major, minor) = words[3].split_once(':').expect("a device");
    let number = |hex| u32::from_str_radix(hex, 16).expect("hexadecimal");
    let device = libc::makedev(number(major), number(minor));
    assert_eq!((device, words[4].parse()), (known.dev(), Ok(known.ino())), "{line}");
    assert_eq!(line.find(&exe), Some(73), "{line}");
    for special in ["[stack]", "[heap]", "[vdso]"] {
        assert!(maps.lines().any(|line| line.ends_with(special)), "{special} in {maps}");
    }
}

fn rollup_sums_the_mappings() {
    let sum = |path: &str, name: &str| -> u64 {
        let text = read(path);
        let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_suffix(" kB"));
        lines.map(|line| line.trim().parse::<u64>().expect("a number")).sum()
    };
    let (parts, whole) = (sum("/proc/self/smaps", "Rss:"), sum("/proc/self/smaps_rollup", "Rss:"));
    assert!(parts.abs_diff(whole) < 1024, "{parts} and {whole}");
    assert!(read("/proc/self/smaps_rollup").lines().next().expect("a line").ends_with("[rollup]"));
}

fn memory_is_read_and_written() {
    let text = Box::new(*b"before");
    let at = std::ptr::from_ref(&*text).addr() as u64;
    let open = || OpenOptions::new().read(true).write(true).open("/proc/self/mem").expect("mem");
    let mut memory = open();
    memory.seek(SeekFrom::Start(at)).expect("seek");
    let mut buf = [0; 6];
    memory.read_exact(&mut buf).expect("read");
    assert_eq!(&buf, b"before");
    memory.seek(SeekFrom::Start(at)).expect("seek");
    memory.write_all(b"after.").expect("write");
    assert_eq!(*std::hint::black_box(text), *b"after.");
    memory.seek(SeekFrom::Start(0)).expect("seek");
    assert_eq!(errno(memory.read(&mut buf)), libc::EIO);
}

fn memory_of_another_image_is_not_read() {
    let (reader, writer) = pipe().expect("pipe");
    let address = std::ptr::from_ref(&ENVIRONMENT_NAME).addr() as u64;
    let child = fork_child(move || {
        let mut byte = [0];
        let _ = nix::unistd::read(&reader, &mut byte);
        let error = std::os::unix::process::CommandExt::exec(Command::new("sleep").arg("100"));
        panic!("{error}");
    });
    let mut memory = File::open(format!("/proc/{child}/mem")).expect("mem");
    memory.seek(SeekFrom::Start(address)).expect("seek");
    let mut buf = [0; 1];
    assert_eq!(memory.read(&mut buf).expect("a child's memory"), 1);
    nix::unistd::write(&writer, b"x").expect("write");
    eventually("sleep", || (read(&format!("/proc/{child}/comm")) == "sleep\n").then_some(()));
    memory.seek(SeekFrom::Start(address)).expect("seek");
    assert_eq!(memory.read(&mut buf).expect("the old image's memory"), 0);
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).expect("kill");
    wait_raw(child.as_raw());
}

fn descriptors_lead_to_their_files() {
    let scratch = Scratch::new();
    let path = scratch.at("file");
    let mut file = File::create_new(&path).expect("create");
    file.write_all(b"content").expect("write");
    let fd = format!("/proc/self/fd/{}", file.as_raw_fd());
    assert_eq!(link(&fd), path.to_string_lossy());
    fs::remove_file(&path).expect("unlink");
    assert_eq!(link(&fd), format!("{} (deleted)", path.display()));
    // The link leads to the file, not to the name.
    assert_eq!(read(&fd), "content");
    let (reader, _writer) = pipe().expect("pipe");
    let status = nix::sys::stat::fstat(&reader).expect("fstat");
    let shown = link(&format!("/proc/self/fd/{}", reader.as_raw_fd()));
    assert_eq!(shown, format!("pipe:[{}]", status.st_ino));
    let mode = fs::symlink_metadata(format!("/proc/self/fd/{}", reader.as_raw_fd())).expect("lstat").mode();
    assert_eq!(mode & 0o777, 0o500);
    let (left, _right) = std::os::unix::net::UnixStream::pair().expect("socketpair");
    let status = nix::sys::stat::fstat(&left).expect("fstat");
    let shown = link(&format!("/proc/self/fd/{}", left.as_raw_fd()));
    assert_eq!(shown, format!("socket:[{}]", status.st_ino));
    assert_eq!(errno(fs::read_link("/proc/self/fd/999")), libc::ENOENT);
}

fn fdinfo_tells_position_and_kind() {
    let mut file = File::open("/proc/self/exe").expect("open");
    file.seek(SeekFrom::Start(42)).expect("seek");
    let info = |fd: i32| read(&format!("/proc/self/fdinfo/{fd}"));
    let text = info(file.as_raw_fd());
    assert!(text.starts_with("pos:\t42\nflags:\t0"), "{text}");
    assert!(text.contains("\nmnt_id:\t") && text.contains("\nino:\t"), "{text}");
    let epoll = nix::sys::epoll::Epoll::new(nix::sys::epoll::EpollCreateFlags::empty()).expect("epoll");
    let (reader, _writer) = pipe().expect("pipe");
    let event = nix::sys::epoll::EpollEvent::new(nix::sys::epoll::EpollFlags::EPOLLIN, 5);
    epoll.add(&reader, event).expect("add");
    let text = info(epoll.0.as_raw_fd());
    assert!(text.contains(&format!("tfd: {:8} events:", reader.as_raw_fd())), "{text}");
    let counter = nix::sys::eventfd::EventFd::from_value(7).expect("eventfd");
    assert!(
        info(counter.as_raw_fd()).contains("eventfd-count:                7\n"),
        "{}",
        info(counter.as_raw_fd())
    );
}

fn deleted_program_is_marked() {
    let scratch = Scratch::new();
    let path = scratch.at("program");
    fs::copy("/bin/sleep", &path).expect("copy");
    let mut child = Command::new(&path).arg("100").spawn().expect("spawn");
    let exe = format!("/proc/{}/exe", child.id());
    eventually("the program", || (link(&exe) == path.to_string_lossy()).then_some(()));
    fs::remove_file(&path).expect("unlink");
    assert_eq!(link(&exe), format!("{} (deleted)", path.display()));
    assert_eq!(fs::read(&exe).expect("it can be read").len(), fs::read("/bin/sleep").expect("read").len());
    child.kill().expect("kill");
    child.wait().expect("wait");
}

fn login_is_set_once_and_inherited() {
    let status = in_child(|| {
        assert_eq!(errno(fs::write("/proc/self/loginuid", "nobody")), libc::EINVAL);
        fs::write("/proc/self/loginuid", "1000").expect("the first login");
        assert_eq!(read("/proc/self/loginuid"), "1000");
        let session = read("/proc/self/sessionid");
        assert_ne!(session, u32::MAX.to_string());
        in_child(|| {
            assert_eq!((read("/proc/self/loginuid"), read("/proc/self/sessionid")), ("1000".into(), session));
            0
        })
    });
    assert_eq!(status, 0);
}

fn oom_score_adj_is_checked_and_inherited() {
    let status = in_child(|| {
        fs::write("/proc/self/oom_score_adj", "500\n").expect("a rise");
        assert_eq!(errno(fs::write("/proc/self/oom_score_adj", "1001")), libc::EINVAL);
        assert_eq!(errno(fs::write("/proc/self/oom_score_adj", "much")), libc::EINVAL);
        assert_eq!(
            (read("/proc/self/oom_score_adj"), read("/proc/self/oom_adj")),
            ("500\n".into(), "8\n".into())
        );
        assert!(read("/proc/self/oom_score").trim().parse::<u32>().is_ok());
        let child = fork_child(|| i32::from(read("/proc/self/oom_score_adj") != "500\n"));
        wait_raw(child.as_raw())
    });
    assert_eq!(status, 0);
}

fn coredump_filter_is_kept() {
    assert_eq!(read("/proc/self/coredump_filter"), "00000033\n");
    fs::write("/proc/self/coredump_filter", "0x7f").expect("hexadecimal");
    assert_eq!(read("/proc/self/coredump_filter"), "0000007f\n");
    assert_eq!(in_child(|| i32::from(read("/proc/self/coredump_filter") != "0000007f\n")), 0);
    assert_eq!(errno(fs::write("/proc/self/coredump_filter", "all")), libc::EINVAL);
}

fn limits_are_those_of_the_calls() {
    let text = read("/proc/self/limits");
    assert_eq!(text.lines().count(), 17);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
    let line = text.lines().find(|line| line.starts_with("Max open files")).expect("open files");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[3..], [soft.to_string().as_str(), &hard.to_string(), "files"]);
}

const ENVIRONMENT_NAME: &str = "GUEST_PROC_TEST";

fn arguments_and_environment_are_shown() {
    let mut child = Command::new("sleep").args(["100", "0"]).env(ENVIRONMENT_NAME, "a b").spawn();
    let child = child.as_mut().expect("spawn");
    let path = |name: &str| format!("/proc/{}/{name}", child.id());
    eventually("the program", || (read(&path("comm")) == "sleep\n").then_some(()));
    eventually("its arguments", || (read(&path("cmdline")) == "sleep\x00100\x000\x00").then_some(()));
    assert!(read(&path("environ")).split('\0').any(|entry| entry == "GUEST_PROC_TEST=a b"));
    let auxv = fs::read(path("auxv")).expect("auxv");
    let pairs: Vec<u64> =
        auxv.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("8 bytes"))).collect();
    let value = |key: u64| pairs.chunks_exact(2).find(|pair| pair[0] == key).map(|pair| pair[1]);
    assert_eq!(value(libc::AT_PAGESZ), Some(4096));
    assert_eq!(value(libc::AT_UID), Some(u64::from(nix::unistd::getuid().as_raw())));
    child.kill().expect("kill");
    child.wait().expect("wait");
}

fn mountinfo_is_a_tree() {
    let text = read("/proc/self/mountinfo");
    let mut ids = Vec::new();
    let mut points = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        ids.push(words[0]);
        points.push(words[4]);
        assert!(words[2].split_once(':').is_some(), "{line}");
        let dash = words.iter().position(|&word| word == "-").expect("a separator");
        assert_eq!(words.len(), dash + 4, "{line}");
    }
    assert!(points.contains(&"/") && points.contains(&"/proc"), "{text}");
    let mounts = read("/proc/self/mounts");
    assert_eq!(mounts.lines().count(), text.lines().count());
    let root = fs::metadata("/proc").expect("stat").dev();
    let line = text.lines().rfind(|line| line.split(' ').nth(4) == Some("/proc")).expect("/proc");
    let device = line.split(' ').nth(2).expect("a device").to_owned();
    assert_eq!(device, format!("{}:{}", libc::major(root), libc::minor(root)));
}

fn cgroup_ends_with_the_unified_hierarchy() {
    assert!(read("/proc/self/cgroup").lines().last().is_some_and(|line| line.starts_with("0::/")));
}

fn small_files_have_their_form() {
    let words = |path: &str| read(path).split_whitespace().count();
    assert_eq!(words("/proc/self/schedstat"), 3);
    assert_eq!(read("/proc/self/personality").trim_end().len(), 8);
    let sched = read("/proc/self/sched");
    assert!(
        sched.contains(&format!("({}, #threads: 1)\n---", getpid())) && sched.contains("nr_switches"),
        "{sched}"
    );
    assert!(read("/proc/self/io").contains("read_bytes: "));
    assert!(!read("/proc/self/wchan").is_empty());
    assert_eq!(read("/proc/self/timens_offsets").lines().count(), 2);
    assert_eq!(words("/proc/loadavg"), 5);
    assert_eq!(words("/proc/uptime"), 2);
    assert!(read("/proc/devices").contains("136 pts\n"));
    assert!(read("/proc/filesystems").contains("nodev\ttmpfs\n"));
    assert!(read("/proc/swaps").starts_with("Filename\t"));
    assert!(read("/proc/partitions").starts_with("major minor  #blocks  name\n"));
    assert!(read("/proc/buddyinfo").starts_with("Node 0, zone "));
    for name in ["mounts", "net"] {
        assert_eq!(link(&format!("/proc/{name}")), format!("self/{name}"));
    }
    for name in names("/proc/self/ns") {
        let shown = link(&format!("/proc/self/ns/{name}"));
        let kind = name.trim_end_matches("_for_children");
        assert!(shown.starts_with(&format!("{kind}:[")) && shown.ends_with(']'), "{shown}");
    }
}

fn waiting_thread_shows_its_call() {
    let (reader, _writer) = pipe().expect("pipe");
    let child = fork_child(move || {
        let mut byte = [0];
        i32::from(nix::unistd::read(&reader, &mut byte).is_err())
    });
    let path = format!("/proc/{child}/syscall");
    let shown = eventually("a read", || Some(read(&path)).filter(|shown| shown.starts_with("0 0x")));
    assert_eq!(shown.split_whitespace().count(), 9, "{shown}");
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).expect("kill");
    wait_raw(child.as_raw());
}
