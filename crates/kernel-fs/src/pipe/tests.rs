//! What pipe(7) and fifo(7) say, one sentence a test.

use super::{Fifo, PIPE_BUF, PipeEnd, open_pair};
use crate::io_test::FakeCaller;
use abi_linux::fs::{Events, OpenFlags};
use abi_linux::raw::ioctl::FIONREAD;
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_vfs::device::Fifo as _;
use kernel_vfs::file::FileOps;
use kernel_vfs::inode::Inode;
use std::sync::Arc;

const RD: Events = Events::IN.union(Events::RDNORM);
const WR: Events = Events::OUT.union(Events::WRNORM);

fn open_fifo(fifo: &Fifo, flags: OpenFlags) -> SysResult<Arc<dyn FileOps>> {
    fifo.open(flags, &FakeCaller::new())
}

fn fill(who: &FakeCaller, end: &PipeEnd) -> usize {
    let mut total = 0;
    while let Ok((n, _)) = end.write(who.io(), &[7; 10_000]) {
        total += n;
    }
    total
}

#[test]
fn bytes_come_out_in_order_around_the_ring() {
    let who = FakeCaller::new();
    let (reader, writer, _inode) = open_pair(&who).unwrap();
    let data: Vec<u8> = (0..200_000u32).map(|i| (i * 7 % 251) as u8).collect();
    let (mut sent, mut got) = (0, Vec::new());
    let mut buf = [0; 3001];
    while got.len() < data.len() {
        if let Ok((n, _)) = writer.write(who.io(), &data[sent..(sent + 4999).min(data.len())]) {
            sent += n;
        }
        if let Ok(n) = reader.read(who.io(), &mut buf) {
            got.extend_from_slice(&buf[..n]);
        }
    }
    assert!(got == data);
}

#[test]
fn full_pipe_holds_its_capacity_and_writes_again_after_a_page_is_read() {
    let who = FakeCaller::new();
    let (reader, writer, _inode) = open_pair(&who).unwrap();
    assert_eq!(fill(&who, &writer), 65536);
    assert_eq!(writer.poll(), Events::empty());
    assert_eq!(reader.poll(), RD);
    assert_eq!(reader.read(who.io(), &mut [0; 4095]), Ok(4095));
    assert_eq!(writer.poll(), Events::empty(), "no free page yet");
    assert_eq!(writer.write(who.io(), &[1; PIPE_BUF]), Err(Errno::EAGAIN), "PIPE_BUF is atomic");
    assert_eq!(reader.read(who.io(), &mut [0; 1]), Ok(1));
    assert_eq!(writer.poll(), WR);
    assert_eq!(writer.write(who.io(), &[1; PIPE_BUF + 1]), Ok((PIPE_BUF, 0)), "more than PIPE_BUF is not");
}

#[test]
fn write_without_reader_raises_sigpipe() {
    let who = FakeCaller::new();
    let (reader, writer, _inode) = open_pair(&who).unwrap();
    drop(reader);
    assert_eq!(writer.write(who.io(), b""), Ok((0, 0)));
    assert_eq!(writer.write(who.io(), b"x"), Err(Errno::EPIPE));
    assert_eq!(*who.raised.lock(), [(10, Signal::SIGPIPE)]);
    assert_eq!(writer.poll(), WR | Events::ERR);
}

#[test]
fn read_after_last_writer_gives_the_rest_and_then_the_end() {
    let who = FakeCaller::new();
    let (reader, writer, inode) = open_pair(&who).unwrap();
    let again = inode.open(OpenFlags::WRONLY, &who).unwrap();
    writer.write(who.io(), b"abc").unwrap();
    drop(writer);
    assert_eq!(reader.poll(), RD);
    drop(again);
    assert_eq!(reader.poll(), RD | Events::HUP);
    assert_eq!(reader.read(who.io(), &mut [0; 8]), Ok(3));
    assert_eq!(reader.read(who.io(), &mut [0; 8]), Ok(0));
    assert_eq!(reader.poll(), Events::HUP);
}

#[test]
fn fionread_counts_bytes_and_other_commands_are_not_a_terminals() {
    let who = FakeCaller::new();
    let (reader, writer, _inode) = open_pair(&who).unwrap();
    writer.write(who.io(), b"abcde").unwrap();
    assert_eq!(reader.ioctl(&who, FIONREAD, 0), Ok(0));
    assert_eq!(who.word_at_zero(), 5);
    assert_eq!(reader.ioctl(&who, 0x5401, 0), Err(Errno::ENOTTY));
}

#[test]
fn capacity_is_a_power_of_two_of_pages() {
    let who = FakeCaller::new();
    let (reader, writer, _inode) = open_pair(&who).unwrap();
    assert_eq!(writer.set_capacity(1, 1 << 20), Ok(4096));
    assert_eq!(fill(&who, &writer), 4096);
    assert_eq!(reader.set_capacity(100_000, 1 << 20), Ok(131_072));
    assert_eq!(fill(&who, &writer), 131_072 - 4096);
    assert_eq!(writer.set_capacity(4096, 1 << 20), Err(Errno::EBUSY));
    assert_eq!(writer.set_capacity(2 << 20, 1 << 20), Err(Errno::EPERM));
    assert_eq!(writer.set_capacity(u64::MAX, 1 << 20), Err(Errno::EINVAL));
    assert_eq!(reader.capacity(), 131_072);
}

#[test]
fn packets_keep_their_borders_and_lose_what_is_not_read() {
    let who = FakeCaller::new();
    let (reader, writer, _inode) = open_pair(&who).unwrap();
    let direct = who.io_with(OpenFlags::DIRECT);
    writer.write(who.io(), b"stream").unwrap();
    writer.write(direct, b"first").unwrap();
    writer.write(direct, b"second").unwrap();
    let mut buf = [0; 64];
    assert_eq!(reader.read(who.io(), &mut buf), Ok(6));
    assert_eq!(reader.read(who.io(), &mut buf[..3]), Ok(3));
    assert_eq!(reader.read(who.io(), &mut buf), Ok(6));
    assert_eq!(&buf[..6], b"second");
}

#[test]
fn fifo_openers_wait_for_each_other() {
    let fifo = Fifo::default();
    let reader = open_fifo(&fifo, OpenFlags::empty()).unwrap();
    assert!(!reader.is_open_complete());
    let writer = open_fifo(&fifo, OpenFlags::WRONLY).unwrap();
    assert!(writer.is_open_complete() && reader.is_open_complete());
    drop(writer);
    assert!(reader.is_open_complete(), "a writer that came and went was enough");
    assert_eq!(reader.poll(), Events::HUP);
}

#[test]
fn nonblocking_fifo_opens_do_not_wait() {
    let who = FakeCaller::new();
    let fifo = Fifo::default();
    let refused = open_fifo(&fifo, OpenFlags::WRONLY | OpenFlags::NONBLOCK).err();
    assert_eq!(refused, Some(Errno::ENXIO));
    let reader = open_fifo(&fifo, OpenFlags::NONBLOCK).unwrap();
    assert!(reader.is_open_complete());
    assert_eq!(reader.poll(), Events::empty(), "no hang-up before the first writer");
    let writer = open_fifo(&fifo, OpenFlags::WRONLY | OpenFlags::NONBLOCK).unwrap();
    writer.write(who.io(), b"lost").unwrap();
    drop((reader, writer));
    let both: Arc<dyn FileOps> = open_fifo(&fifo, OpenFlags::RDWR).unwrap();
    assert!(both.is_open_complete());
    assert_eq!(both.read(who.io(), &mut [0; 8]), Err(Errno::EAGAIN), "content goes with the last close");
}

#[test]
fn bytes_given_back_are_read_again_first() {
    let who = FakeCaller::new();
    let (reader, writer, _inode) = open_pair(&who).unwrap();
    let mut buf = [0; 16];
    assert_eq!(reader.peek(&mut buf), Err(Errno::EAGAIN));
    assert_eq!(writer.write(who.io(), b"abcdef"), Ok((6, 0)));
    assert_eq!(reader.read(who.io(), &mut buf[..4]), Ok(4));
    reader.give_back(b"cd");
    assert_eq!(reader.peek(&mut buf), Ok(4));
    assert_eq!(&buf[..4], b"cdef");
    assert_eq!(writer.write(who.io(), &[7; 65536]), Ok((65532, 0)));
    reader.give_back(b"b");
    assert_eq!(reader.read(who.io(), &mut buf), Ok(16));
    assert_eq!(&buf[..6], b"bcdef\x07");
    drop(writer);
    assert_eq!(reader.peek(&mut []), Ok(0));
}
