//! Mounts: mount(2) and umount2(2), what mount flags forbid, propagation, pivot_root(2), and mounts in steps. Each check
//! has a mount namespace of its own, so that the host's stays as it is.

use std::ffi::{CString, c_char};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, ExitCode};

use integration::checks;
use integration::guest::{self, fd, in_child, text};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, pivot_root};

fn main() -> ExitCode {
    guest::main(checks![
        tmpfs_is_mounted_used_and_unmounted,
        options_of_tmpfs_count,
        unknown_types_and_options_are_refused,
        readonly_remount_waits_for_writers,
        noexec_nodev_and_nosymfollow_forbid,
        bind_shows_a_directory_twice,
        propagation_follows_the_type,
        mounts_move,
        root_pivots_onto_itself,
        overlay_joins_directories,
        mounts_are_made_in_steps,
        attributes_of_mounts_change,
        ordinary_users_may_not_mount,
    ])
}

const NONE: Option<&str> = None;

/// Runs `body` in a mount namespace that tells nobody, with an empty tmpfs on /mnt.
fn alone(body: impl FnOnce()) {
    let status = in_child(|| {
        unshare(CloneFlags::CLONE_NEWNS).expect("unshare");
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).expect("private");
        tmpfs("/mnt", MsFlags::empty(), None).expect("tmpfs");
        body();
        0
    });
    assert_eq!(status, 0);
}

fn tmpfs(at: &str, flags: MsFlags, data: Option<&str>) -> nix::Result<()> {
    mount(Some("source"), at, Some("tmpfs"), flags, data)
}

fn bind(from: &str, to: &str) {
    mount(Some(from), to, NONE, MsFlags::MS_BIND, NONE).expect("bind");
}

fn make(at: &str, kind: MsFlags) {
    mount(NONE, at, NONE, kind, NONE).expect("propagation");
}

fn dirs(names: &[&str]) {
    for name in names {
        fs::create_dir(name).expect("mkdir");
    }
}

/// The fields of a mount point's last line in mountinfo.
fn mountinfo(point: &str) -> Option<Vec<String>> {
    let lines = text::read("/proc/self/mountinfo");
    let mut fields = lines.lines().map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    fields.rfind(|fields| fields.get(4).is_some_and(|field| field == point))
}

fn tmpfs_is_mounted_used_and_unmounted() {
    alone(|| {
        dirs(&["/mnt/d"]);
        tmpfs("/mnt/d", MsFlags::MS_NOSUID, None).expect("tmpfs");
        fs::write("/mnt/d/file", "x").expect("write");
        let line = mountinfo("/mnt/d").expect("listed");
        assert_eq!(
            (line[3].as_str(), line[5].as_str(), line[7].as_str()),
            ("/", "rw,nosuid,relatime", "tmpfs")
        );
        let held = fs::File::open("/mnt/d/file").expect("open");
        assert_eq!(umount2("/mnt/d", MntFlags::empty()), Err(Errno::EBUSY));
        umount2("/mnt/d", MntFlags::MNT_DETACH).expect("detach");
        assert_eq!(held.metadata().expect("fstat").size(), 1);
        assert!(!fs::exists("/mnt/d/file").expect("stat"));
        assert_eq!(umount2("/mnt/d", MntFlags::empty()), Err(Errno::EINVAL));
        assert!(mountinfo("/mnt/d").is_none());
        tmpfs("/mnt/d", MsFlags::empty(), None).expect("tmpfs");
        assert_eq!(umount2("/mnt/d", MntFlags::MNT_EXPIRE), Err(Errno::EAGAIN));
        umount2("/mnt/d", MntFlags::MNT_EXPIRE).expect("expired");
    });
}

fn options_of_tmpfs_count() {
    alone(|| {
        dirs(&["/mnt/d"]);
        tmpfs("/mnt/d", MsFlags::empty(), Some("size=64k,mode=750,uid=3,gid=4")).expect("tmpfs");
        let root = fs::metadata("/mnt/d").expect("stat");
        assert_eq!((root.mode() & 0o7777, root.uid(), root.gid()), (0o750, 3, 4));
        assert_eq!(text::errno(fs::write("/mnt/d/large", vec![1; 100_000])), libc::ENOSPC);
    });
}

fn unknown_types_and_options_are_refused() {
    alone(|| {
        let refused = |fs_type: Option<&str>, data: Option<&str>| {
            mount(Some("x"), "/mnt", fs_type, MsFlags::empty(), data).expect_err("refused")
        };
        assert_eq!(refused(Some("nosuchfs"), None), Errno::ENODEV);
        assert_eq!(refused(None, None), Errno::EINVAL);
        assert_eq!(refused(Some("tmpfs"), Some("nosuchoption=1")), Errno::EINVAL);
        assert_eq!(refused(Some("tmpfs"), Some("size=x")), Errno::EINVAL);
        assert_eq!(tmpfs("/mnt/missing", MsFlags::empty(), None), Err(Errno::ENOENT));
        fs::write("/mnt/file", "").expect("write");
        assert_eq!(tmpfs("/mnt/file", MsFlags::empty(), None), Err(Errno::ENOTDIR));
    });
}

fn readonly_remount_waits_for_writers() {
    alone(|| {
        let readonly = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        let writer = fs::File::create("/mnt/file").expect("create");
        assert_eq!(mount(NONE, "/mnt", NONE, readonly, NONE), Err(Errno::EBUSY));
        assert_eq!(mount(NONE, "/mnt", NONE, readonly | MsFlags::MS_BIND, NONE), Err(Errno::EBUSY));
        drop(writer);
        mount(NONE, "/mnt", NONE, readonly | MsFlags::MS_BIND, NONE).expect("remount");
        assert_eq!(text::errno(fs::write("/mnt/file", "x")), libc::EROFS);
        assert_eq!(text::errno(fs::create_dir("/mnt/dir")), libc::EROFS);
        mount(NONE, "/mnt", NONE, MsFlags::MS_REMOUNT | MsFlags::MS_BIND, NONE).expect("remount");
        fs::write("/mnt/file", "x").expect("write");
        mount(NONE, "/mnt", NONE, readonly, NONE).expect("remount");
        assert_eq!(text::errno(fs::write("/mnt/file", "y")), libc::EROFS);
    });
}

fn noexec_nodev_and_nosymfollow_forbid() {
    alone(|| {
        fs::copy("/bin/true", "/mnt/true").expect("copy");
        std::os::unix::fs::symlink("true", "/mnt/link").expect("symlink");
        assert!(Command::new("/mnt/true").status().expect("runs").success());
        let with = |flag: MsFlags| {
            mount(NONE, "/mnt", NONE, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flag, NONE).expect("remount");
        };
        with(MsFlags::MS_NOEXEC);
        assert_eq!(text::errno(Command::new("/mnt/true").status()), libc::EACCES);
        with(MsFlags::from_bits_retain(256));
        assert_eq!(text::errno(fs::read("/mnt/link")), libc::ELOOP);
        fs::write("/mnt/null", "").expect("write");
        bind("/dev/null", "/mnt/null");
        fs::File::open("/mnt/null").expect("a device");
        let nodev = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NODEV;
        mount(NONE, "/mnt/null", NONE, nodev, NONE).expect("remount");
        assert_eq!(text::errno(fs::File::open("/mnt/null")), libc::EACCES);
    });
}

fn bind_shows_a_directory_twice() {
    alone(|| {
        dirs(&["/mnt/a", "/mnt/b"]);
        bind("/mnt/a", "/mnt/b");
        fs::write("/mnt/b/file", "same").expect("write");
        assert_eq!(text::read("/mnt/a/file"), "same");
        assert_eq!(mountinfo("/mnt/b").expect("listed")[3], "/a");
        umount2("/mnt/b", MntFlags::empty()).expect("umount");
        make("/mnt", MsFlags::MS_UNBINDABLE);
        let refused = mount(Some("/mnt/a"), "/mnt/b", NONE, MsFlags::MS_BIND, NONE);
        assert_eq!(refused, Err(Errno::EINVAL));
    });
}

fn propagation_follows_the_type() {
    alone(|| {
        dirs(&["/mnt/a", "/mnt/b", "/mnt/c"]);
        tmpfs("/mnt/a", MsFlags::empty(), None).expect("tmpfs");
        dirs(&["/mnt/a/x", "/mnt/a/y"]);
        make("/mnt/a", MsFlags::MS_SHARED);
        bind("/mnt/a", "/mnt/b");
        bind("/mnt/a", "/mnt/c");
        make("/mnt/c", MsFlags::MS_SLAVE);
        let is_point = |path: &str| mountinfo(path).is_some();
        tmpfs("/mnt/b/x", MsFlags::empty(), None).expect("tmpfs");
        assert!(is_point("/mnt/a/x") && is_point("/mnt/c/x"));
        tmpfs("/mnt/c/y", MsFlags::empty(), None).expect("tmpfs");
        assert!(!is_point("/mnt/a/y"));
        umount2("/mnt/a/x", MntFlags::empty()).expect("umount");
        assert!(!is_point("/mnt/b/x") && !is_point("/mnt/c/x"));
        let shared = mountinfo("/mnt/a").expect("listed")[6].clone();
        let slave = mountinfo("/mnt/c").expect("listed")[6].clone();
        assert_eq!(shared.strip_prefix("shared:"), slave.strip_prefix("master:"));
        let both = MsFlags::MS_SHARED | MsFlags::MS_SLAVE;
        assert_eq!(mount(NONE, "/mnt/a", NONE, both, NONE), Err(Errno::EINVAL));
        assert_eq!(mount(NONE, "/mnt/a/y", NONE, MsFlags::MS_SHARED, NONE), Err(Errno::EINVAL));
    });
}

fn mounts_move() {
    alone(|| {
        dirs(&["/mnt/a", "/mnt/b"]);
        tmpfs("/mnt/a", MsFlags::empty(), None).expect("tmpfs");
        dirs(&["/mnt/a/inside"]);
        let to = |target: &str| mount(Some("/mnt/a"), target, NONE, MsFlags::MS_MOVE, NONE);
        assert_eq!(to("/mnt/a/inside"), Err(Errno::ELOOP));
        to("/mnt/b").expect("move");
        assert!(fs::exists("/mnt/b/inside").expect("stat") && mountinfo("/mnt/a").is_none());
    });
}

fn root_pivots_onto_itself() {
    alone(|| {
        mount(Some("/"), "/mnt", NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE).expect("rbind");
        chdir("/mnt").expect("chdir");
        assert_eq!(pivot_root("/", "/"), Err(Errno::EBUSY));
        pivot_root(".", ".").expect("pivot_root");
        umount2(".", MntFlags::MNT_DETACH).expect("umount");
        chdir("/").expect("chdir");
        assert!(fs::exists("/bin/true").expect("stat"));
        assert_eq!(std::env::current_dir().expect("getcwd"), std::path::Path::new("/"));
    });
}

fn overlay_joins_directories() {
    alone(|| {
        dirs(&["/mnt/low", "/mnt/up", "/mnt/work", "/mnt/all"]);
        fs::write("/mnt/low/old", "old").expect("write");
        fs::write("/mnt/low/gone", "").expect("write");
        let data = "lowerdir=/mnt/low,upperdir=/mnt/up,workdir=/mnt/work";
        let overlay = |data| mount(Some("o"), "/mnt/all", Some("overlay"), MsFlags::empty(), Some(data));
        assert_eq!(overlay("upperdir=/mnt/up,workdir=/mnt/work"), Err(Errno::EINVAL));
        assert!(!fs::exists("/mnt/up/new").expect("stat"));
        overlay(data).expect("overlay");
        fs::write("/mnt/all/new", "new").expect("write");
        fs::write("/mnt/all/old", "changed").expect("write");
        fs::remove_file("/mnt/all/gone").expect("unlink");
        assert_eq!((text::read("/mnt/up/new"), text::read("/mnt/low/old")), ("new".into(), "old".into()));
        assert_eq!(fs::metadata("/mnt/up/gone").expect("a whiteout").rdev(), 0);
        let mut names = text::names("/mnt/all");
        names.sort();
        assert_eq!(names, ["new", "old"]);
        umount2("/mnt/all", MntFlags::empty()).expect("umount");
        overlay("lowerdir=/mnt/up:/mnt/low").expect("read-only overlay");
        assert_eq!((text::names("/mnt/all").len(), text::read("/mnt/all/old")), (2, "changed".into()));
        assert_eq!(text::errno(fs::write("/mnt/all/more", "")), libc::EROFS);
    });
}

fn string(text: &str) -> CString {
    CString::new(text).expect("no NUL")
}

fn fd_of(result: libc::c_long) -> nix::Result<OwnedFd> {
    Errno::result(result).map(|number| fd::own(i32::try_from(number).expect("a descriptor")))
}

fn fsconfig(context: &OwnedFd, command: u32, key: Option<&str>, value: Option<&str>) -> nix::Result<()> {
    let (key, value) = (key.map(string), value.map(string));
    let raw = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null::<c_char>(), |text| text.as_ptr());
    let number = context.as_raw_fd();
    // SAFETY: the strings are live or null.
    let done = unsafe { libc::syscall(libc::SYS_fsconfig, number, command, raw(&key), raw(&value), 0) };
    Errno::result(done).map(drop)
}

fn move_mount(from: &OwnedFd, to: &str) -> nix::Result<()> {
    const FROM_EMPTY_PATH: u32 = 4;
    let (empty, to) = (string(""), string(to));
    let number = from.as_raw_fd();
    // SAFETY: the strings are live.
    let done = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            number,
            empty.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            FROM_EMPTY_PATH,
        )
    };
    Errno::result(done).map(drop)
}

fn mounts_are_made_in_steps() {
    alone(|| {
        dirs(&["/mnt/d", "/mnt/e"]);
        let name = string("tmpfs");
        // SAFETY: the string is live.
        let context = fd_of(unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), 1) }).expect("fsopen");
        fsconfig(&context, 1, Some("source"), Some("steps")).expect("source");
        fsconfig(&context, 1, Some("mode"), Some("711")).expect("mode");
        assert_eq!(fsconfig(&context, 1, Some("nosuch"), Some("1")), Err(Errno::EINVAL));
        assert_eq!(fsconfig(&context, 7, None, None), Err(Errno::EBUSY));
        fsconfig(&context, 6, None, None).expect("create");
        assert_eq!(fsconfig(&context, 6, None, None), Err(Errno::EBUSY));
        let number = context.as_raw_fd();
        // SAFETY: the call takes no pointer.
        let made = fd_of(unsafe { libc::syscall(libc::SYS_fsmount, number, 1, 2) }).expect("fsmount");
        move_mount(&made, "/mnt/d").expect("move_mount");
        let line = mountinfo("/mnt/d").expect("listed");
        assert_eq!((line[5].as_str(), line[8].as_str()), ("rw,nosuid,relatime", "steps"));
        assert_eq!(fs::metadata("/mnt/d").expect("stat").mode() & 0o7777, 0o711);
        let path = string("/mnt/d");
        // SAFETY: the string is live. OPEN_TREE_CLONE.
        let copy = fd_of(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), 1) });
        move_mount(&copy.expect("open_tree"), "/mnt/e").expect("move_mount");
        fs::write("/mnt/e/file", "").expect("write");
        assert!(fs::exists("/mnt/d/file").expect("stat"));
    });
}

fn attributes_of_mounts_change() {
    alone(|| {
        let path = string("/mnt");
        let set = |set: u64, clear: u64, propagation: u64| {
            let attributes = [set, clear, propagation, 0];
            // SAFETY: the string and the structure are live.
            let done = unsafe {
                libc::syscall(
                    libc::SYS_mount_setattr,
                    libc::AT_FDCWD,
                    path.as_ptr(),
                    0,
                    attributes.as_ptr(),
                    size_of_val(&attributes),
                )
            };
            Errno::result(done).map(drop)
        };
        set(1 | 8, 0, libc::MS_SHARED).expect("set");
        let line = mountinfo("/mnt").expect("listed");
        assert!(line[5] == "ro,noexec,relatime" && line[6].starts_with("shared:"), "{line:?}");
        set(0x10, 1 | 0x70, 0).expect("noatime");
        assert_eq!(mountinfo("/mnt").expect("listed")[5], "rw,noexec,noatime");
        assert_eq!(set(0x10, 0, 0), Err(Errno::EINVAL));
        assert_eq!(set(0, 0, libc::MS_SHARED | libc::MS_SLAVE), Err(Errno::EINVAL));
    });
}

fn ordinary_users_may_not_mount() {
    alone(|| {
        nix::unistd::setuid(nix::unistd::Uid::from_raw(1000)).expect("setuid");
        assert_eq!(tmpfs("/mnt", MsFlags::empty(), None), Err(Errno::EPERM));
        assert_eq!(umount2("/mnt", MntFlags::empty()), Err(Errno::EPERM));
        assert_eq!(unshare(CloneFlags::CLONE_NEWNS), Err(Errno::EPERM));
    });
}
