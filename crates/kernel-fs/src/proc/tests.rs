//! /proc over a scripted host: what is replaced, what is refused, what is stable.

use std::sync::Arc;

use abi_linux::Errno;
use abi_linux::SysResult;
use abi_linux::fs::OpenFlags;
use kernel_base::cred::{CapSet, Credentials};
use kernel_task::fd_table::FdTable;
use kernel_task::fork::ForkSnapshot;
use kernel_task::fs::FsState;
use kernel_task::kernel::Uts;
use kernel_task::limits::Limits;
use kernel_task::{Kernel, Task};
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::file::File;
use kernel_vfs::inode::SuperBlock;
use kernel_vfs::mount::{Mount, MountFlags, MountNamespace};
use kernel_vfs::walk::WalkFlags;
use platform_api::fake::FakePlatform;
use platform_api::{HostFile, Identity, Platform, ProcFile};

use super::ProcFs;
use super::hooks::{HostPrefixes, ProcHooks, ProcOptions, Terminal};
use crate::tmpfs::{Tmpfs, TmpfsOptions};

/// Host ids of pid 1, of its second thread and of its child.
const INIT: i32 = 5001;
const THREAD: i32 = 5002;
const CHILD: i32 = 5003;

struct TestHooks(HostPrefixes);

impl ProcHooks for TestHooks {
    fn terminal_of(&self, sid: i32) -> Option<Terminal> {
        (sid == 1).then_some(Terminal { rdev: 0x8800, foreground: 1 })
    }
    fn mapped_name(&self, host: &[u8]) -> Option<Vec<u8>> {
        self.0.translate(host)
    }
}

struct Bed {
    fake: Arc<FakePlatform>,
    kernel: Arc<Kernel>,
    namespace: Arc<MountNamespace>,
    task: Arc<Task>,
}

/// A container with pid 1 on a tmpfs with a /proc.
fn bed() -> Bed {
    let fake = FakePlatform::new(4096);
    fake.set_now(1_000_000_000_000);
    let platform = Arc::clone(&fake) as Arc<dyn Platform>;
    let uts = Uts { hostname: b"box".to_vec(), domainname: b"(none)".to_vec() };
    let kernel = Kernel::new(Arc::clone(&platform), uts);
    let options = TmpfsOptions { mode: 0o755, ..TmpfsOptions::default() };
    let tmpfs: Arc<dyn SuperBlock> =
        Tmpfs::new(options, platform, Arc::new(DeviceRegistry::new())).expect("a tmpfs");
    let namespace = MountNamespace::new(Mount::of(&tmpfs, b"some root", MountFlags::RELATIME));
    let root = namespace.root();
    let fs = FsState { cwd: root.clone(), root, umask: 0o022 };
    let credentials = Credentials::new(0, 0, CapSet::CONTAINER_DEFAULT);
    let snapshot = ForkSnapshot::for_init(FdTable::new(), fs, credentials, Limits::for_init(1024));
    fake.add_thread(INIT, Identity { tgid: INIT, guest_tid: 1, guest_tgid: 1, parent: 1 }, 1);
    kernel.adopt_init(INIT, snapshot);
    let mut names = HostPrefixes::new();
    names.add(b"/srv/rootfs", b"/");
    let options = ProcOptions { hooks: Arc::new(TestHooks(names)), ..ProcOptions::default() };
    let proc = ProcFs::new(&kernel, options);
    let task = kernel.known_task(INIT).expect("pid 1");
    task.with_walk(|walk| walk.mkdir(None, b"/proc", 0o755)).expect("a directory");
    let at = task.with_walk(|walk| walk.resolve(None, b"/proc", WalkFlags::empty())).expect("/proc");
    namespace.mount(&proc, b"proc", MountFlags::NOSUID, &at).expect("mounted");
    Bed { fake, kernel, namespace, task }
}

impl Bed {
    /// Adds a child process of pid 1, pid 7.
    fn fork(&self) -> Arc<Task> {
        self.task.prepare_fork();
        let identity = Identity { tgid: CHILD, guest_tid: 7, guest_tgid: 7, parent: INIT };
        self.fake.add_thread(CHILD, identity, INIT);
        self.kernel.task(CHILD).expect("discovered")
    }
}

fn open(task: &Task, path: &str, flags: OpenFlags) -> SysResult<Arc<File>> {
    task.with_walk(|walk| walk.open(None, path.as_bytes(), flags, 0, WalkFlags::empty()))
}

fn read_from(task: &Task, file: &File, offset: u64) -> SysResult<Vec<u8>> {
    let mut buf = vec![0; 1 << 16];
    let len = file.ops.read(file.io(task, offset), &mut buf)?;
    buf.truncate(len);
    Ok(buf)
}

fn read(task: &Task, path: &str) -> SysResult<String> {
    let file = open(task, path, OpenFlags::empty())?;
    read_from(task, &file, 0).map(|text| String::from_utf8_lossy(&text).into_owned())
}

fn write(task: &Task, path: &str, text: &[u8]) -> SysResult<usize> {
    let file = open(task, path, OpenFlags::WRONLY | OpenFlags::TRUNC)?;
    file.ops.write(file.io(task, 0), text).map(|(len, _)| len)
}

fn link(task: &Task, path: &str) -> SysResult<String> {
    let text =
        task.with_walk(|walk| walk.readlink(&walk.resolve(None, path.as_bytes(), WalkFlags::NOFOLLOW)?))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn names(task: &Task, path: &str) -> Vec<String> {
    let dir = open(task, path, OpenFlags::DIRECTORY).expect("a directory");
    let (mut names, mut position) = (Vec::new(), 0);
    loop {
        let before = names.len();
        // One entry for each call: positions must carry the listing on.
        dir.ops
            .read_dir(task, position, &mut |entry| {
                if names.len() > before {
                    return false;
                }
                names.push(String::from_utf8_lossy(entry.name).into_owned());
                position = entry.next;
                true
            })
            .expect("a listing");
        if names.len() == before {
            return names;
        }
    }
}

#[test]
fn self_leads_to_the_reader() {
    let bed = bed();
    let child = bed.fork();
    assert_eq!(link(&bed.task, "/proc/self").as_deref(), Ok("1"));
    assert_eq!(link(&child, "/proc/self").as_deref(), Ok("7"));
    assert_eq!(link(&child, "/proc/thread-self").as_deref(), Ok("7/task/7"));
    assert_eq!(link(&child, "/proc/self/root").as_deref(), Ok("/"));
    assert_eq!(link(&child, "/proc/mounts").as_deref(), Ok("self/mounts"));
    assert_eq!(link(&child, "/proc/self/exe"), Err(Errno::ENOENT));
}

#[test]
fn listing_goes_on_at_each_position() {
    let bed = bed();
    bed.fork();
    let names = names(&bed.task, "/proc");
    assert_eq!(names[..2], [".", ".."]);
    assert_eq!(names[names.len() - 2..], ["1", "7"]);
    for known in ["self", "cpuinfo", "sys", "net", "filesystems"] {
        assert_eq!(names.iter().filter(|name| *name == known).count(), 1, "{known}");
    }
}

#[test]
fn stat_has_the_containers_ids_and_a_name_with_parentheses() {
    let bed = bed();
    bed.task.set_comm(b"a) R (b");
    let host = "5001 (x) y) D 4000 5001 5001 34820 5001 4194304 98 0 0 0 1 2 0 0 20 0 1 0 100500 313 41 \
                9 11 12 13 14 15 0 0 0 0 0 0 0 17 0 0 0 0 0 0 21 22 23 24 25 26 27 0\n";
    bed.fake.set_proc(INIT, ProcFile::Stat, host.as_bytes());
    let text = read(&bed.task, "/proc/1/stat").expect("stat");
    assert!(text.starts_with("1 (a) R (b) R 0 1 1 34816 1 4194304 98 "), "{text}");
    // 100500 ticks after the host's boot is 500 after the container's, 1000 seconds after the host's.
    assert!(text.contains(" 20 0 1 0 500 313 41 9 11 12 "), "{text}");
    assert!(text.ends_with(" 27 0\n"), "{text}");
}

#[test]
fn a_stranger_sees_sleep_and_no_addresses() {
    let bed = bed();
    let child = bed.fork();
    child.process.set_credentials(Credentials::new(1000, 1000, CapSet::EMPTY));
    let host = b"5001 (x) D 1 1 1 0 -1 0 98 0 0 0 1 2 0 0 20 0 1 0 0 313 41 9 11 12 13 14 15 0\n";
    bed.fake.set_proc(INIT, ProcFile::Stat, host);
    let text = read(&child, "/proc/1/stat").expect("stat");
    assert!(text.starts_with("1 (init) S 0 1 1 34816 1 "), "{text}");
    assert!(text.ends_with(" 313 41 9 1 1 0 0 0 0\n"), "{text}");
    for private in ["environ", "maps", "auxv", "io"] {
        assert_eq!(read(&child, &format!("/proc/1/{private}")), Err(Errno::EACCES), "{private}");
    }
    assert_eq!(link(&child, "/proc/1/cwd"), Err(Errno::EACCES));
    assert_eq!(open(&child, "/proc/1/fd", OpenFlags::DIRECTORY).err(), Some(Errno::EACCES));
}

#[test]
fn status_lines_come_from_the_books() {
    let bed = bed();
    let host = "Name:\tloader\nUmask:\t0000\nState:\tD (disk sleep)\nTgid:\t5001\nPid:\t5001\nPPid:\t77\n\
                TracerPid:\t9\nUid:\t65534\t65534\t65534\t65534\nGroups:\t5 6 \nNStgid:\t5001\t1\n\
                VmRSS:\t    1748 kB\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
    bed.fake.set_proc(INIT, ProcFile::Status, host.as_bytes());
    let text = read(&bed.task, "/proc/self/status").expect("status");
    let expected = "Name:\tinit\nUmask:\t0022\nState:\tR (running)\nTgid:\t1\nPid:\t1\nPPid:\t0\n\
                    TracerPid:\t0\nUid:\t0\t0\t0\t0\nGroups:\t \nNStgid:\t1\n\
                    VmRSS:\t    1748 kB\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t0\n";
    assert_eq!(text, expected);
}

#[test]
fn mappings_show_guest_names_only() {
    let bed = bed();
    let place = "7f0000000000-7f0000001000 r-xp 00000000 fe:00 1234                       ";
    let plain = "7f0000000000-7f0000001000 r-xp 00000000 00:00 0                          ";
    let host = format!(
        "{place}/srv/rootfs/bin/sh\n{place}/srv/rootfs/tmp/x (deleted)\n{place}/home/host/secret\n\
         {place}/memfd:palisade-loader (deleted)\n{plain}[heap]\n{}\nRss:                   4 kB\ncut",
        plain.trim_end()
    );
    bed.fake.set_proc(INIT, ProcFile::Maps, host.as_bytes());
    let text = read(&bed.task, "/proc/self/maps").expect("maps");
    let bare = format!("{} ", plain.trim_end());
    let expected = format!(
        "{place}/bin/sh\n{place}/tmp/x (deleted)\n{bare}\n{plain}[palisade]\n{plain}[heap]\n{bare}\n\
         Rss:                   4 kB\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn mounts_are_escaped_and_seen_from_the_root() {
    let bed = bed();
    let text = read(&bed.task, "/proc/mounts").expect("mounts");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("some\\040root / tmpfs rw,"), "{text}");
    assert_eq!(lines[1], "proc /proc proc rw,nosuid 0 0");
    let text = read(&bed.task, "/proc/self/mountinfo").expect("mountinfo");
    let root = bed.namespace.root().mount.id();
    let line = text.lines().nth(1).expect("two mounts");
    let fields: Vec<&str> = line.split(' ').collect();
    assert_eq!(fields[1], root.to_string());
    assert_eq!(fields[3..], ["/", "/proc", "rw,nosuid", "-", "proc", "proc", "rw"]);
}

#[test]
fn descriptors_are_links_to_their_files() {
    let bed = bed();
    let file = open(&bed.task, "/proc/uptime", OpenFlags::empty()).expect("a file");
    bed.task.process.files.insert(file, true, 1024).expect("a descriptor");
    assert_eq!(names(&bed.task, "/proc/self/fd"), [".", "..", "0"]);
    assert_eq!(link(&bed.task, "/proc/self/fd/0").as_deref(), Ok("/proc/uptime"));
    assert_eq!(link(&bed.task, "/proc/self/fd/1"), Err(Errno::ENOENT));
    assert_eq!(link(&bed.task, "/proc/self/fd/00"), Err(Errno::ENOENT));
    let info = read(&bed.task, "/proc/self/fdinfo/0").expect("fdinfo");
    assert!(info.starts_with("pos:\t0\nflags:\t02000000\nmnt_id:\t"), "{info}");
}

#[test]
fn memory_limit_is_the_machines() {
    let bed = bed();
    bed.fake.set_host(HostFile::Meminfo, b"MemTotal: 9 kB\nSwapTotal: 5 kB\n");
    bed.task.kernel().cgroup_files.write().insert("memory.max".to_owned(), "1024".to_owned());
    let text = read(&bed.task, "/proc/meminfo");
    assert_eq!(text.as_deref(), Ok("MemTotal:              1 kB\nSwapTotal: 5 kB\n"));
}

#[test]
fn a_file_is_made_anew_at_its_start_only() {
    let bed = bed();
    bed.fake.set_host(HostFile::Meminfo, b"MemTotal: 1 kB\n");
    let file = open(&bed.task, "/proc/meminfo", OpenFlags::empty()).expect("meminfo");
    assert_eq!(read_from(&bed.task, &file, 0).as_deref(), Ok(&b"MemTotal: 1 kB\n"[..]));
    bed.fake.set_host(HostFile::Meminfo, b"MemTotal: 2 kB\n");
    assert_eq!(read_from(&bed.task, &file, 10).as_deref(), Ok(&b"1 kB\n"[..]));
    assert_eq!(read_from(&bed.task, &file, u64::MAX).as_deref(), Ok(&b""[..]));
    assert_eq!(read_from(&bed.task, &file, 0).as_deref(), Ok(&b"MemTotal: 2 kB\n"[..]));
}

#[test]
fn settings_take_what_they_may() {
    let bed = bed();
    assert_eq!(write(&bed.task, "/proc/self/comm", b"newname"), Ok(7));
    assert_eq!(read(&bed.task, "/proc/self/comm").as_deref(), Ok("newname\n"));
    assert_eq!(write(&bed.task, "/proc/self/oom_score_adj", b"500\n"), Ok(4));
    assert_eq!(write(&bed.task, "/proc/self/oom_score_adj", b"100\n"), Err(Errno::EACCES));
    assert_eq!(write(&bed.task, "/proc/self/oom_score_adj", b"nonsense"), Err(Errno::EINVAL));
    let child = bed.fork();
    assert_eq!(read(&child, "/proc/self/oom_score_adj").as_deref(), Ok("500\n"));
    assert_eq!(write(&bed.task, "/proc/sys/kernel/hostname", b"other"), Err(Errno::EPERM));
    assert_eq!(write(&bed.task, "/proc/sys/kernel/ostype", b"x"), Err(Errno::EACCES));
    assert_eq!(write(&bed.task, "/proc/sys/vm/swappiness", b"10\n"), Ok(3));
    assert_eq!(read(&bed.task, "/proc/sys/vm/swappiness").as_deref(), Ok("10\n"));
    let mut credentials = (*bed.task.process.credentials()).clone();
    credentials.effective = CapSet::ALL;
    bed.task.process.set_credentials(credentials);
    assert_eq!(write(&bed.task, "/proc/sys/kernel/hostname", b"other\n"), Ok(6));
    assert_eq!(read(&bed.task, "/proc/sys/kernel/hostname").as_deref(), Ok("other\n"));
}

#[test]
fn time_counts_from_the_containers_boot() {
    let bed = bed();
    bed.fake.set_now(1_003_210_000_000);
    bed.fake.set_host(HostFile::Uptime, b"1000.00 500.00\n");
    bed.fake.set_host(HostFile::Stat, b"cpu  1 2\ncpu0 1 2\nintr 9 8 7\nctxt 5\nbtime 1\nprocesses 3\n");
    bed.fake.set_host(HostFile::Loadavg, b"0.10 0.20 0.30 4/500 9999\n");
    assert_eq!(read(&bed.task, "/proc/uptime").as_deref(), Ok("3.21 1.60\n"));
    let stat =
        "cpu  1 2\ncpu0 1 2\nintr 9\nctxt 5\nbtime 1000\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n";
    assert_eq!(read(&bed.task, "/proc/stat").as_deref(), Ok(stat));
    assert_eq!(read(&bed.task, "/proc/loadavg").as_deref(), Ok("0.10 0.20 0.30 1/1 1\n"));
}

#[test]
fn threads_have_directories_of_their_own() {
    let bed = bed();
    bed.fake.add_thread(THREAD, Identity { tgid: INIT, guest_tid: 3, guest_tgid: 1, parent: 1 }, INIT);
    let thread = bed.kernel.task(THREAD).expect("a thread");
    thread.set_comm(b"worker");
    assert_eq!(names(&bed.task, "/proc/1/task"), [".", "..", "1", "3"]);
    assert_eq!(read(&bed.task, "/proc/1/task/3/comm").as_deref(), Ok("worker\n"));
    assert_eq!(read(&bed.task, "/proc/3/comm").as_deref(), Ok("worker\n"));
    assert_eq!(link(&thread, "/proc/thread-self").as_deref(), Ok("1/task/3"));
    assert!(!names(&bed.task, "/proc").contains(&"3".to_owned()));
}

#[test]
fn a_dead_process_has_a_directory_until_it_is_waited_for() {
    let bed = bed();
    bed.fork();
    let kept = open(&bed.task, "/proc/7/comm", OpenFlags::empty()).expect("comm");
    let dir = open(&bed.task, "/proc/7", OpenFlags::DIRECTORY).expect("the directory");
    let before = dir.inode.metadata().expect("attributes").ino;
    assert_eq!(
        open(&bed.task, "/proc/7", OpenFlags::DIRECTORY).expect("again").inode.metadata().map(|m| m.ino),
        Ok(before)
    );
    bed.kernel.process_died(CHILD);
    assert_eq!(read_from(&bed.task, &kept, 0).as_deref(), Ok(&b"init\n"[..]));
    bed.fake.set_proc(CHILD, ProcFile::Stat, b"5001 (x) Z 1 1 1 0 -1 0 98\n");
    assert!(read(&bed.task, "/proc/7/stat").is_ok_and(|stat| stat.starts_with("7 (init) Z 1 ")));
    assert_eq!(names(&bed.task, "/proc/7/task"), [".", "..", "7"]);
    assert_eq!(names(&bed.task, "/proc").last().map(String::as_str), Some("7"));
    // The host uses its id again.
    bed.fake.add_thread(CHILD, Identity { tgid: CHILD, guest_tid: 8, guest_tgid: 8, parent: INIT }, INIT);
    assert_eq!(read_from(&bed.task, &kept, 0), Err(Errno::ESRCH));
    assert_eq!(open(&bed.task, "/proc/7", OpenFlags::DIRECTORY).err(), Some(Errno::ENOENT));
    assert_eq!(names(&bed.task, "/proc").last().map(String::as_str), Some("1"));
}

/// Every file of a process and of the machine can be opened and read, or refuses with an errno, even when
/// the host says nothing or nonsense.
#[test]
fn nothing_panics_over_nonsense() {
    let bed = bed();
    let nonsense: &[&[u8]] = &[b"", b"\n", b")", b"( ) ) (", b": \xff\n-\n0-\n", b"1-2 r 0 0 0\n", b"5 (x"];
    let files = [ProcFile::Stat, ProcFile::Status, ProcFile::Maps, ProcFile::Cmdline, ProcFile::Auxv];
    let machine = [HostFile::Cpuinfo, HostFile::Meminfo, HostFile::Stat, HostFile::Uptime, HostFile::Loadavg];
    for text in nonsense {
        files.iter().for_each(|file| bed.fake.set_proc(INIT, *file, text));
        machine.iter().for_each(|file| bed.fake.set_host(*file, text));
        for dir in ["/proc", "/proc/self", "/proc/self/task/1", "/proc/self/net", "/proc/self/ns"] {
            for name in names(&bed.task, dir) {
                let _ = read(&bed.task, &format!("{dir}/{name}"));
                let _ = link(&bed.task, &format!("{dir}/{name}"));
            }
        }
    }
}

/// A runtime masks files by mounting over them.
#[test]
fn a_file_can_be_mounted_over() {
    let bed = bed();
    let find = |path: &str| {
        bed.task.with_walk(|walk| walk.resolve(None, path.as_bytes(), WalkFlags::empty())).expect("found")
    };
    let (from, at) = (find("/proc/swaps"), find("/proc/partitions"));
    bed.namespace.bind(&from, &at, kernel_vfs::mount::Depth::One).expect("bound");
    assert_eq!(read(&bed.task, "/proc/partitions"), read(&bed.task, "/proc/swaps"));
}
