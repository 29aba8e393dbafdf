//! Bytes moved without a buffer of the caller: splice(2), tee(2), vmsplice(2), copy_file_range(2), sendfile(2).

use std::fs::{self, File, OpenOptions};
use std::io::{IoSlice, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use integration::checks;
use integration::guest::scratch::Scratch;
use integration::guest::{self, error_of};
use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, copy_file_range, splice, tee, vmsplice};
use nix::sys::eventfd::EventFd;
use nix::sys::sendfile::sendfile;
use nix::unistd::{pipe, pipe2, read, write};

fn main() -> ExitCode {
    guest::main(checks![
        splice_refuses_what_is_no_pipe,
        splice_of_closed_pipe_gives_zero,
        splice_nonblocking_gets_eagain,
        splice_waits_for_the_first_bytes,
        splice_writes_a_file_at_its_position,
        splice_fills_a_pipe_to_its_capacity,
        splice_between_pipes_moves_what_there_is,
        splice_without_readers_gets_epipe,
        tee_leaves_the_bytes,
        vmsplice_gathers_and_scatters,
        copy_file_range_checks_its_files,
        copy_file_range_stops_at_the_end,
        copy_file_range_refuses_overlap,
        sendfile_checks_its_files,
    ])
}

const NONE: SpliceFFlags = SpliceFFlags::empty();
const NONBLOCK: SpliceFFlags = SpliceFFlags::SPLICE_F_NONBLOCK;

fn text(scratch: &Scratch) -> File {
    let path = scratch.file("text", "0123456789");
    OpenOptions::new().read(true).write(true).open(path).expect("open")
}

fn all_of(reader: OwnedFd) -> String {
    let mut all = String::new();
    File::from(reader).read_to_string(&mut all).expect("read");
    all
}

fn move_all(from: impl AsFd, to: impl AsFd, len: usize, flags: SpliceFFlags) -> nix::Result<usize> {
    splice(from, None, to, None, len, flags)
}

fn splice_refuses_what_is_no_pipe() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let (reader, writer) = pipe().expect("pipe");
    let mut offset = 0;
    assert_eq!(error_of(move_all(&file, &file, 4, NONE)), Errno::EINVAL);
    assert_eq!(move_all(&file, &file, 0, NONE), Ok(0));
    assert_eq!(error_of(move_all(&reader, &writer, 4, NONE)), Errno::EINVAL, "one and the same pipe");
    assert_eq!(error_of(splice(&reader, Some(&mut offset), &file, None, 4, NONE)), Errno::ESPIPE);
    assert_eq!(error_of(splice(&file, None, &writer, Some(&mut offset), 4, NONE)), Errno::ESPIPE);
    assert_eq!(error_of(move_all(&writer, &file, 4, NONE)), Errno::EBADF);
    assert_eq!(error_of(move_all(&file, &reader, 4, NONE)), Errno::EBADF);
    assert_eq!(error_of(move_all(&file, &writer, 4, SpliceFFlags::from_bits_retain(32))), Errno::EINVAL);
    let append = OpenOptions::new().append(true).open(scratch.at("text")).expect("open");
    write(&writer, b"x").expect("write");
    assert_eq!(error_of(move_all(&reader, &append, 4, NONE)), Errno::EINVAL);
    let event = EventFd::new().expect("eventfd");
    assert_eq!(error_of(move_all(&event, &writer, 8, NONE)), Errno::EINVAL);
    let directory = File::open("/tmp").expect("open");
    assert_eq!(error_of(move_all(&directory, &writer, 8, NONE)), Errno::EINVAL);
    let mut negative = -1;
    assert_eq!(error_of(splice(&file, Some(&mut negative), &writer, None, 4, NONE)), Errno::EINVAL);
}

fn splice_of_closed_pipe_gives_zero() {
    let scratch = Scratch::new();
    let (reader, writer) = pipe().expect("pipe");
    drop(writer);
    assert_eq!(move_all(&reader, text(&scratch), 4, NONE), Ok(0));
    let (_other_reader, other_writer) = pipe().expect("pipe");
    assert_eq!(move_all(&reader, &other_writer, 4, NONE), Ok(0));
}

fn splice_nonblocking_gets_eagain() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let (reader, writer) = pipe().expect("pipe");
    let (other_reader, other_writer) = pipe2(OFlag::O_NONBLOCK).expect("pipe");
    assert_eq!(error_of(move_all(&reader, &file, 4, NONBLOCK)), Errno::EAGAIN);
    assert_eq!(error_of(move_all(&other_reader, &file, 4, NONE)), Errno::EAGAIN);
    assert_eq!(error_of(move_all(&reader, &other_writer, 4, NONE)), Errno::EAGAIN);
    while write(&other_writer, &[0; 4096]).is_ok() {}
    assert_eq!(error_of(move_all(&file, &other_writer, 4, NONE)), Errno::EAGAIN);
    drop(writer);
}

fn splice_waits_for_the_first_bytes() {
    let scratch = Scratch::new();
    let (reader, writer) = pipe().expect("pipe");
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        write(&writer, b"late").expect("write");
        writer
    });
    assert_eq!(move_all(&reader, text(&scratch), 100, NONE), Ok(4), "and not for the others");
    let writer = late.join().expect("join");
    let (null_reader, null) = pipe().expect("pipe");
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        write(&writer, b"again").expect("write");
    });
    assert_eq!(move_all(&reader, &null, 100, NONE), Ok(5));
    late.join().expect("join");
    drop(null);
    assert_eq!(all_of(null_reader), "again");
}

fn splice_writes_a_file_at_its_position() {
    let scratch = Scratch::new();
    let mut file = text(&scratch);
    let (reader, writer) = pipe().expect("pipe");
    write(&writer, b"abcdef").expect("write");
    file.seek(std::io::SeekFrom::Start(2)).expect("seek");
    assert_eq!(move_all(&reader, &file, 3, NONE), Ok(3));
    assert_eq!(file.stream_position().expect("tell"), 5);
    let mut offset = 8;
    assert_eq!(splice(&reader, None, &file, Some(&mut offset), 100, NONBLOCK), Ok(3));
    assert_eq!((offset, file.stream_position().expect("tell")), (11, 5));
    assert_eq!(fs::read_to_string(scratch.at("text")).expect("read"), "01abc567def");
}

fn splice_fills_a_pipe_to_its_capacity() {
    let scratch = Scratch::new();
    let path = scratch.file("big", "x".repeat(200_000).as_str());
    let mut file = File::open(path).expect("open");
    let (reader, writer) = pipe().expect("pipe");
    assert_eq!(move_all(&file, &writer, 200_000, NONBLOCK), Ok(65536));
    assert_eq!(file.stream_position().expect("tell"), 65536);
    assert_eq!(error_of(move_all(&file, &writer, 1, NONBLOCK)), Errno::EAGAIN);
    let mut bytes = vec![0; 70_000];
    assert_eq!(read(&reader, &mut bytes), Ok(65536));
    file.seek(std::io::SeekFrom::End(0)).expect("seek");
    assert_eq!(move_all(&file, &writer, 10, NONE), Ok(0));
}

fn splice_between_pipes_moves_what_there_is() {
    let (reader, writer) = pipe().expect("pipe");
    let (other_reader, other_writer) = pipe().expect("pipe");
    write(&writer, b"abcdef").expect("write");
    assert_eq!(move_all(&reader, &other_writer, 4, NONE), Ok(4));
    assert_eq!(move_all(&reader, &other_writer, 4, NONE), Ok(2));
    drop(other_writer);
    assert_eq!(all_of(other_reader), "abcdef");
}

fn splice_without_readers_gets_epipe() {
    integration::guest::signal::plain(
        nix::sys::signal::Signal::SIGPIPE,
        nix::sys::signal::SigHandler::SigIgn,
    );
    let scratch = Scratch::new();
    let (reader, writer) = pipe().expect("pipe");
    drop(reader);
    assert_eq!(error_of(move_all(text(&scratch), &writer, 4, NONE)), Errno::EPIPE);
}

fn tee_leaves_the_bytes() {
    let scratch = Scratch::new();
    let (reader, writer) = pipe().expect("pipe");
    let (other_reader, other_writer) = pipe().expect("pipe");
    assert_eq!(error_of(tee(&reader, &other_writer, 4, NONBLOCK)), Errno::EAGAIN);
    write(&writer, b"abcdef").expect("write");
    assert_eq!(tee(&reader, &other_writer, 4, NONE), Ok(4));
    assert_eq!(error_of(tee(&reader, &writer, 4, NONE)), Errno::EINVAL);
    assert_eq!(error_of(tee(text(&scratch), &writer, 4, NONE)), Errno::EINVAL);
    assert_eq!(error_of(tee(&writer, &other_writer, 4, NONE)), Errno::EBADF);
    assert_eq!(tee(&reader, &writer, 0, NONE), Ok(0));
    drop((writer, other_writer));
    assert_eq!(tee(&other_reader, pipe().expect("pipe").1, 0, NONE), Ok(0));
    assert_eq!((all_of(reader).as_str(), all_of(other_reader).as_str()), ("abcdef", "abcd"));
}

fn vmsplice_gathers_and_scatters() {
    let scratch = Scratch::new();
    let (reader, writer) = pipe().expect("pipe");
    assert_eq!(vmsplice(&writer, &[IoSlice::new(b"ab"), IoSlice::new(b"cde")], NONE), Ok(5));
    let mut bytes = [0_u8; 8];
    let piece = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 8 };
    let number = std::os::fd::AsRawFd::as_raw_fd(&reader);
    // SAFETY: the piece names a live, writable array.
    assert_eq!(unsafe { libc::vmsplice(number, &piece, 1, 0) }, 5);
    assert_eq!(&bytes, b"abcde\0\0\0");
    assert_eq!(error_of(vmsplice(text(&scratch), &[IoSlice::new(b"x")], NONE)), Errno::EBADF);
    let big = vec![7; 100_000];
    // Linux gives a page of the pipe to each page of memory, and these are not aligned.
    let moved = vmsplice(&writer, &[IoSlice::new(&big)], NONBLOCK).expect("vmsplice");
    assert!((60_000..=65536).contains(&moved));
    assert_eq!(error_of(vmsplice(&writer, &[IoSlice::new(&big)], NONBLOCK)), Errno::EAGAIN);
}

fn copy_file_range_checks_its_files() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let (reader, _writer) = pipe().expect("pipe");
    let directory = File::open("/tmp").expect("open");
    let read_only = File::open(scratch.at("text")).expect("open");
    let append = OpenOptions::new().append(true).open(scratch.at("text")).expect("open");
    assert_eq!(error_of(copy_file_range(&directory, None, &file, None, 1)), Errno::EISDIR);
    assert_eq!(error_of(copy_file_range(&reader, None, &file, None, 1)), Errno::EINVAL);
    assert_eq!(error_of(copy_file_range(&file, None, &read_only, None, 1)), Errno::EBADF);
    assert_eq!(error_of(copy_file_range(&file, None, &append, None, 1)), Errno::EBADF);
    let (mut huge, mut negative) = (i64::MAX, -1);
    assert_eq!(copy_file_range(&file, Some(&mut huge), &file, None, 1), Ok(0));
    assert_eq!(error_of(copy_file_range(&file, Some(&mut negative), &file, None, 1)), Errno::EOVERFLOW);
    negative = -10;
    assert_eq!(error_of(copy_file_range(&file, Some(&mut negative), &file, None, 1)), Errno::EINVAL);
}

fn copy_file_range_stops_at_the_end() {
    let scratch = Scratch::new();
    let mut file = text(&scratch);
    let mut to = File::create_new(scratch.at("to")).expect("create");
    assert_eq!(copy_file_range(&file, None, &to, None, 1000), Ok(10));
    assert_eq!(copy_file_range(&file, None, &to, None, 1000), Ok(0));
    assert_eq!((file.stream_position().expect("tell"), to.stream_position().expect("tell")), (10, 10));
    let (mut from_offset, mut to_offset) = (6, 20);
    assert_eq!(copy_file_range(&file, Some(&mut from_offset), &to, Some(&mut to_offset), 8), Ok(4));
    assert_eq!((from_offset, to_offset), (10, 24));
    let content = fs::read(scratch.at("to")).expect("read");
    assert_eq!(content, b"0123456789\0\0\0\0\0\0\0\0\0\x006789");
}

fn copy_file_range_refuses_overlap() {
    let scratch = Scratch::new();
    let mut file = text(&scratch);
    file.write_all(b"0123456789").expect("write");
    let (mut from, mut to) = (0, 3);
    assert_eq!(error_of(copy_file_range(&file, Some(&mut from), &file, Some(&mut to), 5)), Errno::EINVAL);
    assert_eq!(copy_file_range(&file, Some(&mut from), &file, Some(&mut to), 3), Ok(3));
    assert_eq!(fs::read_to_string(scratch.at("text")).expect("read"), "0120126789");
}

fn sendfile_checks_its_files() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let (reader, writer) = pipe().expect("pipe");
    let mut offset = 0;
    assert_eq!(error_of(sendfile(&file, &reader, Some(&mut offset), 4)), Errno::ESPIPE);
    assert_eq!(error_of(sendfile(&reader, &file, None, 4)), Errno::EBADF);
    assert_eq!(error_of(sendfile(&writer, &writer, None, 4)), Errno::EBADF);
    let append = OpenOptions::new().append(true).open(scratch.at("text")).expect("open");
    assert_eq!(error_of(sendfile(&append, &file, None, 4)), Errno::EINVAL);
    let to = File::create_new(scratch.at("to")).expect("create");
    assert_eq!(sendfile(&to, &file, None, 100), Ok(10));
    assert_eq!(fs::read_to_string(scratch.at("to")).expect("read"), "0123456789");
}
