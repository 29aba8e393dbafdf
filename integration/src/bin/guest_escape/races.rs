//! Gated calls and file mappings whose memory or descriptors other threads change meanwhile.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use integration::guest::{Check, fd, fork_child, in_child, scratch::Scratch, wait_raw};
use integration::{checks, raw};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::rounds;

pub(super) const PORTABLE: &[Check] = checks![
    mapping_of_a_changing_descriptor_is_of_one_file,
    queued_signals_are_not_forged_by_a_race,
    scheduling_is_not_raised_by_a_race,
    programs_path_is_read_once,
    dying_processes_records_are_not_mixed,
    native_calls_find_no_handed_in_descriptor,
];

/// Runs something over and over in a thread, until the value is dropped.
struct Meanwhile {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Meanwhile {
    fn run(mut body: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                body();
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A number that leads to one file, then to the other, and so on.
fn flip(number: i32, one: &File, other: &File) -> Meanwhile {
    let (one, other) = (one.try_clone().expect("dup"), other.try_clone().expect("dup"));
    Meanwhile::run(move || {
        let _ = fd::dup2(one.as_raw_fd(), number);
        let _ = fd::dup2(other.as_raw_fd(), number);
    })
}

fn map(number: i32, prot: i32, flags: i32, offset: i64) -> Result<usize, Errno> {
    raw!(SYS_mmap, 0, 4096, prot, flags, number, offset).map(|at| at as usize)
}

/// What is mapped there; nothing where that faults.
fn first_byte(at: usize) -> Option<u8> {
    let (reader, writer) = nix::unistd::pipe().expect("pipe");
    raw!(SYS_write, writer.as_raw_fd(), at, 1).ok()?;
    let mut byte = [0];
    nix::unistd::read(&reader, &mut byte).ok()?;
    Some(byte[0])
}

fn mapping_of_a_changing_descriptor_is_of_one_file() {
    let dir = Scratch::new();
    let writable = dir.file("a", vec![b'A'; 4096]);
    let read_only = dir.file("b", vec![b'B'; 4096]);
    let a = File::options().read(true).write(true).open(writable).expect("open");
    let b = File::open(&read_only).expect("open");
    let number = fd::dup(a.as_raw_fd()).expect("dup");
    let flipping = flip(number, &a, &b);
    for _ in 0..rounds() {
        if let Ok(at) = map(number, 1, libc::MAP_PRIVATE, 0) {
            assert!(matches!(first_byte(at), Some(b'A' | b'B')));
            let _ = raw!(SYS_munmap, at, 4096);
        }
        // Shared and writable: only the file that is open for writing.
        if let Ok(at) = map(number, 3, libc::MAP_SHARED, 0) {
            assert_eq!(first_byte(at), Some(b'A'), "a file that is open for reading was mapped for writing");
            let _ = raw!(SYS_munmap, at, 4096);
        }
    }
    drop(flipping);
    assert_eq!(std::fs::read(read_only).expect("it is there"), vec![b'B'; 4096]);
}

static FORGED: AtomicI32 = AtomicI32::new(0);

extern "C" fn check_sender(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes a siginfo to a handler with SA_SIGINFO.
    let code = unsafe { (*info).si_code };
    if code >= 0 || code == libc::SI_TKILL {
        FORGED.fetch_add(1, Ordering::SeqCst);
    }
}

/// Only the kernel says SI_USER or SI_TKILL, or something positive; a queued signal to another says so by a negative code.
fn queued_signals_are_not_forged_by_a_race() {
    let child = fork_child(|| {
        let action =
            SigAction::new(SigHandler::SigAction(check_sender), SaFlags::SA_SIGINFO, SigSet::empty());
        // SAFETY: the handler adds to a counter.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.expect("sigaction");
        // The end is a signal too, so that none is waited for in vain.
        let mut end = SigSet::empty();
        end.add(Signal::SIGUSR2);
        end.thread_block().expect("sigprocmask");
        end.wait().expect("sigwait");
        i32::from(FORGED.load(Ordering::SeqCst) > 0)
    });
    thread::sleep(std::time::Duration::from_millis(50));
    let info: Arc<[AtomicU64; 16]> = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
    let changed = Arc::clone(&info);
    let changing = Meanwhile::run(move || {
        for code in [-1i32, 0, 1, libc::SI_TKILL, -6, 0x80] {
            changed[1].store(u64::from(code.cast_unsigned()), Ordering::Relaxed);
        }
    });
    for _ in 0..rounds() {
        let _ = raw!(SYS_rt_sigqueueinfo, child.as_raw(), libc::SIGUSR1, info.as_ptr());
        let _ = raw!(SYS_rt_tgsigqueueinfo, child.as_raw(), child.as_raw(), libc::SIGUSR1, info.as_ptr());
    }
    drop(changing);
    assert_eq!(raw!(SYS_kill, child.as_raw(), libc::SIGUSR2), Ok(0));
    assert_eq!(wait_raw(child.as_raw()), 0, "a forged signal arrived");
}

fn scheduling_is_not_raised_by_a_race() {
    let status = in_child(|| {
        let none: [libc::gid_t; 0] = [];
        let _ = raw!(SYS_setgroups, 0, none.as_ptr());
        let _ = raw!(SYS_setresuid, 65000, 65000, 65000);
        let parameters: Arc<[AtomicI32; 14]> = Arc::new(std::array::from_fn(|_| AtomicI32::new(0)));
        let changed = Arc::clone(&parameters);
        let changing = Meanwhile::run(move || {
            for value in [0, 99, 1, -20, 48] {
                changed[0].store(value, Ordering::Relaxed);
            }
        });
        for _ in 0..rounds() {
            for policy in [libc::SCHED_FIFO, libc::SCHED_RR, libc::SCHED_OTHER, 6] {
                let _ = raw!(SYS_sched_setscheduler, 0, policy, parameters.as_ptr());
            }
            let _ = raw!(SYS_sched_setparam, 0, parameters.as_ptr());
        }
        drop(changing);
        let policy = raw!(SYS_sched_getscheduler, 0).expect("own policy");
        i32::from(policy != 0)
    });
    assert_eq!(status, 0);
}

fn programs_path_is_read_once() {
    for _ in 0..rounds() / 20 {
        let status = in_child(|| {
            let path: Arc<[AtomicU64; 2]> = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
            let word = |text: &[u8; 8]| u64::from_ne_bytes(*text);
            path[0].store(word(b"/bin/tru"), Ordering::Relaxed);
            path[1].store(word(b"e\0\0\0\0\0\0\0"), Ordering::Relaxed);
            let changed = Arc::clone(&path);
            let changing = Meanwhile::run(move || {
                for [one, two] in [[b"/bin/fal", b"se\0\0\0\0\0\0"], [b"/bin/tru", b"e\0\0\0\0\0\0\0"]] {
                    changed[0].store(word(one), Ordering::Relaxed);
                    changed[1].store(word(two), Ordering::Relaxed);
                }
            });
            let argv = [path.as_ptr() as u64, 0];
            loop {
                // A mixture of both names is no file: ENOENT.
                let error = raw!(SYS_execve, path.as_ptr(), argv.as_ptr(), 0);
                if error != Err(Errno::ENOENT) {
                    drop(changing);
                    return 9;
                }
            }
        });
        assert!(status <= 1, "{status}");
    }
}

/// Processes that are killed while the supervisor copies from them; whoever has their id next is not read in their place.
fn dying_processes_records_are_not_mixed() {
    let (reader, writer) = nix::unistd::pipe().expect("pipe");
    for number in 0..rounds() / 4 {
        let mark = (number % 255) as u8 + 1;
        let child = fork_child(|| {
            let record = [mark; 64];
            loop {
                let _ = nix::unistd::write(&writer, &record);
            }
        });
        let mut records = [0u8; 4096];
        let read = nix::unistd::read(&reader, &mut records).expect("records");
        assert_eq!(raw!(SYS_kill, child.as_raw(), libc::SIGKILL), Ok(0));
        wait_raw(child.as_raw());
        assert_eq!(read % 64, 0);
        for record in records[..read].chunks(64) {
            assert!(record.iter().all(|byte| *byte == record[0]), "a mixed record");
        }
        // What it left behind must be its own, too.
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&reader, flags).expect("fcntl");
        while let Ok(rest) = nix::unistd::read(&reader, &mut records) {
            assert!(records[..rest].iter().all(|byte| *byte == mark), "a record of somebody else");
        }
        let flags = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty());
        nix::fcntl::fcntl(&reader, flags).expect("fcntl");
    }
}

/// A file is handed in at the number that the guest mapped, for the length of the call. No native call can use it for
/// more than such a mapping: the one that the filter lets through lies far beyond the file's end.
fn native_calls_find_no_handed_in_descriptor() {
    const SHARED: i64 = 0x5041_4c49_5348_4000;
    let dir = Scratch::new();
    let file = File::open(dir.file("a", vec![b'A'; 4096])).expect("open");
    let number = file.as_raw_fd();
    let meanwhile = Meanwhile::run(move || {
        if let Ok(at) = map(number, 1, libc::MAP_PRIVATE, 0) {
            let _ = raw!(SYS_munmap, at, 4096);
        }
    });
    for _ in 0..rounds() {
        for prot in [1, 3] {
            if let Ok(at) = map(number, prot, libc::MAP_SHARED, SHARED) {
                assert_eq!(first_byte(at), None, "something could be read");
                let _ = raw!(SYS_munmap, at, 4096);
            }
        }
    }
    drop(meanwhile);
    // SAFETY: a number that nobody owns: the check is about that.
    drop(unsafe { OwnedFd::from_raw_fd(fd::dup(number).expect("dup")) });
}
