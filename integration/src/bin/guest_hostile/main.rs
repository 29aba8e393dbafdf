//! Calls every number from 0 to 600, those of private calls of sandboxes, and x32's, with hostile arguments,
//! from several threads of throw-away children.
//!
//! Only for a sandbox: on a host, as root, some of these calls do harm; it refuses to start without the word
//! `inside`. `inside SECONDS [SEED]` makes random calls for so long instead, and `inside catalogue [FAMILY]` those of
//! [`catalogue::FAMILIES`]. It asserts nothing about a single answer, except that none is a kernel-internal restart
//! code; the point is that whoever answers is still there afterwards, which the caller finds out.
//!
//! A child whose calls end or block it (exit, pause, munmap of everything) is replaced by one that goes on
//! behind that call. What is not called at all stands in [`SKIPPED`] with its reason.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

mod catalogue;

use catalogue::{FAMILIES, Family, Random, SHAPES_LEN, Shapes, Sources};
use integration::guest::fd;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, setpgid};

const LAST_NUMBER: usize = 600;
/// Where programs of a sandbox may have private calls, and x32's bit (arch/x86/include/asm/unistd.h).
const ODD_NUMBERS: [usize; 18] = [
    1023,
    1024,
    1025,
    1026,
    1027,
    1028,
    1029,
    1030,
    4095,
    0x4000_0000,
    0x4000_0001,
    0x4000_003b,
    0x4000_0208,
    0x4000_0220,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    usize::MAX,
];
const THREADS: usize = 3;
/// Argument lists for each number: every value everywhere first, then mixtures.
const ROUNDS: usize = 36;
/// Children that may be used up by one number.
const CHILDREN: usize = 14;
/// A child that makes no progress for so long is blocked in a call.
const BLOCKED: Duration = Duration::from_millis(120);

/// Calls that are left out when their first argument is this value.
const SKIPPED: &[(i64, usize, &str)] = &[
    (libc::SYS_kill, usize::MAX, "kill(-1) ends this program too"),
    (libc::SYS_rt_sigqueueinfo, usize::MAX, "as kill(-1)"),
];

/// Calls on other processes, which random ids would find: this program is one of few.
const OTHERS: [i64; 7] = [
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
    libc::SYS_prlimit64,
];

/// What the children share with their parent.
struct Progress {
    /// For each thread: the round that it is in, counted from 1.
    rounds: [AtomicU32; THREADS],
    /// Answers between -516 and -512, which no program may ever see.
    leaks: AtomicU32,
    /// The number that leaked last.
    leaking: AtomicU32,
    calls: AtomicU32,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() != Some("inside") {
        eprintln!("guest_hostile: only for a sandbox; say `inside` when this is one");
        return ExitCode::FAILURE;
    }
    let pages = Pages::new();
    let words: Vec<String> = std::env::args().skip(2).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
    let what = if words.first().is_some_and(|word| word == "catalogue") {
        let is_wanted = |family: &&Family| words.get(1).is_none_or(|name| name == family.name);
        FAMILIES.iter().filter(is_wanted).for_each(|family| torment(Plan::Family(family), &pages));
        "the_catalogue"
    } else if let Some(seconds) = number(0) {
        let start = Instant::now();
        let seeds = (number(1).unwrap_or(1)..).take_while(|_| start.elapsed() < Duration::from_secs(seconds));
        seeds.for_each(|seed| torment(Plan::Random(seed), &pages));
        "random_calls"
    } else {
        (0..=LAST_NUMBER).chain(ODD_NUMBERS).for_each(|number| torment(Plan::Number(number), &pages));
        "every_number"
    };
    let leaks = pages.progress.leaks.load(Ordering::SeqCst);
    if leaks > 0 {
        println!(
            "FAIL restart codes leaked {leaks} times, last by {}",
            pages.progress.leaking.load(Ordering::SeqCst)
        );
        return ExitCode::FAILURE;
    }
    eprintln!("{} calls", pages.progress.calls.load(Ordering::SeqCst));
    println!("ok {what}_with_hostile_arguments");
    ExitCode::SUCCESS
}

/// Memory for the arguments to point at.
struct Pages {
    progress: &'static Progress,
    /// A readable and writable page of zeros, behind which nothing is mapped.
    zeros: usize,
    /// A page that may only be read.
    read_only: usize,
    /// A page of short strings and numbers, to be overwritten by calls.
    paths: usize,
    shapes: Shapes,
}

/// Which calls are made, by round.
#[derive(Clone, Copy)]
enum Plan {
    /// One number.
    Number(usize),
    /// Random ones, by a seed.
    Random(u64),
    Family(&'static Family),
}

impl Plan {
    fn rounds(self) -> usize {
        match self {
            Self::Number(_) | Self::Random(_) => ROUNDS,
            Self::Family(family) => family.rounds(),
        }
    }

    /// How many children may be used up.
    fn children(self) -> usize {
        match self {
            Self::Number(_) | Self::Random(_) => CHILDREN,
            Self::Family(_) => 4 * CHILDREN,
        }
    }

    fn call(self, round: usize, pages: &Pages) -> (usize, [usize; 6]) {
        match self {
            Self::Number(number) => (number, pages.arguments(number, round)),
            Self::Random(seed) => pages.random_call(seed, round),
            Self::Family(family) => {
                let hostile = |choice| pages.value(choice);
                let sources = Sources { shapes: &pages.shapes, hostile: &hostile, zeros: pages.read_only };
                (family.number as usize, family.arguments(round, &sources))
            }
        }
    }
}

/// Names that mean something, 64 bytes apart.
const PATHS: [&str; 12] = [
    "/tmp/hostile\0",
    "/tmp\0",
    "/proc/self/fd/0\0",
    "/proc/self/mem\0",
    "/dev/tty\0",
    "/dev/ptmx\0",
    "..\0",
    "\0",
    "/proc/self\0",
    "/sys/kernel\0",
    "/tmp/hostile/x\0",
    "/bin/true\0",
];

impl Pages {
    fn new() -> Self {
        use libc::{MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_NONE, PROT_READ, PROT_WRITE};
        let map = |length: usize, prot: i32, flags: i32| {
            // SAFETY: a new mapping at an address of the kernel's choice.
            let start =
                unsafe { libc::mmap(std::ptr::null_mut(), length, prot, flags | MAP_ANONYMOUS, -1, 0) };
            assert_ne!(start, libc::MAP_FAILED, "mmap");
            start
        };
        let shared = map(4096, PROT_READ | PROT_WRITE, MAP_SHARED);
        let pair = map(8192, PROT_NONE, MAP_PRIVATE);
        let paths = map(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE) as usize;
        for (n, path) in PATHS.iter().enumerate() {
            // SAFETY: 64 bytes at n * 64 are in the page, and longer than any of the names.
            unsafe { std::ptr::copy_nonoverlapping(path.as_ptr(), (paths + n * 64) as *mut u8, path.len()) };
        }
        // SAFETY: the first page of a mapping of this function's own.
        assert_eq!(unsafe { libc::mprotect(pair, 4096, PROT_READ | PROT_WRITE) }, 0);
        Self {
            // SAFETY: zeroed, aligned, large enough, and never unmapped in the parent.
            progress: unsafe { &*shared.cast::<Progress>() },
            zeros: pair as usize,
            read_only: map(4096, PROT_READ, MAP_PRIVATE) as usize,
            paths,
            shapes: Shapes { start: map(SHAPES_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE) as usize },
        }
    }

    /// The value number `choice` of those that arguments take.
    fn value(&self, choice: usize) -> usize {
        let values = [
            0,
            usize::MAX,
            8,
            self.zeros,
            self.zeros + 4096 - 4,
            self.read_only,
            0x7fff_ffff_f000,
            0x8000_0000_0000,
            isize::MAX.cast_unsigned(),
            1,
            0xffff_ffff,
            4096,
        ];
        values[choice % values.len()]
    }

    /// A random call: mostly small numbers and pointers that lead somewhere.
    fn random_call(&self, seed: u64, round: usize) -> (usize, [usize; 6]) {
        let mut random = Random(seed.wrapping_mul(1000).wrapping_add(round as u64) ^ 0x9e37_79b9_7f4a_7c15);
        let mut next = move || random.next();
        let number = next() % 470;
        let arguments = std::array::from_fn(|_| {
            let value = next();
            match next() % 8 {
                0 | 1 => value % 8,
                2 => self.paths + (value % PATHS.len()) * 64,
                3 => self.zeros + value % 4096,
                4 => 1 << (value % 64),
                5 => value % 70000,
                6 => self.value(value),
                _ => value,
            }
        });
        (number, arguments)
    }

    /// The arguments of a round: the same value six times, or a mixture that is the same in every run.
    fn arguments(&self, number: usize, round: usize) -> [usize; 6] {
        if round < 12 {
            return [self.value(round); 6];
        }
        let mut state = (number * 1000 + round) as u64 ^ 0x9e37_79b9_7f4a_7c15;
        std::array::from_fn(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.value((state >> 33) as usize)
        })
    }
}

/// Makes the calls of all rounds, in as many children as it takes.
fn torment(plan: Plan, pages: &Pages) {
    let rounds = &pages.progress.rounds;
    (0..THREADS)
        .for_each(|thread| rounds[thread].store(u32::try_from(thread).unwrap_or(0), Ordering::SeqCst));
    for _ in 0..plan.children() {
        // SAFETY: this process has one thread.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Child => child(plan, pages),
            ForkResult::Parent { child } => watch(child, rounds),
        }
        let finished = rounds.iter().all(|round| round.load(Ordering::SeqCst) as usize >= plan.rounds());
        if finished {
            return;
        }
    }
}

/// Waits for a child's end; kills it when it stops making progress.
fn watch(child: Pid, rounds: &[AtomicU32; THREADS]) {
    let state = || rounds.each_ref().map(|round| round.load(Ordering::SeqCst));
    let (mut seen, mut since) = (state(), Instant::now());
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::StillAlive) => {}
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => break,
            Ok(_) => since = Instant::now() - 2 * BLOCKED,
        }
        if state() != seen {
            (seen, since) = (state(), Instant::now());
        } else if since.elapsed() > BLOCKED {
            // It may be gone in this moment.
            let _ = kill(child, Signal::SIGKILL);
            let _ = waitpid(child, None);
            break;
        }
        thread::sleep(Duration::from_millis(2));
    }
    // What it started itself.
    let _ = killpg(child, Signal::SIGKILL);
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
}

fn child(plan: Plan, pages: &Pages) -> ! {
    let zero = Pid::from_raw(0);
    let _ = setpgid(zero, zero);
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").expect("/dev/null");
    for standard in 0..3 {
        fd::dup2(std::os::fd::AsRawFd::as_raw_fd(&null), standard).expect("dup2");
    }
    if let Plan::Family(family) = plan {
        catalogue::open_objects();
        pages
            .shapes
            .fill(family.number.cast_unsigned() ^ u64::from(pages.progress.calls.load(Ordering::SeqCst)));
    }
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || rounds_of(thread, plan, pages));
        }
    });
    leave()
}

fn rounds_of(thread: usize, plan: Plan, pages: &Pages) {
    let progress = pages.progress;
    let mine = &progress.rounds[thread];
    loop {
        let round = mine.load(Ordering::SeqCst) as usize;
        if round >= plan.rounds() {
            return;
        }
        // Before the call: a child that follows goes on behind it.
        mine.fetch_add(THREADS as u32, Ordering::SeqCst);
        let (number, arguments) = plan.call(round, pages);
        let is_random = matches!(plan, Plan::Random(_));
        let hits_others = is_random && OTHERS.contains(&(number as i64)) && arguments[0] as u32 != 0;
        let is_skipped = |(call, first, _): &(i64, usize, &str)| {
            *call as usize == number && *first as u32 == arguments[0] as u32
        };
        if hits_others || SKIPPED.iter().any(is_skipped) {
            continue;
        }
        let answer = call(number, arguments);
        if answer == 0
            && matches!(number as i64, libc::SYS_fork | libc::SYS_vfork | libc::SYS_clone | libc::SYS_clone3)
        {
            leave();
        }
        progress.calls.fetch_add(1, Ordering::Relaxed);
        if (-516..=-512).contains(&answer) {
            progress.leaking.store(number as u32, Ordering::SeqCst);
            progress.leaks.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The system call itself, inline: a vforked child must not return from a function.
#[inline(always)]
fn call(number: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let answer: isize;
    // SAFETY: there is none, and that is the point; this process is thrown away.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    answer
}

fn leave() -> ! {
    loop {
        call(libc::SYS_exit_group as usize, [0; 6]);
    }
}
