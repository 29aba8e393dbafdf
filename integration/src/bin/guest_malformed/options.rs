//! Options of every level with values of every size.

use crate::random::Random;
use crate::{KINDS, answer, open, raw};

/// Levels: sockets, IP, IPv6, TCP, UDP, UDP-Lite, ICMPv6, netlink, TLS and none.
const LEVELS: &[i32] = &[1, 0, 41, 6, 17, 136, 58, 270, 282, 1234, -1];
const LENGTHS: &[i32] = &[4, 4, 4, 0, 1, 2, 3, 5, 8, 12, 16, 20, 40, 128, 264, -1, i32::MAX];
const VALUES: &[i32] = &[0, 1, 1, 2, 7, -1, 64, 256, 65_536, i32::MAX, i32::MIN];

fn set(random: &mut Random, name: &str, fd: i32, level: i32, option: i32) {
    let (len, value) = (random.of(LENGTHS), random.of(VALUES));
    let mut bytes = vec![0u8; 512];
    bytes[..4].copy_from_slice(&value.to_ne_bytes());
    let at = bytes.as_ptr().cast();
    // SAFETY: no option is longer than the buffer.
    let done = unsafe { libc::setsockopt(fd, level, option, at, len as u32) };
    println!("{name} set {level} {option} len {len} value {value}: {}", answer(done.into()));
}

fn get(random: &mut Random, name: &str, fd: i32, level: i32, option: i32) {
    let (mut bytes, asked) = (vec![0u8; 512], random.of(&[4, 4, 0, 1, 3, 8, 16, 256, -1]));
    let mut len = asked;
    // SAFETY: there is room for every length.
    let done =
        unsafe { libc::getsockopt(fd, level, option, bytes.as_mut_ptr().cast(), (&raw mut len).cast()) };
    println!("{name} get {level} {option} len {asked}: {} {len}", answer(done.into()));
}

pub(crate) fn try_all(random: &mut Random) {
    for (kind, (name, ..)) in KINDS.iter().enumerate() {
        for &level in LEVELS {
            for option in 0..85 {
                let fd = open(kind);
                for _ in 0..2 {
                    set(random, name, raw(&fd), level, option);
                    get(random, name, raw(&fd), level, option);
                }
            }
        }
    }
}
