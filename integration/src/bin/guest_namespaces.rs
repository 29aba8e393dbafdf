//! Namespaces: unshare(2), setns(2), clone(2) with flags, /proc/pid/ns, and user namespaces with their maps.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::ExitCode;

use integration::checks;
use integration::guest::{self, fork_child, in_child, text, wait_raw};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{
    Gid, Uid, chroot, getegid, geteuid, gethostname, getuid, pipe, read, setgid, setgroups, sethostname,
    setuid,
};

fn main() -> ExitCode {
    guest::main(checks![
        links_name_namespaces,
        host_names_are_a_namespaces_own,
        setns_enters_by_descriptor_and_pidfd,
        mounts_are_a_namespaces_own,
        clone_makes_namespaces_for_the_child,
        user_namespace_shows_unmapped_ids,
        user_maps_himself_and_mounts,
        maps_are_written_once_and_by_rule,
        files_of_others_stay_closed,
        capabilities_end_at_the_namespace,
        set_id_files_of_the_unmapped_give_nothing,
        chroot_keeps_from_user_namespaces,
        commands_of_namespace_files,
        ordinary_users_need_a_user_namespace,
    ])
}

const NONE: Option<&str> = None;

fn own(kind: &str) -> String {
    text::link(&format!("/proc/self/ns/{kind}"))
}

fn child(body: impl FnOnce()) {
    let status = in_child(|| {
        body();
        0
    });
    assert_eq!(status, 0);
}

fn become_user() {
    setgroups(&[]).expect("setgroups");
    setgid(Gid::from_raw(1000)).expect("setgid");
    setuid(Uid::from_raw(1000)).expect("setuid");
    // Else root owns the files of /proc/self, which has changed its ids.
    nix::sys::prctl::set_dumpable(true).expect("prctl");
}

/// Of the present user as root of a new user namespace.
fn become_own_root(more: CloneFlags) {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | more).expect("unshare");
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).expect("uid_map");
    fs::write("/proc/self/setgroups", "deny").expect("setgroups");
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).expect("gid_map");
}

fn links_name_namespaces() {
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        let number = own(kind);
        let number = number.strip_prefix(&format!("{kind}:[")).and_then(|rest| rest.strip_suffix(']'));
        let inode = fs::metadata(format!("/proc/self/ns/{kind}")).expect("stat").ino();
        assert_eq!(number.and_then(|number| number.parse().ok()), Some(inode));
    }
    let flags = [
        ("uts", CloneFlags::CLONE_NEWUTS),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("mnt", CloneFlags::CLONE_NEWNS),
        ("cgroup", CloneFlags::CLONE_NEWCGROUP),
        ("user", CloneFlags::CLONE_NEWUSER),
    ];
    for (kind, flag) in flags {
        child(|| {
            let before = own(kind);
            unshare(flag).expect("unshare");
            assert_ne!(own(kind), before);
        });
    }
}

fn host_names_are_a_namespaces_own() {
    let before = gethostname().expect("gethostname");
    child(|| {
        unshare(CloneFlags::CLONE_NEWUTS).expect("unshare");
        assert_eq!(gethostname().expect("gethostname"), before);
        sethostname("elsewhere").expect("sethostname");
        assert_eq!(text::read("/proc/sys/kernel/hostname"), "elsewhere\n");
    });
    assert_eq!(gethostname().expect("gethostname"), before);
}

fn setns_enters_by_descriptor_and_pidfd() {
    let (reader, writer) = pipe().expect("pipe");
    let other = fork_child(|| {
        unshare(CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC).expect("unshare");
        sethostname("other").expect("sethostname");
        nix::unistd::write(&writer, b"x").expect("write");
        loop {
            nix::unistd::pause();
        }
    });
    read(&reader, &mut [0]).expect("read");
    child(|| {
        let file = File::open(format!("/proc/{other}/ns/uts")).expect("open");
        assert_eq!(setns(&file, CloneFlags::CLONE_NEWIPC), Err(Errno::EINVAL));
        setns(&file, CloneFlags::empty()).expect("setns");
        assert_eq!(gethostname().expect("gethostname"), "other");
        assert_eq!(setns(File::open("/dev/null").expect("open"), CloneFlags::empty()), Err(Errno::EINVAL));
    });
    child(|| {
        // SAFETY: the call takes no pointer.
        let number = unsafe { libc::syscall(libc::SYS_pidfd_open, other.as_raw(), 0) };
        let pidfd = guest::fd::own(i32::try_from(number).expect("a descriptor"));
        setns(&pidfd, CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC).expect("setns");
        assert_eq!(own("ipc"), text::link(&format!("/proc/{other}/ns/ipc")));
    });
    nix::sys::signal::kill(other, nix::sys::signal::SIGKILL).expect("kill");
    wait_raw(other.as_raw());
}

fn mounts_are_a_namespaces_own() {
    child(|| {
        unshare(CloneFlags::CLONE_NEWNS).expect("unshare");
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).expect("private");
        let outer = File::open("/proc/self/ns/mnt").expect("open");
        child(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect("unshare");
            mount(Some("t"), "/mnt", Some("tmpfs"), MsFlags::empty(), NONE).expect("mount");
            fs::write("/mnt/here", "").expect("write");
            setns(&outer, CloneFlags::CLONE_NEWNS).expect("setns");
            assert!(!fs::exists("/mnt/here").expect("stat"));
        });
        assert!(!fs::exists("/mnt/here").expect("stat"));
    });
}

fn clone_makes_namespaces_for_the_child() {
    let before = (own("uts"), own("user"));
    let (reader, writer) = pipe().expect("pipe");
    let flags = libc::CLONE_NEWUSER | libc::CLONE_NEWUTS | libc::SIGCHLD;
    // SAFETY: like fork(2): no stack, no pointers; the child makes only calls that are safe then.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid == 0 {
        let both = format!("{} {}", own("uts"), own("user"));
        let _ = nix::unistd::write(&writer, both.as_bytes());
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(sethostname("inside").is_err())) };
    }
    let pid = i32::try_from(pid).expect("a process id");
    let mut told = [0; 100];
    let len = read(&reader, &mut told).expect("read");
    let told = String::from_utf8_lossy(&told[..len]).into_owned();
    let (uts, user) = told.split_once(' ').expect("two names");
    assert!(uts.starts_with("uts:[") && user.starts_with("user:["));
    assert_ne!((uts.to_owned(), user.to_owned()), before);
    assert_eq!((own("uts"), own("user")), before);
    assert_eq!(wait_raw(pid), 0);
    // SAFETY: as above; the kernel refuses.
    let refused = unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_NEWUSER | libc::CLONE_FS, 0, 0, 0, 0) };
    assert_eq!(Errno::result(refused), Err(Errno::EINVAL));
}

fn user_namespace_shows_unmapped_ids() {
    child(|| {
        unshare(CloneFlags::CLONE_NEWUSER).expect("unshare");
        assert_eq!((getuid().as_raw(), getegid().as_raw()), (65534, 65534));
        assert_eq!(fs::metadata("/").expect("stat").uid(), 65534);
        assert_eq!(text::read("/proc/self/uid_map"), "");
        assert_eq!(text::field("/proc/self/status", "CapEff"), "000001ffffffffff");
        assert_eq!(setuid(Uid::from_raw(0)), Err(Errno::EINVAL));
    });
}

fn user_maps_himself_and_mounts() {
    child(|| {
        become_user();
        become_own_root(CloneFlags::CLONE_NEWNS);
        assert_eq!(getuid().as_raw(), 0);
        let map: Vec<_> = text::read("/proc/self/uid_map").split_whitespace().map(str::to_owned).collect();
        assert_eq!(map, ["0", "1000", "1"]);
        mount(Some("t"), "/mnt", Some("tmpfs"), MsFlags::empty(), NONE).expect("mount");
        fs::write("/mnt/mine", "").expect("write");
        assert_eq!(fs::metadata("/mnt/mine").expect("stat").uid(), 0);
        assert_eq!(setgroups(&[]), Err(Errno::EPERM));
        assert_eq!(
            std::os::unix::fs::chown("/mnt/mine", Some(5), None).map_err(|e| e.raw_os_error()),
            Err(Some(libc::EINVAL))
        );
        let umount = nix::mount::umount2("/proc", nix::mount::MntFlags::MNT_DETACH);
        assert_eq!(umount, Err(Errno::EINVAL), "locked");
        chroot("/mnt").expect("chroot");
    });
}

fn maps_are_written_once_and_by_rule() {
    child(|| {
        become_user();
        unshare(CloneFlags::CLONE_NEWUSER).expect("unshare");
        let write = |file: &str, map: &str| text::errno(fs::write(format!("/proc/self/{file}"), map));
        assert_eq!(write("uid_map", "0 0 1"), libc::EPERM);
        assert_eq!(write("uid_map", "0 1000 2"), libc::EPERM);
        assert_eq!(write("uid_map", "0 1000"), libc::EINVAL);
        assert_eq!(write("gid_map", "0 1000 1"), libc::EPERM);
        fs::write("/proc/self/uid_map", "7 1000 1\n").expect("uid_map");
        assert_eq!(write("uid_map", "7 1000 1"), libc::EPERM);
        assert_eq!(getuid().as_raw(), 7);
        assert_eq!(text::read("/proc/self/setgroups"), "allow\n");
        fs::write("/proc/self/setgroups", "deny").expect("setgroups");
        fs::write("/proc/self/gid_map", "8 1000 1").expect("gid_map");
        assert_eq!(write("setgroups", "allow"), libc::EPERM);
    });
}

fn files_of_others_stay_closed() {
    child(|| {
        become_user();
        become_own_root(CloneFlags::empty());
        assert_eq!(text::errno(fs::read("/etc/shadow")), libc::EACCES);
        assert_eq!(text::errno(fs::write("/etc/new", "")), libc::EACCES);
    });
}

fn capabilities_end_at_the_namespace() {
    child(|| {
        become_own_root(CloneFlags::empty());
        assert_eq!(sethostname("no"), Err(Errno::EPERM), "the outer namespace's");
        assert_eq!(mount(Some("t"), "/mnt", Some("tmpfs"), MsFlags::empty(), NONE), Err(Errno::EPERM));
        unshare(CloneFlags::CLONE_NEWUTS).expect("unshare");
        sethostname("yes").expect("sethostname");
    });
}

fn set_id_files_of_the_unmapped_give_nothing() {
    child(|| {
        unshare(CloneFlags::CLONE_NEWNS).expect("unshare");
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).expect("private");
        mount(Some("t"), "/mnt", Some("tmpfs"), MsFlags::empty(), NONE).expect("mount");
        fs::copy("/usr/bin/id", "/mnt/id").expect("copy");
        fs::set_permissions("/mnt/id", fs::Permissions::from_mode(0o4755)).expect("chmod");
        let effective = || {
            let out = std::process::Command::new("/mnt/id").arg("-u").output().expect("runs");
            String::from_utf8_lossy(&out.stdout).trim().to_owned()
        };
        become_user();
        assert_eq!(effective(), "0");
        unshare(CloneFlags::CLONE_NEWUSER).expect("unshare");
        fs::write("/proc/self/uid_map", "7 1000 1").expect("uid_map");
        assert_eq!(effective(), "7");
    });
}

fn chroot_keeps_from_user_namespaces() {
    child(|| {
        chroot("/usr").expect("chroot");
        assert_eq!(unshare(CloneFlags::CLONE_NEWUSER), Err(Errno::EPERM));
    });
}

fn commands_of_namespace_files() {
    const NS_GET_USERNS: u64 = 0xb701;
    const NS_GET_PARENT: u64 = 0xb702;
    const NS_GET_NSTYPE: u64 = 0xb703;
    let command = |file: &File, number: u64| {
        // SAFETY: the commands take no pointer.
        Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), number) })
    };
    let uts = File::open("/proc/self/ns/uts").expect("open");
    assert_eq!(command(&uts, NS_GET_NSTYPE), Ok(libc::CLONE_NEWUTS));
    assert_eq!(command(&uts, NS_GET_PARENT), Err(Errno::EINVAL));
    let owner = File::from(guest::fd::own(command(&uts, NS_GET_USERNS).expect("the owner")));
    assert_eq!(command(&owner, NS_GET_NSTYPE), Ok(libc::CLONE_NEWUSER));
    assert_eq!(
        owner.metadata().expect("fstat").ino(),
        fs::metadata("/proc/self/ns/user").expect("stat").ino()
    );
}

fn ordinary_users_need_a_user_namespace() {
    child(|| {
        become_user();
        assert_eq!(unshare(CloneFlags::CLONE_NEWUTS), Err(Errno::EPERM));
        let uts = File::open("/proc/self/ns/uts").expect("open");
        assert_eq!(setns(&uts, CloneFlags::empty()), Err(Errno::EPERM));
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWUTS).expect("unshare");
        sethostname("mine").expect("sethostname");
    });
}
