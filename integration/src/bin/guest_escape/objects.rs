//! Files that stand for something else: magic links, devices, sockets and setuid programs, links out of a volume.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use integration::guest::{Check, in_child, scratch::Scratch, text};
use integration::{checks, raw};
use nix::errno::Errno;

pub(super) const INSIDE: &[Check] = checks![
    magic_links_stay_inside,
    own_program_cannot_be_written_through_proc,
    devices_of_the_host_cannot_be_opened,
    devices_that_a_guest_makes_are_not_the_hosts,
    sockets_and_fifos_of_a_volume_do_not_reach_the_host,
    hard_links_do_not_leave_a_volume,
    setuid_programs_give_what_the_container_has,
    host_settings_cannot_be_written,
];

/// The volume, with what the test put there; nothing where a check is run by hand.
fn volume() -> Option<PathBuf> {
    std::env::var_os("ESCAPE_VOLUME").map(PathBuf::from)
}

fn magic_links_stay_inside() {
    let root = fs::metadata("/").expect("/");
    let pids = text::names("/proc").into_iter().filter(|name| name.parse::<u32>().is_ok());
    for pid in pids.chain(["self".to_owned(), "thread-self".to_owned()]) {
        for link in ["root", "cwd"] {
            let up = format!("/proc/{pid}/{link}/../../../../../../../../../..");
            let Ok(found) = fs::metadata(&up) else { continue };
            assert_eq!((found.dev(), found.ino()), (root.dev(), root.ino()), "{up}");
        }
        for fd in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let target = fs::read_link(fd.path()).unwrap_or_default();
            assert!(!target.to_string_lossy().contains("memfd:palisade"), "{target:?}");
        }
    }
    // The host's own descriptors of this process are no entries here, and cannot be named.
    for fd in [63, 100, 1000] {
        assert!(fs::read_link(format!("/proc/self/fd/{fd}")).is_err(), "{fd}");
    }
    for file in [
        "/proc/kcore",
        "/proc/kmem",
        "/proc/1/mem",
        "/proc/self/pagemap",
        "/dev/mem",
        "/dev/kmem",
        "/dev/port",
    ] {
        let mut bytes = [0; 64];
        let read = File::open(file).and_then(|mut file| file.read(&mut bytes));
        assert!(read.is_err() || bytes == [0; 64], "{file}");
    }
}

/// The way into runc (CVE-2019-5736).
fn own_program_cannot_be_written_through_proc() {
    for link in ["/proc/self/exe", "/proc/1/exe"] {
        let Ok(program) = File::open(link) else { continue };
        for path in [link.to_owned(), format!("/proc/self/fd/{}", program.as_raw_fd())] {
            let Ok(written) = File::options().write(true).open(&path) else { continue };
            // Where the container's root may write its own program, that is a file of the container.
            let name = text::link(&path);
            assert!(!name.contains("palisade") && !name.contains("loader"), "{path} leads to {name}");
            drop(written);
        }
    }
}

fn devices_of_the_host_cannot_be_opened() {
    let Some(volume) = volume() else { return };
    for name in ["mem", "loop0", "kmsg", "tty"] {
        let path = volume.join(name);
        let kind = fs::symlink_metadata(&path).expect("the test put it there").file_type();
        assert!(kind.is_char_device() || kind.is_block_device(), "{name}");
        for options in [File::options().read(true), File::options().write(true)] {
            let opened = options.open(&path);
            let own = (name == "tty").then_some(Errno::ENXIO as i32);
            let errno = opened.err().and_then(|error| error.raw_os_error());
            assert!(errno.is_some() || own.is_none() && errno.is_some(), "{name} can be opened");
        }
    }
}

fn devices_that_a_guest_makes_are_not_the_hosts() {
    let dir = Scratch::new();
    for (name, mode, device) in [
        ("mem", 0o20666, 0x0101),
        ("kmsg", 0o20666, 0x010b),
        ("sda", 0o60666, 0x0800),
        ("kvm", 0o20666, 0x0ae8),
        ("fuse", 0o20666, 0x0ae5),
    ] {
        let path = dir.at(name);
        let text = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("no NUL");
        if raw!(SYS_mknodat, libc::AT_FDCWD, text.as_ptr(), mode, device).is_err() {
            continue;
        }
        let mut bytes = [0; 16];
        let read = File::open(&path).and_then(|mut file| file.read(&mut bytes));
        assert!(read.is_err(), "{name}: {read:?}");
        assert!(File::options().write(true).open(&path).is_err(), "{name}");
    }
}

fn sockets_and_fifos_of_a_volume_do_not_reach_the_host() {
    let Some(volume) = volume() else { return };
    assert!(UnixStream::connect(volume.join("listener")).is_err(), "a socket of the host");
    // A fifo is a file of the volume, as it is for every container; opened so it never waits.
    let path = volume.join("fifo");
    let fifo = nix::fcntl::open(
        &path,
        nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_NONBLOCK,
        nix::sys::stat::Mode::empty(),
    );
    if let Ok(fifo) = fifo {
        let mut bytes = [0; 8];
        assert!(matches!(nix::unistd::read(&fifo, &mut bytes), Ok(0) | Err(Errno::EAGAIN)));
    }
}

fn hard_links_do_not_leave_a_volume() {
    let Some(volume) = volume() else { return };
    let (file, outside) = (volume.join("file"), PathBuf::from("/tmp/link-out-of-a-volume"));
    let refused = |result: std::io::Result<()>| {
        let errno = result.err().and_then(|error| error.raw_os_error()).map(Errno::from_raw);
        assert!(matches!(errno, Some(Errno::EXDEV | Errno::EROFS | Errno::EPERM)), "{errno:?}");
    };
    refused(fs::hard_link(&file, &outside));
    refused(fs::hard_link("/bin/sh", volume.join("link-into-a-volume")));
    refused(fs::rename(&file, &outside));
    let open = File::open(&file).expect("it is there");
    let text = std::ffi::CString::new(format!("/proc/self/fd/{}", open.as_raw_fd())).expect("no NUL");
    let link = |old: *const libc::c_char, flags: i32| {
        raw!(SYS_linkat, open.as_raw_fd(), old, libc::AT_FDCWD, c"/tmp/link-by-a-descriptor".as_ptr(), flags)
    };
    assert!(link(text.as_ptr(), libc::AT_SYMLINK_FOLLOW).is_err());
    assert!(link(c"".as_ptr(), libc::AT_EMPTY_PATH).is_err());
}

/// Whatever ids a program gets inside, its host process keeps those of all guests: the test looks from outside.
fn setuid_programs_give_what_the_container_has() {
    let dir = Scratch::new();
    let program = dir.at("id");
    fs::copy("/usr/bin/id", &program).expect("a copy");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).expect("chmod");
    let status = in_child(|| {
        let none: [libc::gid_t; 0] = [];
        assert_eq!(raw!(SYS_setgroups, 0, none.as_ptr()), Ok(0));
        assert_eq!(raw!(SYS_setresgid, 1000, 1000, 1000), Ok(0));
        assert_eq!(raw!(SYS_setresuid, 1000, 1000, 1000), Ok(0));
        assert_eq!(raw!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), Ok(0));
        let out = std::process::Command::new(&program).arg("-u").output().expect("it runs");
        assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), "1000", "no_new_privs holds");
        assert!(raw!(SYS_setresuid, 0, 0, 0).is_err());
        0
    });
    assert_eq!(status, 0);
}

fn host_settings_cannot_be_written() {
    for file in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sysrq-trigger",
        "/proc/sys/vm/drop_caches",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/release_agent",
        "/sys/power/state",
        "/proc/sys/fs/binfmt_misc/register",
    ] {
        // Refused, not there, or a value of the sandbox's own: the test compares the host's afterwards.
        let _ = fs::write(file, "|/tmp/escape");
    }
}
