//! Commands, options, addresses and structures: what calls by number alone do not reach.
//!
//! A [`Family`] is a call with one argument that says what it does, and the values that it takes. The other arguments
//! are, by turns, descriptors of every kind, pointers to [`Shapes`], hostile values and small numbers.

use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

use integration::guest::fd;
use nix::fcntl::{OFlag, open};
use nix::pty::{grantpt, posix_openpt, unlockpt};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::Mode;
use nix::unistd::{getpid, pipe2};

/// A call, and what is tried of it.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) number: i64,
    /// Which argument is the command.
    command_at: usize,
    commands: fn() -> Vec<u64>,
    /// Arguments that are always descriptors.
    descriptors: &'static [usize],
    /// Calls with each command.
    turns: usize,
}

const fn family(name: &'static str, number: i64, command_at: usize, commands: fn() -> Vec<u64>) -> Family {
    Family { name, number, command_at, commands, descriptors: &[], turns: 120 }
}

impl Family {
    const fn on_descriptors(self) -> Self {
        Self { descriptors: &[0], turns: OBJECTS * 6, ..self }
    }

    pub(crate) fn rounds(&self) -> usize {
        (self.commands)().len() * self.turns
    }
}

/// All of them.
pub(crate) const FAMILIES: &[Family] = &[
    family("ioctl", libc::SYS_ioctl, 1, ioctls).on_descriptors(),
    family("fcntl", libc::SYS_fcntl, 1, || (0..48).chain(1020..1048).collect()).on_descriptors(),
    family("getsockopt", libc::SYS_getsockopt, 2, options).on_descriptors(),
    family("setsockopt", libc::SYS_setsockopt, 2, options).on_descriptors(),
    family("bind", libc::SYS_bind, 2, lengths).on_descriptors(),
    family("connect", libc::SYS_connect, 2, lengths).on_descriptors(),
    family("sendto", libc::SYS_sendto, 5, lengths).on_descriptors(),
    family("sendmsg", libc::SYS_sendmsg, 2, || vec![0, 0x40, 0x4040, 0x2000_0040]).on_descriptors(),
    family("recvmsg", libc::SYS_recvmsg, 2, || vec![0x40, 0x42, 0x60, 0x2040]).on_descriptors(),
    family("socket", libc::SYS_socket, 0, || (0..48).collect()),
    family("prctl", libc::SYS_prctl, 0, || (0..84).chain([0x53564d41, 0x59616d61]).collect()),
    family("arch_prctl", libc::SYS_arch_prctl, 0, || (0x1001..0x1030).chain(0x4001..0x4006).collect()),
    family("keyctl", libc::SYS_keyctl, 0, || (0..36).collect()),
    family("add_key", libc::SYS_add_key, 3, lengths),
    family("request_key", libc::SYS_request_key, 3, || (-9_i64..2).map(i64::cast_unsigned).collect()),
    family("futex", libc::SYS_futex, 1, || (0..16).flat_map(|op| [op, op | 128, op | 256]).collect()),
    family("seccomp", libc::SYS_seccomp, 0, || (0..6).collect()),
    family("bpf", libc::SYS_bpf, 2, lengths),
    family("openat2", libc::SYS_openat2, 3, lengths),
    family("clone3", libc::SYS_clone3, 1, lengths),
    family("sched_setattr", libc::SYS_sched_setattr, 2, || (0..10).collect()),
    family("sched_getattr", libc::SYS_sched_getattr, 2, lengths),
    family("mount_setattr", libc::SYS_mount_setattr, 4, lengths),
    family("statmount", 457, 2, lengths),
    family("listmount", 458, 2, lengths),
    family("open_tree_attr", 467, 4, lengths),
    family("file_getattr", 468, 3, lengths),
    family("file_setattr", 469, 3, lengths),
    family("setxattrat", 463, 5, lengths),
    family("getxattrat", 464, 5, lengths),
    family("fsconfig", libc::SYS_fsconfig, 1, || (0..10).collect()).on_descriptors(),
    family("mount", libc::SYS_mount, 3, mount_flags),
    family("futex_waitv", libc::SYS_futex_waitv, 1, || vec![0, 1, 2, 128, 129, u64::MAX]),
    family("rseq", libc::SYS_rseq, 1, lengths),
    family("timer_create", libc::SYS_timer_create, 0, clocks),
    family("clock_gettime", libc::SYS_clock_gettime, 0, clocks),
    family("mq_open", libc::SYS_mq_open, 1, || vec![0o100, 0o102, 0o300, 0o2]),
    family("mq_notify", libc::SYS_mq_notify, 0, || (0..OBJECTS as u64).map(|n| FIRST + n).collect()),
    family("msgctl", libc::SYS_msgctl, 1, || (0..16).collect()),
    family("semctl", libc::SYS_semctl, 2, || (0..24).collect()),
    family("shmctl", libc::SYS_shmctl, 1, || (0..18).collect()),
    family("name_to_handle_at", libc::SYS_name_to_handle_at, 4, || vec![0, 0x200, 0x1000, 0x1001, 0x1200]),
    family("open_by_handle_at", libc::SYS_open_by_handle_at, 2, || vec![0, 0x20_0000, 2]).on_descriptors(),
    family("io_submit", libc::SYS_io_submit, 1, || vec![0, 1, 3, u64::MAX]),
    family("epoll_ctl", libc::SYS_epoll_ctl, 1, || (0..5).collect()).on_descriptors(),
    family("capset", libc::SYS_capset, 1, || (0..3).collect()),
    family("lsm_set_self_attr", 460, 2, lengths),
    family("cachestat", 451, 3, || vec![0, 1]).on_descriptors(),
    family("process_madvise", libc::SYS_process_madvise, 3, || (0..26).collect()).on_descriptors(),
    family("pidfd_send_signal", libc::SYS_pidfd_send_signal, 3, || (0..9).collect()),
];

fn ioctls() -> Vec<u64> {
    let ranges = [
        0x5400..0x5488,
        // Of sockets and network devices.
        0x8900..0x8a00,
        // Of namespaces, without and with a structure.
        0xb700..0xb710,
        0xff00..0xff10,
        // BLK*.
        0x125d..0x1280,
    ];
    let others = [
        1,
        2,
        0x5208,
        0x4004_5432,
        0x8004_5430,
        0x8004_5431,
        0x8004_5438,
        0x8004_5439,
        0x8004_5440,
        0x802c_542a,
        0x402c_542b,
        0x402c_542c,
        0x402c_542d,
        0x8008_6601,
        0x4008_6602,
        0x8008_7601,
        0x4008_7602,
        0xc020_660b,
        0x4004_9409,
        0x4020_940d,
        0xc018_9436,
        0x801c_581f,
        0x401c_5820,
        0x8111_9431,
        0x8011_1500,
        0x8004_5200,
        0x4004_5201,
        0x8008_5202,
        0x4008_5203,
        0xc068_6611,
        0x4004_54ca,
        0x8008_b705,
        0x8008_b70d,
        0x8010_b70a,
        0x8010_b70b,
        0x8010_b70c,
        0x8004_b706,
        0x8004_b707,
        0xc040_ff0b,
        0xc050_ff0b,
        0xc058_ff0b,
        0xc000_ff0b,
        0xffff_ff0b,
        0xc060_8a02,
        0xffff_ffff,
        u64::MAX,
        0x8000_0000,
    ];
    ranges.into_iter().flatten().chain(others).collect()
}

fn options() -> Vec<u64> {
    (0..90).chain([100, 101, 102, 103, 104, 105, 128, 253, 0xffff_ffff]).collect()
}

/// Sizes of structures and addresses, and what is none.
fn lengths() -> Vec<u64> {
    vec![
        0,
        1,
        2,
        3,
        7,
        8,
        12,
        15,
        16,
        24,
        28,
        32,
        48,
        56,
        63,
        64,
        88,
        110,
        120,
        128,
        136,
        4096,
        4097,
        1 << 31,
        u64::MAX,
    ]
}

fn mount_flags() -> Vec<u64> {
    vec![0, 1, 0x20, 0x1000, 0x2000, 0x4_0000, 0x10_0000, 0x1020, u64::MAX]
}

fn clocks() -> Vec<u64> {
    (0..20).chain((-40_i64..0).map(i64::cast_unsigned)).collect()
}

/// splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() % bound
    }
}

/// Number of the first descriptor that a child has of its own.
const FIRST: u64 = 100;
/// How many.
const OBJECTS: usize = 26;

/// A call without pointers that makes a descriptor.
fn made_by(number: i64, [a, b, c]: [i32; 3]) -> RawFd {
    // SAFETY: the callers pass numbers of calls that take no pointer, or one that may be null.
    let descriptor = unsafe { libc::syscall(number, i64::from(a), i64::from(b), i64::from(c)) };
    RawFd::try_from(descriptor).unwrap_or(-1)
}

fn opened(path: &str, flags: i32) -> RawFd {
    let file = open(path, OFlag::from_bits_retain(flags), Mode::from_bits_retain(0o600));
    file.map_or(-1, IntoRawFd::into_raw_fd)
}

fn socket(family: i32, kind: i32) -> RawFd {
    made_by(libc::SYS_socket, [family, kind | libc::SOCK_NONBLOCK, 0])
}

fn master() -> nix::Result<RawFd> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK)?;
    grantpt(&master).and_then(|()| unlockpt(&master))?;
    Ok(master.into_raw_fd())
}

/// Files of every kind, from [`FIRST`] on. What cannot be had is left out.
pub(crate) fn open_objects() {
    let signals = SignalFd::with_flags(&SigSet::all(), SfdFlags::SFD_NONBLOCK);
    let (reader, writer) =
        pipe2(OFlag::O_NONBLOCK).map_or((-1, -1), |(r, w)| (r.into_raw_fd(), w.into_raw_fd()));
    let pair = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_NONBLOCK);
    let objects: [RawFd; OBJECTS] = [
        opened("/tmp", libc::O_TMPFILE | libc::O_RDWR),
        opened("/tmp", libc::O_DIRECTORY),
        opened("/tmp", libc::O_PATH),
        opened("/dev/zero", libc::O_RDWR),
        opened("/dev/urandom", libc::O_RDWR),
        opened("/proc/self/maps", libc::O_RDONLY),
        opened("/proc/self/ns/user", libc::O_RDONLY),
        opened("/proc/self/ns/mnt", libc::O_RDONLY),
        master().unwrap_or(-1),
        pair.map_or(-1, |(one, _other)| one.into_raw_fd()),
        reader,
        writer,
        socket(libc::AF_UNIX, libc::SOCK_DGRAM),
        socket(libc::AF_UNIX, libc::SOCK_SEQPACKET),
        socket(libc::AF_INET, libc::SOCK_STREAM),
        socket(libc::AF_INET6, libc::SOCK_STREAM),
        socket(libc::AF_INET, libc::SOCK_DGRAM),
        socket(libc::AF_INET6, libc::SOCK_DGRAM),
        socket(libc::AF_NETLINK, libc::SOCK_RAW),
        memfd_create(c"", MFdFlags::MFD_ALLOW_SEALING).map_or(-1, IntoRawFd::into_raw_fd),
        made_by(libc::SYS_eventfd2, [0, libc::EFD_NONBLOCK, 0]),
        made_by(libc::SYS_epoll_create1, [0; 3]),
        made_by(libc::SYS_timerfd_create, [libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK, 0]),
        made_by(libc::SYS_inotify_init1, [libc::IN_NONBLOCK, 0, 0]),
        signals.as_ref().map_or(-1, AsRawFd::as_raw_fd),
        made_by(libc::SYS_pidfd_open, [getpid().as_raw(), 0, 0]),
    ];
    for (number, object) in objects.into_iter().enumerate() {
        let _ = fd::dup2(object, (FIRST as usize + number) as RawFd);
    }
}

/// Memory that looks like structures: random bytes behind a beginning that means something.
pub(crate) struct Shapes {
    pub(crate) start: usize,
}

const SHAPE_LEN: usize = 256;
const SHAPES: usize = 64;
/// Bytes that [`Shapes::fill`] writes.
pub(crate) const SHAPES_LEN: usize = SHAPE_LEN * SHAPES;

impl Shapes {
    /// Makes them anew: calls write there.
    pub(crate) fn fill(&self, seed: u64) {
        let mut random = Random(seed);
        for shape in 0..SHAPES {
            let mut bytes = [0; SHAPE_LEN];
            for word in bytes.as_chunks_mut::<8>().0 {
                let value = match random.below(6) {
                    0 => 0,
                    1 => random.below(64),
                    2 => self.start + random.below(SHAPES_LEN),
                    3 => FIRST as usize + random.below(OBJECTS),
                    4 => random.next(),
                    _ => lengths()[random.below(lengths().len())] as usize,
                };
                *word = value.to_ne_bytes();
            }
            begin(&mut bytes, shape, &mut random);
            let at = (self.start + shape * SHAPE_LEN) as *mut u8;
            // SAFETY: the mapping is SHAPES_LEN long, writable, and this process has one thread yet.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, SHAPE_LEN) };
        }
    }
}

/// The first bytes: an address of some family, a message of netlink, a size, a name.
fn begin(bytes: &mut [u8; SHAPE_LEN], shape: usize, random: &mut Random) {
    let small = random.next();
    match shape % 8 {
        0 => bytes[..2].copy_from_slice(&[1, 2, 10, 16, 17, 40, 0, 255][small % 8..][..1].repeat(2)),
        1 | 2 => {
            let family = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK][small % 4] as u16;
            bytes[..2].copy_from_slice(&family.to_ne_bytes());
            if small & 64 != 0 {
                // Loopback, and a path.
                bytes[2..8].copy_from_slice(&[0, 80, 127, 0, 0, 1]);
                bytes[8..].fill(0);
            }
        }
        3 => {
            let len = [0, 15, 16, 17, 32, 200, 256, u32::MAX][small % 8];
            bytes[..4].copy_from_slice(&len.to_ne_bytes());
            bytes[4..6].copy_from_slice(&(16 + (small >> 8) as u16 % 100).to_ne_bytes());
        }
        4 => bytes[..8].copy_from_slice(&lengths()[small % lengths().len()].to_ne_bytes()),
        5 => {
            let names = [
                "user\0",
                "security.capability\0",
                "user.x\0",
                "size=\0",
                "keyring\0",
                "tmpfs\0",
                "/tmp\0",
                "\0",
            ];
            let name = names[small % names.len()].as_bytes();
            bytes[..name.len()].copy_from_slice(name);
        }
        6 => bytes.fill([0, 0xff][small % 2]),
        _ => {}
    }
}

/// Where arguments come from.
pub(crate) struct Sources<'a> {
    pub(crate) shapes: &'a Shapes,
    pub(crate) hostile: &'a dyn Fn(usize) -> usize,
    /// Of some zeros that nobody overwrites.
    pub(crate) zeros: usize,
}

impl Family {
    /// The arguments of a round, the same in every run.
    pub(crate) fn arguments(&self, round: usize, sources: &Sources<'_>) -> [usize; 6] {
        let commands = (self.commands)();
        let (command, turn) = (commands[round / self.turns % commands.len()], round % self.turns);
        let mut random = Random((self.number as u64) << 32 ^ round as u64);
        let mut arguments = std::array::from_fn(|_| match random.below(8) {
            0 | 1 => (sources.hostile)(random.next()),
            2 => FIRST as usize + random.below(OBJECTS),
            3 => random.below(24),
            _ => sources.shapes.start + random.below(SHAPES) * SHAPE_LEN,
        });
        for &at in self.descriptors {
            arguments[at] = FIRST as usize + turn % OBJECTS;
        }
        arguments[self.command_at] = command as usize;
        self.spare_others(&mut arguments, &mut random, sources.zeros);
        arguments
    }

    /// Nobody else is to be signalled or waited for long.
    fn spare_others(&self, arguments: &mut [usize; 6], random: &mut Random, zeros: usize) {
        const LEVELS: [usize; 9] = [0, 1, 6, 17, 41, 58, 255, 263, 270];
        const OWNERS: [usize; 4] = [libc::F_SETOWN as usize, 15, 0x8901, 0x8902];
        match self.number {
            libc::SYS_getsockopt | libc::SYS_setsockopt => {
                arguments[1] = LEVELS[random.below(LEVELS.len())];
                if self.number == libc::SYS_setsockopt {
                    arguments[4] = lengths()[random.below(lengths().len())] as usize;
                }
            }
            libc::SYS_fcntl | libc::SYS_ioctl if OWNERS.contains(&arguments[1]) => {
                arguments[2] |= 0x4000_0000
            }
            // Of a structure that has just been filled with random numbers, or of nobody.
            libc::SYS_pidfd_send_signal => arguments[1] = 0,
            // A time limit that is over, or cannot be read.
            libc::SYS_futex => arguments[3] = [zeros, 8][random.below(2)],
            _ => {}
        }
    }
}
