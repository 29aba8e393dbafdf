use abi_linux::Errno;
use kernel_vfs::notify::Happened;

use super::WatchMask;
use super::queue::{Pushed, Queue, Queued};

fn event(wd: i32, what: Happened, name: &[u8]) -> Queued {
    Queued { wd, what, cookie: 0, name: Box::from(name) }
}

#[test]
fn identical_events_at_the_tail_are_one() {
    let mut queue = Queue::new(8);
    assert_eq!(queue.push(event(1, Happened::MODIFY, b"a")), Pushed::New);
    assert_eq!(queue.push(event(1, Happened::MODIFY, b"a")), Pushed::Merged);
    assert_eq!(queue.push(event(1, Happened::MODIFY, b"b")), Pushed::New);
    assert_eq!(queue.push(event(1, Happened::MODIFY, b"a")), Pushed::New);
    assert_eq!(queue.push(event(2, Happened::IGNORED, b"")), Pushed::New);
    assert_eq!(queue.push(event(2, Happened::IGNORED, b"")), Pushed::New);
    assert_eq!(queue.bytes(), 3 * 32 + 2 * 16);
}

#[test]
fn full_queue_ends_in_one_overflow_event() {
    let mut queue = Queue::new(2);
    for name in [b"a", b"b", b"c", b"d"] {
        queue.push(event(1, Happened::CREATE, name));
    }
    let mut buf = [0; 256];
    assert_eq!(queue.take(&mut buf), Ok(32 + 32 + 16));
    assert_eq!(buf[64..68], (-1i32).to_ne_bytes());
    assert_eq!(buf[68..72], 0x4000u32.to_ne_bytes());
    assert_eq!(queue.take(&mut buf), Err(Errno::EAGAIN));
    queue.push(event(1, Happened::CREATE, b"e"));
    assert_eq!(queue.take(&mut buf), Ok(32), "it goes on after the overflow was read");
}

#[test]
fn names_are_padded_and_buffers_hold_whole_events() {
    let mut queue = Queue::new(8);
    queue.push(event(7, Happened::OPEN, b"fifteen-letters"));
    queue.push(event(7, Happened::OPEN, b"sixteen--letters"));
    let mut buf = [0xff; 79];
    assert_eq!(queue.take(&mut buf[..31]), Err(Errno::EINVAL));
    assert_eq!(queue.take(&mut buf), Ok(32));
    assert_eq!(buf[12..16], 16u32.to_ne_bytes());
    assert_eq!(&buf[16..32], b"fifteen-letters\0");
    assert_eq!(queue.take(&mut buf), Ok(48));
    assert_eq!(buf[12..16], 32u32.to_ne_bytes());
    assert_eq!(buf[32..48], [0; 16]);
}

#[test]
fn mask_needs_a_bit_that_means_something() {
    assert_eq!(WatchMask::checked(0), Err(Errno::EINVAL));
    assert_eq!(WatchMask::checked(0x1000), Err(Errno::EINVAL));
    assert_eq!(WatchMask::checked(0x3000_0000), Err(Errno::EINVAL));
    assert!(WatchMask::checked(0x0100_0000).is_ok());
}
