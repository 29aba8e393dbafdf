//! The machine as /proc and /dev show it: files agree with the system calls, and with each other.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::ExitCode;

use integration::checks;
use integration::guest;
use integration::guest::scratch::Scratch;
use integration::guest::text::{errno, kilobytes, link, names, read};
use nix::unistd::getpid;

fn main() -> ExitCode {
    guest::main(checks![
        machine_files_agree_on_processors,
        memory_numbers_are_consistent,
        uptime_agrees_with_sysinfo,
        names_of_the_system_agree,
        random_ids_differ_and_boot_stays,
        numbers_of_the_system_can_be_written_back,
        writes_of_nonsense_get_einval,
        nothing_can_be_made_here,
        listing_is_complete_and_leads_somewhere,
        unix_sockets_are_listed,
        memory_devices_do_their_work,
    ])
}

fn machine_files_agree_on_processors() {
    let count = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN).expect("sysconf");
    let count = usize::try_from(count.expect("a limit")).expect("positive");
    assert_eq!(read("/proc/cpuinfo").lines().filter(|line| line.starts_with("processor")).count(), count);
    let text = read("/proc/stat");
    let is_one = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    assert_eq!(text.lines().filter(is_one).count(), count);
    for name in ["intr ", "ctxt ", "btime ", "processes ", "procs_running ", "procs_blocked ", "softirq "] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} in {text}");
    }
    let online = read("/sys/devices/system/cpu/online");
    let last = online.trim_end().rsplit(['-', ',']).next().expect("a number");
    assert!(last.parse::<usize>().expect("a number") + 1 >= count);
}

fn memory_numbers_are_consistent() {
    let number = |name| kilobytes("/proc/meminfo", name);
    let total = number("MemTotal");
    assert!(number("MemFree") <= total && number("MemAvailable") <= total);
    assert!(number("SwapFree") <= number("SwapTotal"));
    for name in ["Buffers", "Cached", "Shmem", "Slab", "SReclaimable", "CommitLimit", "VmallocTotal"] {
        assert!(number(name) <= u64::MAX / 1024, "{name}");
    }
    let text = read("/proc/vmstat");
    assert!(text.lines().all(|line| line.split(' ').count() == 2));
    assert!(text.contains("pgpgin ") && text.contains("pswpout "));
}

fn uptime_agrees_with_sysinfo() {
    let text = read("/proc/uptime");
    let up: f64 = text.split(' ').next().expect("uptime").parse().expect("seconds");
    let called = nix::sys::sysinfo::sysinfo().expect("sysinfo").uptime().as_secs_f64();
    assert!((called - up).abs() < 2.0, "{called} and {up}");
}

fn names_of_the_system_agree() {
    let uname = nix::sys::utsname::uname().expect("uname");
    let release = uname.release().to_string_lossy();
    assert!(read("/proc/version").starts_with(&format!("Linux version {release} ")));
    assert_eq!(read("/proc/sys/kernel/osrelease").trim_end(), release);
    assert_eq!(read("/proc/sys/kernel/ostype"), "Linux\n");
    assert_eq!(read("/proc/sys/kernel/hostname").trim_end(), uname.nodename().to_string_lossy());
    assert_eq!(read("/proc/sys/kernel/version").trim_end(), uname.version().to_string_lossy());
}

fn random_ids_differ_and_boot_stays() {
    let fresh = || read("/proc/sys/kernel/random/uuid");
    assert!(fresh() != fresh() && fresh().len() == 37);
    let boot = || read("/proc/sys/kernel/random/boot_id");
    assert!(boot() == boot() && boot().len() == 37);
}

/// The values that the host has are written, so nothing changes.
fn numbers_of_the_system_can_be_written_back() {
    for name in
        ["vm/swappiness", "vm/overcommit_memory", "kernel/pid_max", "kernel/printk", "kernel/core_pattern"]
    {
        let path = format!("/proc/sys/{name}");
        let value = read(&path);
        fs::write(&path, &value).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read(&path), value, "{name}");
    }
}

fn writes_of_nonsense_get_einval() {
    for name in ["vm/swappiness", "vm/overcommit_memory", "kernel/pid_max"] {
        for text in ["many", "-2000000000000", ""] {
            let path = format!("/proc/sys/{name}");
            let result = fs::write(&path, text);
            match text {
                "" => assert!(result.is_ok(), "{name}: {result:?}"),
                _ => assert_eq!(errno(result), libc::EINVAL, "{name} {text:?}"),
            }
        }
    }
    assert_eq!(errno(fs::write("/proc/sys/kernel/ostype", "x")), libc::EACCES);
}

fn nothing_can_be_made_here() {
    assert_eq!(errno(File::create("/proc/nosuch")), libc::ENOENT);
    assert_eq!(errno(fs::create_dir("/proc/nosuch")), libc::ENOENT);
    assert_eq!(errno(fs::remove_file("/proc/uptime")), libc::EPERM);
    assert_eq!(errno(fs::create_dir("/proc/self/nosuch")), libc::ENOENT);
    assert_eq!(errno(fs::read("/proc/self/task")), libc::EISDIR);
    assert_eq!(errno(fs::read("/proc/self/stat/x")), libc::ENOTDIR);
    assert_eq!(errno(fs::read("/proc/0/stat")), libc::ENOENT);
    assert_eq!(errno(fs::read(format!("/proc/0{}/stat", getpid()))), libc::ENOENT);
}

fn listing_is_complete_and_leads_somewhere() {
    let all = names("/proc");
    for name in ["self", "thread-self", "meminfo", "sys", "net", "mounts", "sysvipc", "1"] {
        assert!(all.iter().any(|known| known == name), "{name}");
    }
    assert!(all.contains(&getpid().to_string()));
    for name in names("/proc/self") {
        fs::symlink_metadata(format!("/proc/self/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

fn unix_sockets_are_listed() {
    let scratch = Scratch::new();
    let path = scratch.at("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("bind");
    let client = std::os::unix::net::UnixStream::connect(&path).expect("connect");
    let ino = |socket: &dyn AsFd| nix::sys::stat::fstat(socket.as_fd()).expect("fstat").st_ino.to_string();
    let text = read("/proc/net/unix");
    assert!(text.starts_with("Num       RefCount Protocol Flags    Type St Inode Path\n"), "{text}");
    let line = |ino: String| {
        let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        lines.into_iter().find(|words| words[6] == ino).unwrap_or_else(|| panic!("no {ino} in {text}"))
    };
    let words = line(ino(&listener));
    assert_eq!(words[3..6], ["00010000", "0001", "01"]);
    assert_eq!(words[7], path.to_string_lossy());
    assert_eq!(line(ino(&client))[3..6], ["00000000", "0001", "03"]);
}

fn memory_devices_do_their_work() {
    let mut buf = [1; 4096];
    File::open("/dev/zero").expect("zero").read_exact(&mut buf).expect("read");
    assert_eq!(buf, [0; 4096]);
    assert_eq!(File::open("/dev/null").expect("null").read(&mut buf).expect("read"), 0);
    let full = || OpenOptions::new().read(true).write(true).open("/dev/full").expect("full");
    assert_eq!(errno(full().write(b"x")), libc::ENOSPC);
    full().read_exact(&mut buf).expect("read");
    let random = |path| {
        let mut buf = [0; 16];
        File::open(path).expect("it opens").read_exact(&mut buf).expect("read");
        buf
    };
    assert_ne!(random("/dev/urandom"), random("/dev/random"));
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        assert!(fs::metadata(format!("/dev/{name}")).expect("stat").file_type().is_char_device(), "{name}");
    }
    assert_eq!(link("/dev/fd"), "/proc/self/fd");
    assert_eq!(link("/dev/stdin"), "/proc/self/fd/0");
    assert_eq!(fs::metadata("/dev/shm").expect("stat").mode() & 0o7777, 0o1777);
}
