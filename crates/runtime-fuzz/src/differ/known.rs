//! Known differences between Palisade and Linux: each as narrow as possible, with its reason.

use crate::program::{Call, Data, Program, User, Value};

/// A difference that is no finding.
#[derive(Debug)]
pub struct Known {
    /// The key of the difference: the call and what differs; `*` at an end stands for anything.
    pub key: &'static str,
    /// Whether it holds for this call of the program.
    pub when: fn(&Call, &Program) -> bool,
    /// Why it is so.
    pub reason: &'static str,
}

/// All of them; COMPAT.md shows the list.
pub const KNOWN: &[Known] = &[
    known(
        "state fd",
        is_set_id,
        "the bare container's root is none of the host's: it loses set-id bits when it writes",
    ),
    known("state fd", is_pidfd, "a pidfd has the mode of other nameless files"),
    known("fchmod ok but EPERM", always_socket, "sockets have the mode that they are made with"),
    known("memfd_create E* but EINVAL", has_huge_pages, "no huge pages"),
    known("file_*attr * but EOPNOTSUPP", always, "no file system here has such attributes"),
    known("openat2 ok but EAGAIN", always, "RESOLVE_CACHED: nothing is known to be cached"),
    known("*xattr E* but E*", is_nameless_inode, "nameless inodes have no extended attributes at all"),
    known("*xattr ERANGE but ok", always_socket, "sockets have no extended attributes"),
    known("pwritev2 other value", is_about_devices, "/dev/null does not look at memory"),
    known("mbind EPERM but EINVAL", always, "as on a machine with one node"),
    known(
        "getsid other value",
        always,
        "the session is the container's own, whose leader the bare container does not see",
    ),
    known("get_robust_list *", always, "of the calling thread, whose list is at an address of its own"),
    known("futex* but *", always, "without priority inheritance; futex2 of 32 bits only"),
    known("setrlimit EPERM but ok", is_root, NOT_INITIAL),
    known("prlimit64 EPERM but ok", is_root, NOT_INITIAL),
    known(
        "state fd",
        is_nameless,
        "the open file of a nameless file does not keep O_TMPFILE as a status flag",
    ),
    known(
        "fstat ok writes statbuf at st_*id",
        always,
        "the kernel's own inodes are root's, whom the bare container cannot name",
    ),
    known("*chown* ok but EPERM", is_about_proc, "files of /proc have the owner that they have"),
    known(
        "*access* ok but EACCES",
        is_about_proc,
        "files of /proc are as their mode says also to capabilities",
    ),
    known("*statx* at stx_attributes_mask", always, "attributes that file systems of the host could have"),
    known(
        "openat2 E* but EAGAIN",
        always,
        "RESOLVE_CACHED is refused before the path is looked at: nothing is known to be cached",
    ),
    known("* EPERM but EACCES", is_about_proc, "names of /proc that cannot be removed"),
    known("* EPERM but EISDIR", is_about_proc, "names of /proc that cannot be removed"),
    known("* ok but EBUSY", is_about_devices, DEVICES),
    known("linkat E* but EXDEV", is_about_devices, DEVICES),
    known("sync_file_range ok but EINVAL", is_queue, "queues have no pages to write"),
    known(
        "readv E* but E*",
        is_nothing_to_read,
        "memory is read before the file is asked whether it can be read at all",
    ),
    known("ioctl E* but ENOTTY", is_attribute, "no file system here has attributes to set"),
    known("sendfile EBADF but EINVAL", always, "which of two unfit descriptors is told"),
    known("sendfile ok writes offset at byte 0", is_about_devices, "a device has no offset that moves"),
    known("writev ok but EFAULT", is_about_devices, "/dev/null does not look at memory"),
    known("read* EAGAIN but ok", is_empty_read, "an empty read never waits"),
    known("state fd", is_queue, "the open file of a queue does not keep O_CLOEXEC as a status flag"),
    known("timer_create EOPNOTSUPP but *", is_alarm, "the host has no clock that wakes it"),
    known("timer_create EINVAL but EPERM", is_alarm, "the host has no clock that wakes it"),
    known("setgroups EINVAL but ok", is_root, NOT_NAMED),
    known("shmget ok but ENOMEM", always, "the host promises more memory than it has"),
    known("shmget EINVAL but ENOMEM", has_huge_pages, "no huge pages"),
    known("setsockopt E* but ok", is_root, NOT_INITIAL),
    known(
        "*setsockopt E* but ENOPROTOOPT",
        always,
        "as setsockopt below, with values that the option refuses",
    ),
    known("*getsockopt E* but ENOPROTOOPT", always, "as setsockopt below"),
    known("send* E* but *", is_out_of_band, "no out-of-band data of AF_UNIX, no TCP fast open"),
    known("sendfile EINVAL but ok", is_about_devices, "/dev/null is copied from as any file"),
    known("fcntl ok writes arg at byte 0", is_hint, "hints of write life times are kept of files alone"),
    known("read* waiting or dead but ok", is_empty_read, "an empty read never waits"),
    known("*utime* ok but EPERM", is_about_proc, "files of /proc have no times to set"),
    known("fchown ok but EPERM", always_socket, "sockets have the owner that made them"),
    known("timerfd_create EPERM but ok", is_root, NOT_INITIAL),
    known("mq_open EINVAL but ok", is_root, NOT_INITIAL),
    known("mq_open EINVAL but EMFILE", is_root, NOT_INITIAL),
    known("msgctl EPERM but ok", is_root, NOT_INITIAL),
    known(
        "*stat ok writes statbuf at st_mode",
        is_root,
        "the bare container's root is none of the host's: it loses set-id bits when it writes",
    ),
    known("migrate_pages EPERM but EINVAL", always, "the host knows which nodes its control group may use"),
    known("*chown* EPERM but ok", is_about_devices, DEVICES),
    known("*chmod* EPERM but ok", is_about_devices, DEVICES),
    known("*utime* EPERM but ok", is_about_devices, DEVICES),
    known("*stat ok writes statbuf at st_*id", is_about_devices, DEVICES),
    known("statx ok writes statxbuf at stx_*", is_about_devices, DEVICES),
    known("memfd_create ok but EINVAL", has_huge_pages, "no huge pages"),
    known("shmget EPERM but *", has_huge_pages, "no huge pages"),
    known(
        "socket* ok but EPROTONOSUPPORT",
        is_netlink,
        "netlink families but those of routes and of socket diagnosis",
    ),
    known("socketpair EOPNOTSUPP but EPROTONOSUPPORT", is_netlink, "as socket"),
    known("socket* but *", is_packet, "no packet sockets, nor SOCK_PACKET of other families"),
    known(
        "setsockopt ok but ENOPROTOOPT",
        always,
        "options that few programs know; COMPAT.md names those that work",
    ),
    known("getsockopt ok but ENOPROTOOPT", always, "as setsockopt"),
    known("fcntl ENOTDIR but EINVAL", always, "no F_NOTIFY"),
    known("close_range ok but ENOMEM", always, "the descriptors of a process with threads are one table"),
    known("m* but ENOMEM", has_bad_address, "addresses above 2^47 are refused before the host sees them"),
    known("madvise ENOMEM but EINVAL", always, "advice that is refused whatever the address"),
    known(
        "write* EINVAL but EFAULT",
        has_bad_pointer,
        "memory is read before the file is asked whether it can be written at all",
    ),
];

const NOT_NAMED: &str = "the bare container has names for 65536 groups";
const NOT_INITIAL: &str =
    "the bare container's root has no capabilities over the host, where Linux asks for them";
const DEVICES: &str = "the bare container has the host's devices, whose owner it cannot name";

const fn known(key: &'static str, when: fn(&Call, &Program) -> bool, reason: &'static str) -> Known {
    Known { key, when, reason }
}

fn always(_: &Call, _: &Program) -> bool {
    true
}

fn is_root(_: &Call, program: &Program) -> bool {
    program.user == User::Root
}

fn has(call: &Call, wanted: impl Fn(&Value) -> bool) -> bool {
    let mut found = false;
    call.visit(&mut |value| found |= wanted(value));
    found
}

/// One of the standard descriptors, which are /dev/null, or a path of a device.
fn is_about_devices(call: &Call, _: &Program) -> bool {
    let standard = matches!(call.args.first(), Some(Value::Num(0..=2)));
    standard || has(call, |value| matches!(value, Value::Data(Data::Text(text)) if text.starts_with(b"/dev")))
}

fn has_flag(call: &Call, bits: u64) -> bool {
    has(call, |value| matches!(value, Value::Num(number) if number & bits == bits))
}

/// MFD_HUGETLB and SHM_HUGETLB.
fn has_huge_pages(call: &Call, _: &Program) -> bool {
    has_flag(call, 4) || has_flag(call, 0o4000)
}

fn is_alarm(call: &Call, _: &Program) -> bool {
    matches!(call.args.first(), Some(Value::Num(8 | 9)))
}

/// MSG_OOB and MSG_FASTOPEN.
fn is_out_of_band(call: &Call, _: &Program) -> bool {
    has_flag(call, 1) || has_flag(call, 0x2000_0000)
}

fn is_hint(call: &Call, _: &Program) -> bool {
    matches!(call.args.get(1), Some(Value::Num(1035..=1038)))
}

fn is_empty_read(call: &Call, _: &Program) -> bool {
    matches!(call.args.get(2), Some(Value::Num(0)))
}

fn is_about_proc(call: &Call, _: &Program) -> bool {
    has(call, |value| matches!(value, Value::Data(Data::Text(text)) if text.starts_with(b"/proc")))
}

/// Has O_TMPFILE.
fn is_nameless(_: &Call, program: &Program) -> bool {
    program.calls.iter().any(|call| call.row.name.starts_with("open") && has_flag(call, 0o20_000_000))
}

fn is_set_id(_: &Call, program: &Program) -> bool {
    let set_id = |value: &Value| matches!(value, Value::Num(mode) if mode & 0o6000 != 0 && *mode < 0o10_000);
    program.user == User::Root && program.calls.iter().any(|call| has(call, set_id))
}

fn is_pidfd(_: &Call, program: &Program) -> bool {
    program.calls.iter().any(|call| call.row.name == "pidfd_open")
}

/// Made by epoll, eventfd, inotify, signalfd, timerfd or pidfd.
fn is_nameless_inode(call: &Call, program: &Program) -> bool {
    let mut made = Vec::new();
    let makers =
        program.calls.iter().filter(|maker| matches!(maker.row.family, "events" | "poll" | "process"));
    makers.for_each(|maker| maker.defines(|var| made.push(var)));
    matches!(call.args.first(), Some(Value::Var(var)) if made.contains(var))
}

fn is_queue(_: &Call, program: &Program) -> bool {
    program.calls.iter().any(|call| call.row.name == "mq_open")
}

fn is_nothing_to_read(call: &Call, program: &Program) -> bool {
    let kinds = ["epoll_create", "epoll_create1", "signalfd", "signalfd4"];
    let mut made = Vec::new();
    let makers = program.calls.iter().filter(|maker| kinds.contains(&maker.row.name));
    makers.for_each(|maker| maker.defines(|var| made.push(var)));
    matches!(call.args.first(), Some(Value::Var(var)) if made.contains(var))
}

/// FS_IOC_SETFLAGS and its like: requests of the letter f.
fn is_attribute(call: &Call, _: &Program) -> bool {
    matches!(call.args.get(1), Some(Value::Num(request)) if request >> 8 & 0xff == 0x66 || request >> 8 & 0xff == 0x58)
}

fn always_socket(call: &Call, program: &Program) -> bool {
    let makers = program.calls.iter().filter(|maker| maker.row.family == "net");
    let mut made = Vec::new();
    makers.for_each(|maker| maker.defines(|var| made.push(var)));
    matches!(call.args.first(), Some(Value::Var(var)) if made.contains(var))
}

fn is_netlink(call: &Call, _: &Program) -> bool {
    matches!(call.args.first(), Some(Value::Num(16)))
}

fn is_packet(call: &Call, _: &Program) -> bool {
    matches!(call.args.first(), Some(Value::Num(17)))
        || matches!(call.args.get(1), Some(Value::Num(kind)) if kind & 0xf == 10)
}

fn has_bad_address(call: &Call, _: &Program) -> bool {
    has(call, |value| matches!(value, Value::Num(number) if *number >= 1 << 47))
        || has(call, |value| matches!(value, Value::Var(_)))
}

fn has_bad_pointer(call: &Call, _: &Program) -> bool {
    has(call, |value| *value == Value::Bad) || matches!(call.args.get(1), Some(Value::Num(0)))
}

/// The known difference that this is.
pub fn find(call: &Call, key: &str, program: &Program) -> Option<&'static Known> {
    KNOWN.iter().find(|known| is_like(known.key, key) && (known.when)(call, program))
}

/// Whether a key is of a pattern, in which `*` stands for anything.
fn is_like(pattern: &str, key: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = key.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(before) = last.replace(part) {
            let Some((_, after)) = rest.split_once(before) else { return false };
            rest = after;
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn stars_stand_for_anything() {
        assert!(is_like("*stat ok writes st_*id", "fstat ok writes st_uid"));
        assert!(is_like("open ok", "open ok") && !is_like("open ok", "open ok but"));
        assert!(is_like("a*b*c", "aXbYc") && !is_like("a*b*c", "aXc") && is_like("m*", "mmap"));
    }
}
