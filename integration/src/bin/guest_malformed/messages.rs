//! Message headers, vectors and control messages of sendmsg(2) and recvmsg(2).

use std::os::fd::OwnedFd;

use crate::random::Random;
use crate::{KINDS, NOWHERE, answer, open, raw};

/// Levels of control messages: those of sockets, IP, IPv6, TCP, UDP and none.
const LEVELS: &[i32] = &[1, 1, 0, 0, 41, 41, 6, 17, 255, 99];
/// Flags of messages that change nothing outside of the socket.
const FLAGS: &[i32] = &[0, 0, 0, 0x1, 0x2, 0x20, 0x40, 0x80, 0x100, 0x2000, 0x4000_0000, 0x1000_0000];

/// Two sockets that are connected to each other; of TCP one that is not.
fn pair(kind: usize) -> (OwnedFd, Option<OwnedFd>) {
    let (_, family, of, _) = KINDS[kind];
    if family == libc::AF_UNIX {
        let mut fds = [0; 2];
        // SAFETY: there is room for two.
        assert_eq!(unsafe { libc::socketpair(family, of | libc::SOCK_NONBLOCK, 0, fds.as_mut_ptr()) }, 0);
        let [one, two] = fds.map(integration::guest::fd::own);
        return (one, Some(two));
    }
    let one = open(kind);
    if of == libc::SOCK_DGRAM {
        connect_to_itself(&one, family);
    }
    (one, None)
}

fn connect_to_itself(socket: &OwnedFd, family: i32) {
    let (fd, mut address, mut len) = (raw(socket), [0u8; 28], 28);
    address[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    let at = address.as_mut_ptr();
    // SAFETY: the address has room for that of either family.
    assert_eq!(unsafe { libc::bind(fd, at.cast(), if family == libc::AF_INET { 16 } else { 28 }) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::getsockname(fd, at.cast(), &raw mut len) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::connect(fd, at.cast(), len) }, 0);
}

/// Control messages, right and wrong.
fn control(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.of(&[0, 1, 1, 1, 2, 3]) {
        let data = random.of(&[0usize, 1, 2, 4, 4, 8, 12, 12, 16, 20, 20, 24, 28, 60]);
        let (level, kind) = (random.of(LEVELS), (random.next() % 80) as i32);
        let kind = if level == 1 { random.of(&[1, 2, 2, 3, 4, 29, 36, 37, 61, 66]) } else { kind };
        let len = 16 + data as u64;
        let len = random.of(&[len, len, len, len, len, len, 0, 15, 16, len + 64, u64::MAX, 1 << 40]);
        bytes.extend_from_slice(&len.to_ne_bytes());
        bytes.extend_from_slice(&level.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        // Small numbers: of interfaces that there are not, of descriptors that are not open, of hops.
        let filler = random.of(&[0u8, 0, 1, 0xff]);
        bytes.resize(bytes.len() + data, filler);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    let cut = random.of(&[0usize, 0, 0, 1, 8]);
    bytes.truncate(bytes.len().saturating_sub(cut));
    bytes
}

/// A vector, with what it points to.
fn vector(random: &mut Random, buffer: &mut [u8]) -> (Vec<libc::iovec>, usize) {
    let count = random.of(&[0usize, 1, 1, 1, 1, 2, 3, 1024, 1025]);
    let piece = |random: &mut Random| {
        let len = random.of(&[0usize, 1, 3, 8, 8, 8, 64]);
        let base = random.of(&[buffer.as_ptr() as usize; 1]);
        let (base, len) = match random.next() % 24 {
            0 => (NOWHERE, len),
            1 => (base, usize::MAX),
            2 => (base, 1 << 63),
            3 => (usize::MAX - 4, len),
            _ => (base, len),
        };
        libc::iovec { iov_base: base as *mut libc::c_void, iov_len: len }
    };
    let pieces: Vec<_> = (0..count.min(1025)).map(|_| piece(random)).collect();
    (pieces, random.of(&[count, count, count, count, count, usize::MAX]))
}

fn one(random: &mut Random, name: &str, fd: &OwnedFd, sends: bool) {
    let mut buffer = [7u8; 64];
    let mut control = if sends { control(random) } else { vec![0; random.of(&[0, 8, 16, 24, 256])] };
    let (mut pieces, count) = vector(random, &mut buffer);
    let mut address = random.bytes(128);
    address[..2].copy_from_slice(&random.of(&[0u16, 1, 2, 10]).to_ne_bytes());
    let has_name = random.next().is_multiple_of(8);
    let control_len =
        random.of(&[control.len(), control.len(), control.len(), control.len(), 200_000, usize::MAX]);
    let control_at =
        if control_len > control.len() { NOWHERE as *mut libc::c_void } else { control.as_mut_ptr().cast() };
    // SAFETY: zeroes are a message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = if has_name { address.as_mut_ptr().cast() } else { std::ptr::null_mut() };
    message.msg_namelen = if has_name {
        random.of(&[0, 1, 3, 15, 128, 200, u32::MAX])
    } else {
        random.of(&[0, 0, 16, u32::MAX])
    };
    message.msg_iov =
        if random.next().is_multiple_of(40) { NOWHERE as *mut libc::iovec } else { pieces.as_mut_ptr() };
    message.msg_iovlen = count;
    message.msg_control = control_at;
    message.msg_controllen = control_len;
    message.msg_flags = random.of(&[0, -1]);
    let flags = random.of(FLAGS) | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let done = if sends {
        // SAFETY: what the message points to is there, or nowhere; a count that is not the vector's is too large for any.
        unsafe { libc::sendmsg(raw(fd), &raw const message, flags) }
    } else {
        // SAFETY: as above.
        unsafe { libc::recvmsg(raw(fd), &raw mut message, flags) }
    };
    let result = answer(done as i64);
    let rest = if sends {
        String::new()
    } else {
        format!(
            " flags {:x} control {} name {}",
            message.msg_flags, message.msg_controllen, message.msg_namelen
        )
    };
    let shown: Vec<_> = pieces
        .iter()
        .take(3)
        .map(|piece| (std::ptr::eq(piece.iov_base, buffer.as_ptr().cast()), piece.iov_len))
        .collect();
    println!(
        "{name} {} flags {flags:x} name {has_name} iov {shown:?} {count} control {control_len} {:?}: {result}{rest}",
        if sends { "send" } else { "receive" },
        if sends { &control[..control.len().min(40)] } else { &[] },
    );
}

pub(crate) fn try_all(random: &mut Random) {
    for (kind, (name, ..)) in KINDS.iter().enumerate() {
        for _ in 0..60 {
            let (fd, other) = pair(kind);
            for _ in 0..4 {
                one(random, name, &fd, true);
                one(random, name, other.as_ref().unwrap_or(&fd), false);
            }
        }
    }
}
