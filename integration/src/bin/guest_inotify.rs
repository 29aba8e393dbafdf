//! inotify(7): what is reported for which operation, in which order, and the limits.

use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use integration::checks;
use integration::guest::scratch::Scratch;
use integration::guest::{self, error_of, fd, fork_child, wait_raw};
use libc::{
    IN_ACCESS, IN_ALL_EVENTS, IN_ATTRIB, IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, IN_CREATE, IN_DELETE,
    IN_DELETE_SELF, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR, IN_MASK_ADD, IN_MASK_CREATE,
    IN_MODIFY, IN_MOVE_SELF, IN_MOVED_FROM, IN_MOVED_TO, IN_NONBLOCK, IN_ONESHOT, IN_ONLYDIR, IN_OPEN,
    IN_Q_OVERFLOW,
};
use nix::errno::Errno;

fn main() -> ExitCode {
    guest::main(checks![
        directory_watch_names_what_happens_to_its_files,
        file_watch_has_no_names,
        subdirectories_are_marked,
        rename_gives_two_halves_with_one_cookie,
        rename_over_a_file_tells_the_victim,
        exchange_is_two_renames,
        last_unlink_ends_a_watch,
        open_file_keeps_its_watch_after_unlink,
        hard_links_are_one_inode,
        removed_directory_ends_its_watch,
        identical_events_at_the_tail_are_merged,
        mask_is_replaced_added_or_refused,
        oneshot_watch_ends_with_its_first_event,
        excl_unlink_ignores_removed_names,
        links_and_directories_are_told_apart,
        metadata_changes_are_reported,
        reads_want_room_for_one_event,
        fionread_and_poll_tell_of_events,
        blocked_read_is_woken,
        full_queue_overflows_once,
        removed_watch_is_ignored_and_its_number_not_reused,
        arguments_are_checked,
        execution_opens_and_reads,
        instances_survive_fork,
    ])
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    wd: i32,
    mask: u32,
    cookie: u32,
    name: String,
}

struct Inotify(OwnedFd);

impl Inotify {
    fn new(flags: i32) -> Self {
        // SAFETY: the call takes no pointer.
        let fd = Errno::result(unsafe { libc::inotify_init1(flags) }).expect("inotify_init1");
        Self(fd::own(fd))
    }

    fn raw(&self) -> i32 {
        self.0.as_raw_fd()
    }

    fn try_add(&self, path: &Path, mask: u32) -> nix::Result<i32> {
        let path = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
        // SAFETY: the path is a string.
        Errno::result(unsafe { libc::inotify_add_watch(self.raw(), path.as_ptr(), mask) })
    }

    #[track_caller]
    fn add(&self, path: &Path, mask: u32) -> i32 {
        self.try_add(path, mask).expect("inotify_add_watch")
    }

    fn remove(&self, wd: i32) -> nix::Result<()> {
        // SAFETY: the call takes no pointer.
        Errno::result(unsafe { libc::inotify_rm_watch(self.raw(), wd) }).map(drop)
    }

    /// All events that wait, for a non-blocking instance.
    fn take(&self) -> Vec<Event> {
        let mut buffer = vec![0; 1 << 16];
        let mut events = Vec::new();
        loop {
            match fd::read(self.raw(), &mut buffer) {
                Ok(count) => events.extend(parse(&buffer[..count])),
                Err(Errno::EAGAIN) => return events,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// [`Inotify::take`] without numbers and cookies.
    fn what(&self) -> Vec<(u32, String)> {
        self.take().into_iter().map(|event| (event.mask, event.name)).collect()
    }
}

fn parse(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<16>() {
        let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let len = word(12) as usize;
        assert_eq!(len % 16, 0, "names are padded");
        let name = rest[..len].split(|&byte| byte == 0).next().unwrap_or_default();
        let name = String::from_utf8(name.to_vec()).expect("UTF-8");
        events.push(Event { wd: word(0) as i32, mask: word(4), cookie: word(8), name });
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty(), "whole events only");
    events
}

fn named(events: &[(u32, &str)]) -> Vec<(u32, String)> {
    events.iter().map(|&(mask, name)| (mask, name.to_owned())).collect()
}

fn directory_watch_names_what_happens_to_its_files() {
    let scratch = Scratch::new();
    let inotify = Inotify::new(IN_NONBLOCK);
    inotify.add(scratch.dir(), IN_ALL_EVENTS);
    fs::write(scratch.at("a"), "x").expect("write");
    let written = [(IN_CREATE, "a"), (IN_OPEN, "a"), (IN_MODIFY, "a"), (IN_CLOSE_WRITE, "a")];
    assert_eq!(inotify.what(), named(&written));
    fs::write(scratch.at("a"), "yz").expect("write");
    let again = [(IN_OPEN, "a"), (IN_MODIFY, "a"), (IN_CLOSE_WRITE, "a")];
    assert_eq!(inotify.what(), named(&again), "truncation comes after the open, and is merged with");
    assert_eq!(fs::read(scratch.at("a")).expect("read"), b"yz");
    assert_eq!(
        inotify.what(),
        named(&[(IN_OPEN, "a"), (IN_ACCESS, "a"), (IN_CLOSE_NOWRITE, "a")]),
        "reading at the end is no access"
    );
    fs::remove_file(scratch.at("a")).expect("unlink");
    assert_eq!(inotify.what(), named(&[(IN_DELETE, "a")]));
}

fn file_watch_has_no_names() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "1");
    let inotify = Inotify::new(IN_NONBLOCK);
    inotify.add(&path, IN_ALL_EVENTS);
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("open");
    file.write_all(b"2").expect("write");
    drop(file);
    assert_eq!(inotify.what(), named(&[(IN_OPEN, ""), (IN_MODIFY, ""), (IN_CLOSE_WRITE, "")]));
    // Both see it, the directory first.
    inotify.add(scratch.dir(), IN_OPEN);
    drop(fs::File::open(&path).expect("open"));
    assert_eq!(inotify.what(), named(&[(IN_OPEN, "f"), (IN_OPEN, ""), (IN_CLOSE_NOWRITE, "")]));
}

fn subdirectories_are_marked() {
    let scratch = Scratch::new();
    let inotify = Inotify::new(IN_NONBLOCK);
    inotify.add(scratch.dir(), IN_ALL_EVENTS);
    fs::create_dir(scratch.at("d")).expect("mkdir");
    assert_eq!(inotify.what(), named(&[(IN_CREATE | IN_ISDIR, "d")]));
    assert_eq!(fs::read_dir(scratch.at("d")).expect("opendir").count(), 0);
    let listed = inotify.what();
    assert_eq!(listed.first(), named(&[(IN_OPEN | IN_ISDIR, "d")]).first());
    assert_eq!(listed.last(), named(&[(IN_CLOSE_NOWRITE | IN_ISDIR, "d")]).first());
    assert!(listed.contains(&(IN_ACCESS | IN_ISDIR, "d".into())));
    fs::write(scratch.at("d/inner"), "").expect("write");
    assert_eq!(inotify.what(), [], "a watch is not recursive");
    fs::remove_file(scratch.at("d/inner")).expect("unlink");
    fs::remove_dir(scratch.at("d")).expect("rmdir");
    assert_eq!(inotify.what(), named(&[(IN_DELETE | IN_ISDIR, "d")]));
    symlink("nowhere", scratch.at("l")).expect("symlink");
    assert_eq!(inotify.what(), named(&[(IN_CREATE, "l")]));
}

fn rename_gives_two_halves_with_one_cookie() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.at("from")).expect("mkdir");
    fs::create_dir(scratch.at("to")).expect("mkdir");
    let file = scratch.file("from/a", "");
    let inotify = Inotify::new(IN_NONBLOCK);
    let from = inotify.add(&scratch.at("from"), IN_ALL_EVENTS);
    let to = inotify.add(&scratch.at("to"), IN_ALL_EVENTS);
    let own = inotify.add(&file, IN_ALL_EVENTS);
    fs::rename(&file, scratch.at("to/b")).expect("rename");
    let events = inotify.take();
    let cookie = events.first().expect("an event").cookie;
    assert_ne!(cookie, 0);
    let half = |wd, mask, cookie, name: &str| Event { wd, mask, cookie, name: name.into() };
    let both = [half(from, IN_MOVED_FROM, cookie, "a"), half(to, IN_MOVED_TO, cookie, "b")];
    assert_eq!(events, [both.as_slice(), &[half(own, IN_MOVE_SELF, 0, "")]].concat());
    fs::rename(scratch.at("to/b"), scratch.at("to/c")).expect("rename");
    let events = inotify.take();
    assert_ne!(events.first().expect("an event").cookie, cookie, "each rename has its own");
    fs::rename(scratch.at("to"), scratch.at("moved")).expect("rename");
    assert_eq!(inotify.what(), named(&[(IN_MOVE_SELF, "")]), "no IN_ISDIR on what happens to itself");
}

fn rename_over_a_file_tells_the_victim() {
    let scratch = Scratch::new();
    let (a, b) = (scratch.file("a", ""), scratch.file("b", ""));
    let inotify = Inotify::new(IN_NONBLOCK);
    inotify.add(&b, IN_ALL_EVENTS);
    fs::rename(a, &b).expect("rename");
    assert_eq!(inotify.what(), named(&[(IN_ATTRIB, ""), (IN_DELETE_SELF, ""), (IN_IGNORED, "")]));
}

fn exchange_is_two_renames() {
    let scratch = Scratch::new();
    let (a, b) = (scratch.file("a", ""), scratch.file("b", ""));
    let inotify = Inotify::new(IN_NONBLOCK);
    inotify.add(scratch.dir(), IN_ALL_EVENTS);
    let [a, b] = [a, b].map(|path| CString::new(path.as_os_str().as_bytes()).expect("no NUL"));
    let cwd = libc::AT_FDCWD;
    // SAFETY: both are strings.
    let done = unsafe { libc::renameat2(cwd, a.as_ptr(), cwd, b.as_ptr(), libc::RENAME_EXCHANGE) };
    Errno::result(done).expect("renameat2");
    let events = inotify.take();
    let what: Vec<_> = events.iter().map(|event| (event.mask, event.name.as_str())).collect();
    let expected = [(IN_MOVED_FROM, "a"), (IN_MOVED_TO, "b"), (IN_MOVED_FROM, "b"), (IN_MOVED_TO, "a")];
    assert_eq!(what, expected);
    assert_eq!(events[0].cookie, events[1].cookie);
    assert_ne!(events[1].cookie, events[2].cookie);
}

fn last_unlink_ends_a_watch() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    let inotify = Inotify::new(IN_NONBLOCK);
    let file = inotify.add(&path, IN_ALL_EVENTS);
    let dir = inotify.add(scratch.dir(), IN_ALL_EVENTS);
    fs::remove_file(path).expect("unlink");
    let events: Vec<_> = inotify.take().into_iter().map(|event| (event.wd, event.mask)).collect();
    let expected = [(file, IN_ATTRIB), (file, IN_DELETE_SELF), (file, IN_IGNORED), (dir, IN_DELETE)];
    assert_eq!(events, expected);
    assert_eq!(inotify.remove(file), Err(Errno::EINVAL), "it is gone");
}

fn open_file_keeps_its_watch_after_unlink() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    let inotify = Inotify::new(IN_NONBLOCK);
    inotify.add(&path, IN_ALL_EVENTS);
    let mut file = fs::OpenOptions::new().write(true).open(&path).expect("open");
    fs::remove_file(path).expect("unlink");
    file.write_all(b"x").expect("write");
    assert_eq!(inotify.what(), named(&[(IN_OPEN, ""), (IN_ATTRIB, ""), (IN_MODIFY, "")]));
    drop(file);
    assert_eq!(inotify.what(), named(&[(IN_CLOSE_WRITE, ""), (IN_DELETE_SELF, ""), (IN_IGNORED, "")]));
}

fn hard_links_are_one_inode() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    let inotify = Inotify::new(IN_NONBLOCK);
    let first = inotify.add(&path, IN_ALL_EVENTS);
    fs::hard_link(&path, scratch.at("g")).expect("link");
    assert_eq!(inotify.what(), named(&[(IN_ATTRIB, "")]), "the number of links changed");
    assert_eq!(inotify.add(&scratch.at("g"), IN_ALL_EVENTS), first);
    fs::remove_file(&path).expect("unlink");
    assert_eq!(inotify.what(), named(&[(IN_ATTRIB, "")]), "another name is left");
    fs::remove_file(scratch.at("g")).expect("unlink");
    assert_eq!(inotify.what(), named(&[(IN_ATTRIB, ""), (IN_DELETE_SELF, ""), (IN_IGNORED, "")]));
}

fn removed_directory_ends_its_watch() {
    let scratch = Scratch::new();
    let dir = scratch.at("d");
    fs::create_dir(&dir).expect("mkdir");
    let inotify = Inotify::new(IN_NONBLOCK);
    inotify.add(&dir, IN_ALL_EVENTS | IN_ONLYDIR);
    fs::remove_dir(dir).expect("rmdir");
    assert_eq!(inotify.what(), named(&[(IN_DELETE_SELF, ""), (IN_IGNORED, "")]));
}

fn identical_events_at_the_tail_are_merged() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    let inotify = Inotify::new(IN_NONBLOCK);
    inotify.add(&path, IN_MODIFY);
    let mut file = fs::OpenOptions::new().write(true).open(&path).expect("open");
    for _ in 0..5 {
        file.write_all(b"x").expect("write");
    }
    assert_eq!(inotify.what(), named(&[(IN_MODIFY, "")]));
    file.write_all(b"x").expect("write");
    assert_eq!(inotify.what(), named(&[(IN_MODIFY, "")]), "what was read is not merged with");
}

fn mask_is_replaced_added_or_refused() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    let inotify = Inotify::new(IN_NONBLOCK);
    let wd = inotify.add(&path, IN_OPEN);
    assert_eq!(inotify.add(&path, IN_CLOSE_NOWRITE), wd);
    drop(fs::File::open(&path).expect("open"));
    assert_eq!(inotify.what(), named(&[(IN_CLOSE_NOWRITE, "")]), "replaced");
    assert_eq!(inotify.add(&path, IN_OPEN | IN_MASK_ADD), wd);
    drop(fs::File::open(&path).expect("open"));
    assert_eq!(inotify.what(), named(&[(IN_OPEN, ""), (IN_CLOSE_NOWRITE, "")]), "added");
    assert_eq!(inotify.try_add(&path, IN_OPEN | IN_MASK_CREATE), Err(Errno::EEXIST));
    assert_eq!(inotify.try_add(&path, IN_OPEN | IN_MASK_CREATE | IN_MASK_ADD), Err(Errno::EINVAL));
    let other = scratch.file("g", "");
    assert!(inotify.try_add(&other, IN_OPEN | IN_MASK_CREATE).is_ok());
}

fn oneshot_watch_ends_with_its_first_event() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    let inotify = Inotify::new(IN_NONBLOCK);
    let wd = inotify.add(&path, IN_ALL_EVENTS | IN_ONESHOT);
    drop(fs::File::open(&path).expect("open"));
    assert_eq!(inotify.what(), named(&[(IN_OPEN, ""), (IN_IGNORED, "")]));
    assert_eq!(inotify.remove(wd), Err(Errno::EINVAL));
}

fn excl_unlink_ignores_removed_names() {
    let scratch = Scratch::new();
    for (flag, seen) in [(0, true), (IN_EXCL_UNLINK, false)] {
        let path = scratch.file("f", "");
        let inotify = Inotify::new(IN_NONBLOCK);
        inotify.add(scratch.dir(), IN_MODIFY | flag);
        let mut file = fs::OpenOptions::new().write(true).open(&path).expect("open");
        fs::remove_file(&path).expect("unlink");
        file.write_all(b"x").expect("write");
        assert_eq!(inotify.what().len(), usize::from(seen));
    }
}

fn links_and_directories_are_told_apart() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    symlink("f", scratch.at("l")).expect("symlink");
    let inotify = Inotify::new(IN_NONBLOCK);
    let target = inotify.add(&scratch.at("l"), IN_OPEN);
    assert_eq!(inotify.add(&path, IN_OPEN), target);
    assert_ne!(inotify.add(&scratch.at("l"), IN_OPEN | IN_DONT_FOLLOW), target);
    assert_eq!(inotify.try_add(&path, IN_OPEN | IN_ONLYDIR), Err(Errno::ENOTDIR));
    assert!(inotify.try_add(scratch.dir(), IN_OPEN | IN_ONLYDIR).is_ok());
    assert_eq!(inotify.try_add(&scratch.at("none"), IN_OPEN), Err(Errno::ENOENT));
}

fn metadata_changes_are_reported() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "abc");
    let inotify = Inotify::new(IN_NONBLOCK);
    inotify.add(&path, IN_ALL_EVENTS);
    let attrib = named(&[(IN_ATTRIB, "")]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
    assert_eq!(inotify.what(), attrib);
    let meta = fs::metadata(&path).expect("stat");
    std::os::unix::fs::chown(&path, Some(meta.uid()), None).expect("chown");
    assert_eq!(inotify.what(), attrib);
    let c_path = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    let omit = libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT };
    let some = libc::timespec { tv_sec: 5, tv_nsec: 0 };
    for (times, event) in [([some, some], IN_ATTRIB), ([some, omit], IN_ACCESS), ([omit, some], IN_MODIFY)] {
        // SAFETY: the path is a string, the times are two.
        let done = unsafe { libc::utimensat(libc::AT_FDCWD, c_path.as_ptr(), times.as_ptr(), 0) };
        Errno::result(done).expect("utimensat");
        assert_eq!(inotify.what(), named(&[(event, "")]));
    }
    // SAFETY: the path is a string.
    Errno::result(unsafe { libc::truncate(c_path.as_ptr(), 1) }).expect("truncate");
    assert_eq!(inotify.what(), named(&[(IN_MODIFY, "")]));
}

fn reads_want_room_for_one_event() {
    let scratch = Scratch::new();
    let inotify = Inotify::new(IN_NONBLOCK);
    inotify.add(scratch.dir(), IN_CREATE);
    assert_eq!(fd::read(inotify.raw(), &mut [0; 512]), Err(Errno::EAGAIN));
    scratch.file("some-name", "");
    scratch.file("other-name", "");
    assert_eq!(fd::read(inotify.raw(), &mut [0; 16]), Err(Errno::EINVAL), "too small for the name");
    assert_eq!(fd::read(inotify.raw(), &mut [0; 63]), Ok(32), "one whole event");
    assert_eq!(fd::read(inotify.raw(), &mut [0; 32]), Ok(32));
    assert_eq!(fd::write(inotify.raw(), b"x"), Err(Errno::EBADF));
}

fn fionread_and_poll_tell_of_events() {
    let scratch = Scratch::new();
    let inotify = Inotify::new(0);
    inotify.add(scratch.dir(), IN_CREATE | IN_DELETE_SELF);
    let ready = || {
        let mut bytes = -1;
        // SAFETY: the argument is an int.
        Errno::result(unsafe { libc::ioctl(inotify.raw(), libc::FIONREAD, &mut bytes) }).expect("FIONREAD");
        let mut poll = libc::pollfd { fd: inotify.raw(), events: libc::POLLIN | libc::POLLOUT, revents: 0 };
        // SAFETY: one pollfd.
        Errno::result(unsafe { libc::poll(&mut poll, 1, 0) }).expect("poll");
        (bytes, poll.revents)
    };
    assert_eq!(ready(), (0, 0));
    scratch.file("a", "");
    assert_eq!(ready(), (32, libc::POLLIN));
    scratch.file("b", "");
    assert_eq!(ready(), (64, libc::POLLIN));
}

fn blocked_read_is_woken() {
    let scratch = Scratch::new();
    let inotify = Inotify::new(0);
    inotify.add(scratch.dir(), IN_CREATE);
    let path = scratch.at("late");
    let maker = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        fs::write(path, "").expect("write");
    });
    let mut buffer = [0; 64];
    assert_eq!(fd::read(inotify.raw(), &mut buffer), Ok(32));
    maker.join().expect("thread");
}

fn full_queue_overflows_once() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("limit");
    let limit: usize = limit.trim().parse().expect("a number");
    let scratch = Scratch::new();
    let (a, b) = (scratch.file("a", ""), scratch.file("b", ""));
    let inotify = Inotify::new(IN_NONBLOCK);
    inotify.add(scratch.dir(), IN_ATTRIB);
    let mode = || fs::Permissions::from_mode(0o600);
    for _ in 0..limit / 2 + 10 {
        fs::set_permissions(&a, mode()).expect("chmod");
        fs::set_permissions(&b, mode()).expect("chmod");
    }
    let events = inotify.take();
    assert_eq!(events.len(), limit + 1);
    let last = events.last().expect("an event");
    assert_eq!((last.wd, last.mask, last.name.as_str()), (-1, IN_Q_OVERFLOW, ""));
    fs::set_permissions(&a, mode()).expect("chmod");
    assert_eq!(inotify.what(), named(&[(IN_ATTRIB, "a")]));
}

fn removed_watch_is_ignored_and_its_number_not_reused() {
    let scratch = Scratch::new();
    let inotify = Inotify::new(IN_NONBLOCK);
    let first = inotify.add(scratch.dir(), IN_CREATE);
    assert_eq!(first, 1);
    inotify.remove(first).expect("inotify_rm_watch");
    assert_eq!(inotify.what(), named(&[(IN_IGNORED, "")]));
    scratch.file("a", "");
    assert_eq!(inotify.what(), []);
    assert_eq!(inotify.add(scratch.dir(), IN_CREATE), 2);
}

fn arguments_are_checked() {
    let scratch = Scratch::new();
    let inotify = Inotify::new(IN_NONBLOCK | libc::IN_CLOEXEC);
    assert_eq!(fd::fcntl(inotify.raw(), libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC));
    // SAFETY: the call takes no pointer.
    assert_eq!(error_of(Errno::result(unsafe { libc::inotify_init1(1) })), Errno::EINVAL);
    assert_eq!(inotify.try_add(scratch.dir(), 0), Err(Errno::EINVAL));
    assert_eq!(inotify.remove(77), Err(Errno::EINVAL));
    let file = fs::File::open("/dev/null").expect("open");
    // SAFETY: the path is a string.
    let refused = unsafe { libc::inotify_add_watch(file.as_raw_fd(), c"/".as_ptr(), IN_OPEN) };
    assert_eq!(error_of(Errno::result(refused)), Errno::EINVAL);
    // SAFETY: the path is a string.
    let refused = unsafe { libc::inotify_add_watch(-1, c"/".as_ptr(), IN_OPEN) };
    assert_eq!(error_of(Errno::result(refused)), Errno::EBADF);
    // SAFETY: no pointer of ours is followed.
    let refused = unsafe { libc::inotify_add_watch(inotify.raw(), std::ptr::dangling(), IN_OPEN) };
    assert_eq!(error_of(Errno::result(refused)), Errno::EFAULT);
}

fn execution_opens_and_reads() {
    let scratch = Scratch::new();
    let script = scratch.file("s", "#!/bin/true\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("chmod");
    let inotify = Inotify::new(IN_NONBLOCK);
    inotify.add(&script, IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE);
    assert!(std::process::Command::new(&script).status().expect("run").success());
    let events = inotify.what();
    assert_eq!(events.first(), named(&[(IN_OPEN, "")]).first());
    assert!(events.contains(&(IN_ACCESS, String::new())));
    assert_eq!(events.last(), named(&[(IN_CLOSE_NOWRITE, "")]).first());
}

fn instances_survive_fork() {
    let scratch = Scratch::new();
    let inotify = Inotify::new(IN_NONBLOCK);
    inotify.add(scratch.dir(), IN_CREATE);
    let path = scratch.at("child");
    let child = fork_child(|| fs::write(path, "").map_or(1, |()| 0));
    assert_eq!(wait_raw(child.as_raw()), 0);
    assert_eq!(inotify.what(), named(&[(IN_CREATE, "child")]));
}
