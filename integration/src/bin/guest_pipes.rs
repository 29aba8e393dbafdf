//! Pipes: order, capacity, atomicity, ends of file, broken pipes, blocking and not blocking.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use integration::checks;
use integration::guest::{self, fd, in_child, signal};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SaFlags, SigHandler, Signal};
use nix::sys::stat::fstat;
use nix::unistd::{pipe, pipe2, read, write};

fn main() -> ExitCode {
    guest::main(checks![
        bytes_come_out_in_order,
        read_returns_what_is_there,
        read_after_writer_close_drains_then_ends,
        read_blocks_until_a_write,
        read_blocks_until_the_last_writer_closes,
        write_after_reader_close_gets_epipe,
        write_after_reader_close_kills_by_sigpipe,
        blocked_writer_gets_epipe_when_the_reader_closes,
        default_capacity_is_64_kib,
        nonblocking_read_of_empty_gets_eagain,
        nonblocking_small_write_is_all_or_nothing,
        nonblocking_large_write_is_partial,
        blocking_large_write_is_complete,
        writes_up_to_pipe_buf_are_atomic,
        setpipe_size_rounds_and_refuses,
        zero_length_transfers_do_nothing,
        nonblock_is_set_per_end,
        pipe2_flags,
        pipe2_bad_flags_get_einval,
        pipe_with_bad_pointer_leaks_nothing,
        packet_mode_keeps_boundaries,
        stat_of_a_pipe,
        child_and_parent_exchange_a_megabyte,
        many_writers_one_reader,
        reopened_through_proc,
        tee_duplicates,
    ])
}

fn full(writer: &OwnedFd) -> usize {
    let mut total = 0;
    loop {
        match write(writer, &[b'f'; 4096]) {
            Ok(count) => total += count,
            Err(Errno::EAGAIN) => return total,
            Err(error) => panic!("{error}"),
        }
    }
}

fn bytes_come_out_in_order() {
    let (reader, writer) = pipe().expect("pipe");
    for piece in [&b"one "[..], b"two ", b"three"] {
        assert_eq!(write(&writer, piece), Ok(piece.len()));
    }
    let mut bytes = [0; 64];
    assert_eq!(read(&reader, &mut bytes[..5]), Ok(5));
    assert_eq!(read(&reader, &mut bytes[5..]), Ok(8));
    assert_eq!(&bytes[..13], b"one two three");
}

fn read_returns_what_is_there() {
    let (reader, writer) = pipe().expect("pipe");
    write(&writer, b"abc").expect("write");
    assert_eq!(read(&reader, &mut [0; 100_000]), Ok(3));
}

fn read_after_writer_close_drains_then_ends() {
    let (reader, writer) = pipe().expect("pipe");
    write(&writer, b"rest").expect("write");
    drop(writer);
    assert_eq!(read(&reader, &mut [0; 10]), Ok(4));
    assert_eq!(read(&reader, &mut [0; 10]), Ok(0));
    assert_eq!(read(&reader, &mut [0; 10]), Ok(0));
}

fn read_blocks_until_a_write() {
    let (reader, writer) = pipe().expect("pipe");
    let start = Instant::now();
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        write(&writer, b"late").expect("write");
        thread::sleep(Duration::from_millis(100));
        drop(writer);
    });
    let mut bytes = [0; 10];
    assert_eq!(read(&reader, &mut bytes), Ok(4));
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(read(&reader, &mut bytes), Ok(0));
    thread.join().expect("join");
}

fn read_blocks_until_the_last_writer_closes() {
    let (reader, writer) = pipe().expect("pipe");
    let child = guest::fork_child(|| {
        thread::sleep(Duration::from_millis(100));
        0
    });
    drop(writer);
    let start = Instant::now();
    assert_eq!(read(&reader, &mut [0; 10]), Ok(0));
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert_eq!(guest::wait_raw(child.as_raw()), 0);
}

fn write_after_reader_close_gets_epipe() {
    signal::plain(Signal::SIGPIPE, SigHandler::SigIgn);
    let (reader, writer) = pipe().expect("pipe");
    drop(reader);
    assert_eq!(write(&writer, b"x"), Err(Errno::EPIPE));
    signal::note(Signal::SIGPIPE, SaFlags::empty());
    assert_eq!(write(&writer, b"x"), Err(Errno::EPIPE));
    assert_eq!(signal::count(), 1);
}

fn write_after_reader_close_kills_by_sigpipe() {
    let status = in_child(|| {
        signal::plain(Signal::SIGPIPE, SigHandler::SigDfl);
        let (reader, writer) = pipe().expect("pipe");
        drop(reader);
        let _ = write(&writer, b"x");
        0
    });
    assert_eq!(status, 128 + libc::SIGPIPE);
}

fn blocked_writer_gets_epipe_when_the_reader_closes() {
    signal::plain(Signal::SIGPIPE, SigHandler::SigIgn);
    let (reader, writer) = pipe().expect("pipe");
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        drop(reader);
    });
    // What went into the pipe before counts.
    assert_eq!(write(&writer, &vec![0; 200_000]), Ok(65536));
    assert_eq!(write(&writer, b"x"), Err(Errno::EPIPE));
    thread.join().expect("join");
}

fn default_capacity_is_64_kib() {
    let (_reader, writer) = pipe2(OFlag::O_NONBLOCK).expect("pipe2");
    assert_eq!(fd::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ, 0), Ok(65536));
    assert_eq!(full(&writer), 65536);
}

fn nonblocking_read_of_empty_gets_eagain() {
    let (reader, writer) = pipe2(OFlag::O_NONBLOCK).expect("pipe2");
    assert_eq!(read(&reader, &mut [0]), Err(Errno::EAGAIN));
    drop(writer);
    assert_eq!(read(&reader, &mut [0]), Ok(0));
}

fn nonblocking_small_write_is_all_or_nothing() {
    let (reader, writer) = pipe2(OFlag::O_NONBLOCK).expect("pipe2");
    full(&writer);
    assert_eq!(write(&writer, b"x"), Err(Errno::EAGAIN));
    assert_eq!(read(&reader, &mut [0; 4096]), Ok(4096));
    assert_eq!(write(&writer, &[1; 4096]), Ok(4096));
    assert_eq!(write(&writer, &[1; 4096]), Err(Errno::EAGAIN));
}

fn nonblocking_large_write_is_partial() {
    let (_reader, writer) = pipe2(OFlag::O_NONBLOCK).expect("pipe2");
    assert_eq!(write(&writer, &vec![0; 100_000]), Ok(65536));
}

fn blocking_large_write_is_complete() {
    let (reader, writer) = pipe().expect("pipe");
    let thread = thread::spawn(move || {
        let mut all = Vec::new();
        File::from(reader).read_to_end(&mut all).expect("read");
        all
    });
    let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(write(&writer, &sent), Ok(sent.len()));
    drop(writer);
    assert!(thread.join().expect("join") == sent);
}

fn writes_up_to_pipe_buf_are_atomic() {
    let (reader, writer) = pipe().expect("pipe");
    let children: Vec<_> = (b'a'..=b'd')
        .map(|letter| {
            guest::fork_child(|| {
                (0..100)
                    .for_each(|_| assert_eq!(write(&writer, &[letter; libc::PIPE_BUF]), Ok(libc::PIPE_BUF)));
                0
            })
        })
        .collect();
    drop(writer);
    let mut all = Vec::new();
    File::from(reader).read_to_end(&mut all).expect("read");
    assert_eq!(all.len(), 400 * libc::PIPE_BUF);
    for block in all.chunks(libc::PIPE_BUF) {
        assert!(block.iter().all(|byte| *byte == block[0]));
    }
    assert!(children.into_iter().all(|child| guest::wait_raw(child.as_raw()) == 0));
}

fn setpipe_size_rounds_and_refuses() {
    let (_reader, writer) = pipe2(OFlag::O_NONBLOCK).expect("pipe2");
    let number = writer.as_raw_fd();
    assert_eq!(fd::fcntl(number, libc::F_SETPIPE_SZ, 5000), Ok(8192));
    assert_eq!(full(&writer), 8192);
    assert_eq!(fd::fcntl(number, libc::F_SETPIPE_SZ, 4096), Err(Errno::EBUSY));
    assert_eq!(fd::fcntl(number, libc::F_SETPIPE_SZ, 1 << 20), Ok(1 << 20));
    assert_eq!(fd::fcntl(0, libc::F_GETPIPE_SZ, 0).is_ok(), fstat_is_pipe(0));
}

fn fstat_is_pipe(number: i32) -> bool {
    let path = format!("/proc/self/fd/{number}");
    nix::sys::stat::stat(path.as_str()).is_ok_and(|info| info.st_mode & libc::S_IFMT == libc::S_IFIFO)
}

fn zero_length_transfers_do_nothing() {
    let (reader, writer) = pipe().expect("pipe");
    assert_eq!(write(&writer, b""), Ok(0));
    assert_eq!(read(&reader, &mut []), Ok(0));
    drop(reader);
    // Not even a broken pipe.
    assert_eq!(write(&writer, b""), Ok(0));
}

fn nonblock_is_set_per_end() {
    let (reader, writer) = pipe().expect("pipe");
    fd::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK).expect("setfl");
    assert_eq!(read(&reader, &mut [0]), Err(Errno::EAGAIN));
    assert_eq!(fd::fcntl(writer.as_raw_fd(), libc::F_GETFL, 0), Ok(libc::O_WRONLY));
    fd::fcntl(reader.as_raw_fd(), libc::F_SETFL, 0).expect("setfl");
    write(&writer, b"x").expect("write");
    assert_eq!(read(&reader, &mut [0]), Ok(1));
}

fn pipe2_flags() {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).expect("pipe2");
    for end in [&reader, &writer] {
        assert_eq!(fd::fcntl(end.as_raw_fd(), libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC));
        assert_ne!(fd::fcntl(end.as_raw_fd(), libc::F_GETFL, 0).expect("getfl") & libc::O_NONBLOCK, 0);
    }
    let (reader, _) = pipe().expect("pipe");
    assert_eq!(fd::fcntl(reader.as_raw_fd(), libc::F_GETFD, 0), Ok(0));
}

fn pipe2_bad_flags_get_einval() {
    assert_eq!(pipe2(OFlag::O_APPEND).err(), Some(Errno::EINVAL));
}

fn pipe_with_bad_pointer_leaks_nothing() {
    let next = || File::open("/dev/null").expect("open").as_raw_fd();
    let before = next();
    for _ in 0..10 {
        // SAFETY: the address is not mapped; the call answers EFAULT.
        let result = unsafe { libc::syscall(libc::SYS_pipe2, 8_usize, 0) };
        assert_eq!(Errno::result(result), Err(Errno::EFAULT));
    }
    assert_eq!(next(), before);
}

fn packet_mode_keeps_boundaries() {
    let (reader, writer) = pipe2(OFlag::O_DIRECT).expect("pipe2");
    write(&writer, b"first").expect("write");
    write(&writer, b"second").expect("write");
    let mut bytes = [0; 100];
    assert_eq!(read(&reader, &mut bytes), Ok(5));
    assert_eq!(read(&reader, &mut bytes[..3]), Ok(3));
    write(&writer, b"3").expect("write");
    assert_eq!(read(&reader, &mut bytes), Ok(1));
}

fn stat_of_a_pipe() {
    let (reader, writer) = pipe().expect("pipe");
    let (a, b) = (fstat(&reader).expect("fstat"), fstat(&writer).expect("fstat"));
    assert_eq!(a.st_mode, libc::S_IFIFO | 0o600);
    assert_eq!((a.st_dev, a.st_ino, a.st_nlink), (b.st_dev, b.st_ino, 1));
    let (other, _) = pipe().expect("pipe");
    assert_ne!(fstat(&other).expect("fstat").st_ino, a.st_ino);
}

fn child_and_parent_exchange_a_megabyte() {
    let (to_child, from_parent) = pipe().expect("pipe");
    let (to_parent, from_child) = pipe().expect("pipe");
    let child = guest::fork_child(|| {
        let mut buffer = [0; 10_000];
        let mut left = 1 << 20;
        while left > 0 {
            let count = read(&to_child, &mut buffer).expect("read");
            left -= count;
            File::from(from_child.try_clone().expect("dup")).write_all(&buffer[..count]).expect("write");
        }
        0
    });
    drop(from_child);
    let mut writer = File::from(from_parent);
    let thread = thread::spawn(move || writer.write_all(&vec![9; 1 << 20]).expect("write"));
    let mut all = Vec::new();
    File::from(to_parent).read_to_end(&mut all).expect("read");
    thread.join().expect("join");
    assert!(all == vec![9; 1 << 20]);
    assert_eq!(guest::wait_raw(child.as_raw()), 0);
}

fn many_writers_one_reader() {
    let (reader, writer) = pipe().expect("pipe");
    let children: Vec<_> =
        (0..20).map(|n: u8| guest::fork_child(|| i32::from(write(&writer, &[n]) != Ok(1)))).collect();
    drop(writer);
    let mut all = Vec::new();
    File::from(reader).read_to_end(&mut all).expect("read");
    all.sort_unstable();
    assert_eq!(all, (0..20).collect::<Vec<u8>>());
    assert!(children.into_iter().all(|child| guest::wait_raw(child.as_raw()) == 0));
}

fn reopened_through_proc() {
    let (reader, _writer) = pipe().expect("pipe");
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let mut second = OpenOptions::new().write(true).open(path).expect("a write end from a read end");
    second.write_all(b"via proc").expect("write");
    assert_eq!(read(&reader, &mut [0; 20]), Ok(8));
}

fn tee_duplicates() {
    use nix::fcntl::{SpliceFFlags, tee};
    let (a_reader, a_writer) = pipe().expect("pipe");
    let (b_reader, b_writer) = pipe().expect("pipe");
    write(&a_writer, b"both").expect("write");
    assert_eq!(tee(&a_reader, &b_writer, 100, SpliceFFlags::empty()), Ok(4));
    let (mut a, mut b) = ([0; 8], [0; 8]);
    assert_eq!((read(&a_reader, &mut a), read(&b_reader, &mut b)), (Ok(4), Ok(4)));
    assert_eq!((&a, &b), (b"both\0\0\0\0", b"both\0\0\0\0"));
}
