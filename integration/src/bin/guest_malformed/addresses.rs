//! Addresses of bind(2), connect(2) and sendto(2), and lengths that getsockname(2) is given.

use std::os::fd::OwnedFd;

use crate::random::Random;
use crate::{KINDS, NOWHERE, answer, open, raw};

const LENGTHS: &[u32] = &[
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    15,
    16,
    17,
    24,
    27,
    28,
    29,
    64,
    110,
    111,
    128,
    129,
    4096,
    i32::MAX as u32,
    u32::MAX,
];
const FAMILIES: &[u16] = &[0, 1, 2, 2, 2, 10, 10, 10, 16, 17, 40, 99, 0xffff];
const HOSTS: &[[u8; 4]] =
    &[[0, 0, 0, 0], [127, 0, 0, 1], [127, 9, 9, 9], [255, 255, 255, 255], [224, 0, 0, 1], [192, 0, 2, 1]];

/// The bytes of an address that may be right.
fn address(random: &mut Random) -> Vec<u8> {
    let family = random.of(FAMILIES);
    let mut bytes = vec![0u8; 128];
    bytes[..2].copy_from_slice(&family.to_ne_bytes());
    match family {
        libc_family::UNIX => {
            let name: &[u8] =
                random.of(&[b"\0abstract" as &[u8], b"missing", b"missing/", b"missing/socket", b"", b"a/b"]);
            bytes[2..2 + name.len()].copy_from_slice(name);
        }
        libc_family::INET6 => {
            let host: u128 = random.of(&[
                0,
                1,
                0xffff_7f00_0001,
                0xffff_0000_0000,
                0xff02 << 112 | 1,
                0xfe80 << 112 | 1,
                0x2001_0db8 << 96 | 1,
            ]);
            bytes[8..24].copy_from_slice(&host.to_be_bytes());
            bytes[24..28].copy_from_slice(&random.of(&[0u32, 0, 1, 77]).to_ne_bytes());
        }
        _ => bytes[4..8].copy_from_slice(&random.of(HOSTS)),
    }
    if family != libc_family::UNIX {
        bytes[2..4].copy_from_slice(&random.of(&[0u16, 9, 0xfff0]).to_be_bytes());
    }
    bytes
}

mod libc_family {
    pub(super) const UNIX: u16 = 1;
    pub(super) const INET6: u16 = 10;
}

/// A length that is right as often as not.
fn length(random: &mut Random, bytes: &[u8]) -> u32 {
    let right = match u16::from_ne_bytes([bytes[0], bytes[1]]) {
        libc_family::INET6 => 28,
        libc_family::UNIX => {
            2 + bytes[2..].iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u32 + 1)
        }
        _ => 16,
    };
    let other = random.of(LENGTHS);
    if random.next().is_multiple_of(2) { right } else { other }
}

/// One call with an address.
fn call(name: &str, fd: &OwnedFd, bytes: &[u8], len: u32) -> i64 {
    let at = if len as usize > bytes.len() && len < 4096 {
        NOWHERE as *const libc::sockaddr
    } else {
        bytes.as_ptr().cast()
    };
    let done = match name {
        // SAFETY: what the kernel takes of an address is at most 128 bytes, which are there; or nothing is.
        "bind" => unsafe { libc::bind(raw(fd), at, len) },
        // SAFETY: as above.
        "connect" => unsafe { libc::connect(raw(fd), at, len) },
        // SAFETY: as above.
        _ => unsafe {
            libc::sendto(raw(fd), [7u8; 3].as_ptr().cast(), 3, libc::MSG_NOSIGNAL, at, len) as i32
        },
    };
    i64::from(done)
}

fn names(fd: &OwnedFd, random: &mut Random) -> String {
    let mut texts = Vec::new();
    for length in [random.of(&[0, 1, 2, 8, 16, 28, 110, 128]), -1] {
        let (mut own, mut len) = ([0xaau8; 128], length);
        // SAFETY: the buffer has room for every length here.
        let done = unsafe { libc::getsockname(raw(fd), own.as_mut_ptr().cast(), (&raw mut len).cast()) };
        let written = own.iter().filter(|&&byte| byte != 0xaa).count().min(2);
        texts.push(format!("{} {len} {written}", answer(done.into())));
        // SAFETY: as above.
        let done = unsafe { libc::getpeername(raw(fd), own.as_mut_ptr().cast(), (&raw mut len).cast()) };
        texts.push(format!("{} {len}", answer(done.into())));
    }
    texts.join(", ")
}

pub(crate) fn try_all(random: &mut Random) {
    for (kind, (name, ..)) in KINDS.iter().enumerate() {
        for round in 0..120 {
            let fd = open(kind);
            for _ in 0..3 {
                let (operation, bytes) = (random.of(&["bind", "connect", "sendto"]), address(random));
                let len = length(random, &bytes);
                let result = answer(call(operation, &fd, &bytes, len));
                println!("{name} {round} {operation} {:?} {len}: {result}", &bytes[..28]);
            }
            println!("{name} {round} names: {}", names(&fd, random));
        }
    }
}
