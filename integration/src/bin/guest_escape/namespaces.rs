//! What a container's root may make of namespaces and mounts: objects of the supervisor, never of the host.

use std::ffi::CString;
use std::fs;

use integration::guest::{Check, in_child, text};
use integration::{checks, raw};
use nix::errno::Errno;

pub(super) const INSIDE: &[Check] = checks![
    host_namespaces_cannot_be_made,
    nested_user_namespaces_give_nothing,
    filesystems_of_the_host_cannot_be_mounted,
    namespaces_of_init_are_the_containers,
    moved_directories_do_not_lead_out,
];

const NEW: [i32; 3] = [libc::CLONE_NEWPID, libc::CLONE_NEWNET, 0x80];

fn host_namespaces_cannot_be_made() {
    for flag in NEW {
        assert_eq!(raw!(SYS_unshare, flag), Err(Errno::EPERM), "{flag:#x}");
        assert_eq!(raw!(SYS_unshare, flag | libc::CLONE_NEWUSER), Err(Errno::EPERM), "{flag:#x}");
        if flag != 0x80 {
            let made = raw!(SYS_clone, i64::from(flag | libc::CLONE_NEWUSER) | 17, 0, 0, 0, 0);
            assert_eq!(made, Err(Errno::EPERM), "{flag:#x}");
        }
    }
    assert_eq!(raw!(SYS_clone3, 0, 0), Err(Errno::ENOSYS));
}

fn nested_user_namespaces_give_nothing() {
    let status = in_child(|| {
        let mut depth = 0;
        while raw!(SYS_unshare, libc::CLONE_NEWUSER | libc::CLONE_NEWNS).is_ok() {
            depth += 1;
            let _ = fs::write("/proc/self/setgroups", "deny");
            let _ = fs::write("/proc/self/uid_map", "0 0 1");
            assert!(depth < 100, "without end");
        }
        assert!(depth > 0);
        for flag in NEW {
            assert!(raw!(SYS_unshare, flag).is_err(), "{flag:#x}");
        }
        for device in [0x0101, 0x0800, 0x0700, 0x0a00] {
            let path = c"/tmp/node-of-a-nested-namespace";
            assert!(
                raw!(SYS_mknodat, libc::AT_FDCWD, path.as_ptr(), 0o20666, device).is_err(),
                "{device:#x}"
            );
        }
        assert_eq!(raw!(SYS_bpf, 0, 0, 0), Err(Errno::EPERM));
        0
    });
    assert_eq!(status, 0);
}

fn filesystems_of_the_host_cannot_be_mounted() {
    let dir = integration::guest::scratch::Scratch::new();
    let target = CString::new(dir.dir().as_os_str().as_encoded_bytes()).expect("no NUL");
    for name in [
        "ext4",
        "xfs",
        "btrfs",
        "vfat",
        "fuse",
        "nfs",
        "cifs",
        "9p",
        "debugfs",
        "tracefs",
        "securityfs",
        "bpf",
        "cgroup",
        "configfs",
        "efivarfs",
        "binfmt_misc",
        "hugetlbfs",
        "nsfs",
        "autofs",
        "squashfs",
    ] {
        let kind = CString::new(name).expect("no NUL");
        for source in [c"/dev/sda", c"/dev/vda", c"/dev/loop0", c"none"] {
            let result = raw!(SYS_mount, source.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, 0);
            assert!(result.is_err(), "{name} of {source:?}");
        }
        assert!(raw!(SYS_fsopen, kind.as_ptr(), 0).is_err(), "{name}");
    }
}

fn namespaces_of_init_are_the_containers() {
    for name in text::names("/proc/1/ns") {
        let own = text::link(&format!("/proc/self/ns/{name}"));
        assert_eq!(text::link(&format!("/proc/1/ns/{name}")), own, "{name}");
        let Ok(file) = fs::File::open(format!("/proc/1/ns/{name}")) else { continue };
        // Entering one's own is allowed, or refused; it never changes anything.
        let _ = raw!(SYS_setns, std::os::fd::AsRawFd::as_raw_fd(&file), 0);
        assert_eq!(text::link(&format!("/proc/self/ns/{name}")), own, "{name}");
    }
}

/// The way out of a bind mount by a directory that is moved from under it (CVE-2015-2925).
fn moved_directories_do_not_lead_out() {
    let dir = integration::guest::scratch::Scratch::new();
    let at = |name: &str| CString::new(dir.at(name).into_os_string().into_encoded_bytes()).expect("no NUL");
    fs::create_dir_all(dir.at("big/inner/deep")).expect("directories");
    fs::create_dir_all(dir.at("jail")).expect("a directory");
    let bound = raw!(SYS_mount, at("big/inner").as_ptr(), at("jail").as_ptr(), 0, libc::MS_BIND, 0);
    assert_eq!(bound, Ok(0));
    let status = in_child(|| {
        nix::unistd::chroot(&dir.at("jail")).expect("chroot");
        nix::unistd::chdir("/deep").expect("chdir");
        0
    });
    assert_eq!(status, 0);
    let deep = fs::File::open(dir.at("jail/deep")).expect("it is there");
    fs::rename(dir.at("big/inner/deep"), dir.at("big/deep")).expect("rename");
    let fd = std::os::fd::AsRawFd::as_raw_fd(&deep);
    let up = c"../../../../../../../../../../../../../../../etc/hostname-of-the-host";
    assert!(raw!(SYS_openat, fd, up.as_ptr(), libc::O_RDONLY, 0).is_err());
    let root = fs::metadata("/").expect("/");
    let path = c"../../../../../../../../../../../../../../..";
    if let Ok(top) = raw!(SYS_openat, fd, path.as_ptr(), libc::O_PATH, 0) {
        use std::os::unix::fs::MetadataExt;
        let found = fs::metadata(format!("/proc/self/fd/{top}")).expect("it is open");
        let is_jail = fs::metadata(dir.at("jail")).expect("it is there").ino() == found.ino();
        assert!(
            is_jail || (found.dev(), found.ino()) == (root.dev(), root.ino()),
            "neither the root nor the mount"
        );
    }
    let _ = raw!(SYS_umount2, at("jail").as_ptr(), libc::MNT_DETACH);
}
