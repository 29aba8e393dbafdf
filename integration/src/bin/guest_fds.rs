//! Descriptors: numbers, duplicates, flags, offsets, positioned and vectored transfer, locks.

use std::fs::{self, File, OpenOptions};
use std::io::{IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::ExitCode;

use integration::checks;
use integration::guest::scratch::Scratch;
use integration::guest::{self, error_of, fd};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::fstat;
use nix::sys::uio::{preadv, pwritev, readv, writev};
use nix::unistd::{pipe, pipe2};

fn main() -> ExitCode {
    guest::main(checks![
        lowest_free_number_is_given,
        dup_shares_offset_and_status_flags_but_not_cloexec,
        dup2_onto_open_number_closes_it,
        dup2_of_same_number_returns_it_and_keeps_cloexec,
        dup3_of_same_number_gets_einval,
        dup3_sets_cloexec,
        dup_of_closed_number_gets_ebadf,
        dup2_beyond_limit_gets_ebadf,
        fcntl_dupfd_gives_lowest_at_or_above_minimum,
        fcntl_dupfd_beyond_limit_gets_einval,
        open_beyond_limit_gets_emfile,
        getfl_shows_access_mode_and_status_flags,
        setfl_changes_append_and_nonblock_only,
        notify_of_no_event_ends_what_was_not_begun,
        closed_number_gets_ebadf_everywhere,
        wrong_access_mode_gets_ebadf,
        append_writes_at_end_whatever_the_offset,
        read_of_a_whole_file_ends_at_its_end,
        lseek_from_start_here_and_end,
        lseek_to_negative_gets_einval,
        write_beyond_end_leaves_zeros,
        seek_data_and_hole_agree_with_the_size,
        pipe_cannot_seek_nor_pread,
        positioned_transfer_leaves_offset,
        pread_at_negative_offset_gets_einval,
        vectored_transfer_gathers_and_scatters,
        positioned_vectored_transfer_leaves_offset,
        too_many_pieces_get_einval,
        unmapped_buffer_gets_efault,
        partly_unmapped_write_is_short_or_efault,
    ])
}

fn text(scratch: &Scratch) -> File {
    let path = scratch.file("text", "0123456789");
    OpenOptions::new().read(true).write(true).open(path).expect("open")
}

fn lowest_free_number_is_given() {
    let a = File::open("/dev/null").expect("open");
    let b = File::open("/dev/null").expect("open");
    assert_eq!(b.as_raw_fd(), a.as_raw_fd() + 1);
    let number = a.as_raw_fd();
    drop(a);
    assert_eq!(File::open("/dev/null").expect("open").as_raw_fd(), number);
}

fn dup_shares_offset_and_status_flags_but_not_cloexec() {
    let scratch = Scratch::new();
    let mut file = text(&scratch);
    let copy = fd::own(fd::dup(file.as_raw_fd()).expect("dup"));
    file.seek(SeekFrom::Start(4)).expect("seek");
    assert_eq!(fd::lseek(copy.as_raw_fd(), 0, libc::SEEK_CUR), Ok(4));
    fd::fcntl(copy.as_raw_fd(), libc::F_SETFL, libc::O_APPEND).expect("setfl");
    assert_ne!(fd::fcntl(file.as_raw_fd(), libc::F_GETFL, 0).expect("getfl") & libc::O_APPEND, 0);
    assert_eq!(fd::fcntl(file.as_raw_fd(), libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC));
    assert_eq!(fd::fcntl(copy.as_raw_fd(), libc::F_GETFD, 0), Ok(0));
}

fn dup2_onto_open_number_closes_it() {
    let (reader, writer) = pipe().expect("pipe");
    let null = File::open("/dev/null").expect("open");
    let number = writer.into_raw_fd();
    assert_eq!(fd::dup2(null.as_raw_fd(), number), Ok(number));
    assert_eq!(nix::unistd::read(&reader, &mut [0]), Ok(0));
}

fn dup2_of_same_number_returns_it_and_keeps_cloexec() {
    let file = File::open("/dev/null").expect("open");
    let number = file.as_raw_fd();
    assert_eq!(fd::dup2(number, number), Ok(number));
    assert_eq!(fd::fcntl(number, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC));
    assert_eq!(fd::dup2(900, 900), Err(Errno::EBADF));
}

fn dup3_of_same_number_gets_einval() {
    assert_eq!(fd::dup3(0, 0, 0), Err(Errno::EINVAL));
    assert_eq!(fd::dup3(900, 900, 0), Err(Errno::EINVAL));
    assert_eq!(fd::dup3(0, 50, libc::O_APPEND), Err(Errno::EINVAL));
}

fn dup3_sets_cloexec() {
    assert_eq!(fd::dup3(0, 50, libc::O_CLOEXEC), Ok(50));
    assert_eq!(fd::fcntl(50, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC));
    assert_eq!(fd::dup2(0, 50), Ok(50));
    assert_eq!(fd::fcntl(50, libc::F_GETFD, 0), Ok(0));
}

fn dup_of_closed_number_gets_ebadf() {
    for number in [900, -1, i32::MAX, i32::MIN] {
        assert_eq!(fd::dup(number), Err(Errno::EBADF));
        assert_eq!(fd::dup2(number, 50), Err(Errno::EBADF));
        assert_eq!(fd::dup2(0, number).err(), (number != 900).then_some(Errno::EBADF));
    }
}

fn limit_files(limit: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
    setrlimit(Resource::RLIMIT_NOFILE, limit, hard).expect("setrlimit");
}

fn dup2_beyond_limit_gets_ebadf() {
    limit_files(100);
    assert_eq!(fd::dup2(0, 99), Ok(99));
    assert_eq!(fd::dup2(0, 100), Err(Errno::EBADF));
}

fn fcntl_dupfd_gives_lowest_at_or_above_minimum() {
    assert_eq!(fd::fcntl(0, libc::F_DUPFD, 60), Ok(60));
    assert_eq!(fd::fcntl(0, libc::F_DUPFD, 60), Ok(61));
    assert_eq!(fd::fcntl(0, libc::F_DUPFD_CLOEXEC, 60), Ok(62));
    assert_eq!(fd::fcntl(60, libc::F_GETFD, 0), Ok(0));
    assert_eq!(fd::fcntl(62, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC));
}

fn fcntl_dupfd_beyond_limit_gets_einval() {
    limit_files(100);
    assert_eq!(fd::fcntl(0, libc::F_DUPFD, 100), Err(Errno::EINVAL));
    assert_eq!(fd::fcntl(0, libc::F_DUPFD, -1), Err(Errno::EINVAL));
    assert_eq!(fd::fcntl(0, libc::F_DUPFD, 99), Ok(99));
    assert_eq!(fd::fcntl(0, libc::F_DUPFD, 99), Err(Errno::EMFILE));
}

fn open_beyond_limit_gets_emfile() {
    limit_files(20);
    let mut kept = Vec::new();
    let error = loop {
        match File::open("/dev/null") {
            Ok(file) => kept.push(file),
            Err(error) => break error,
        }
    };
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
    assert_eq!(kept.last().map(AsRawFd::as_raw_fd), Some(19));
    assert_eq!(pipe().err(), Some(Errno::EMFILE));
}

fn getfl_shows_access_mode_and_status_flags() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    let open = |flags: i32| {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags & !libc::O_ACCMODE);
        options.write(flags & libc::O_ACCMODE == libc::O_RDWR);
        options.open(&path).expect("open")
    };
    let getfl = |file: &File| fd::fcntl(file.as_raw_fd(), libc::F_GETFL, 0).expect("getfl");
    // O_LARGEFILE is always shown by a 64-bit kernel.
    let large = 0o100_000;
    assert_eq!(getfl(&open(libc::O_RDONLY)), large);
    assert_eq!(getfl(&open(libc::O_RDWR)), large | libc::O_RDWR);
    assert_eq!(
        getfl(&open(libc::O_RDWR | libc::O_APPEND | libc::O_NONBLOCK)),
        large | libc::O_RDWR | libc::O_APPEND | libc::O_NONBLOCK
    );
    // Creation flags are not remembered.
    assert_eq!(
        getfl(&open(libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_NOCTTY)),
        large | libc::O_RDWR
    );
    let (reader, writer) = pipe2(OFlag::O_NONBLOCK).expect("pipe2");
    assert_eq!(fd::fcntl(reader.as_raw_fd(), libc::F_GETFL, 0), Ok(libc::O_NONBLOCK));
    assert_eq!(fd::fcntl(writer.as_raw_fd(), libc::F_GETFL, 0), Ok(libc::O_NONBLOCK | libc::O_WRONLY));
}

fn setfl_changes_append_and_nonblock_only() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let number = file.as_raw_fd();
    let before = fd::fcntl(number, libc::F_GETFL, 0).expect("getfl");
    fd::fcntl(number, libc::F_SETFL, libc::O_APPEND | libc::O_NONBLOCK | libc::O_TRUNC | libc::O_WRONLY)
        .expect("setfl");
    assert_eq!(fd::fcntl(number, libc::F_GETFL, 0), Ok(before | libc::O_APPEND | libc::O_NONBLOCK));
    fd::fcntl(number, libc::F_SETFL, 0).expect("setfl");
    assert_eq!(fd::fcntl(number, libc::F_GETFL, 0), Ok(before));
    assert_eq!(file.metadata().expect("stat").len(), 10);
}

fn notify_of_no_event_ends_what_was_not_begun() {
    let directory = File::open("/").expect("open");
    let file = File::open("/dev/null").expect("open");
    const DN_MULTISHOT: i32 = i32::MIN;
    for (file, argument) in [(&directory, DN_MULTISHOT), (&directory, 0), (&file, 0)] {
        assert_eq!(fd::fcntl(file.as_raw_fd(), libc::F_NOTIFY, argument), Ok(0), "{argument:#x}");
    }
}

fn closed_number_gets_ebadf_everywhere() {
    for number in [700, -1] {
        assert_eq!(fd::read(number, &mut [0]), Err(Errno::EBADF));
        assert_eq!(fd::write(number, b"x"), Err(Errno::EBADF));
        assert_eq!(fd::close(number), Err(Errno::EBADF));
        assert_eq!(fd::lseek(number, 0, libc::SEEK_SET), Err(Errno::EBADF));
        assert_eq!(fd::fcntl(number, libc::F_GETFD, 0), Err(Errno::EBADF));
        assert_eq!(fd::fcntl(number, libc::F_DUPFD, 0), Err(Errno::EBADF));
        // A transfer of nothing still needs a descriptor.
        assert_eq!(fd::read(number, &mut []), Err(Errno::EBADF));
    }
}

fn wrong_access_mode_gets_ebadf() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "x");
    let reader = File::open(&path).expect("open");
    let writer = OpenOptions::new().write(true).open(&path).expect("open");
    assert_eq!(fd::write(reader.as_raw_fd(), b"x"), Err(Errno::EBADF));
    assert_eq!(fd::read(writer.as_raw_fd(), &mut [0]), Err(Errno::EBADF));
    let (read_end, write_end) = pipe().expect("pipe");
    assert_eq!(fd::write(read_end.as_raw_fd(), b"x"), Err(Errno::EBADF));
    assert_eq!(fd::read(write_end.as_raw_fd(), &mut [0]), Err(Errno::EBADF));
    let path_only = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&path).expect("open");
    assert_eq!(fd::read(path_only.as_raw_fd(), &mut [0]), Err(Errno::EBADF));
    assert!(fstat(&path_only).is_ok());
}

fn append_writes_at_end_whatever_the_offset() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "head");
    let mut file = OpenOptions::new().append(true).read(true).open(&path).expect("open");
    file.seek(SeekFrom::Start(0)).expect("seek");
    file.write_all(b"+tail").expect("write");
    assert_eq!(file.stream_position().expect("tell"), 9);
    // pwrite(2): on Linux O_APPEND wins over the offset.
    file.write_at(b"!", 0).expect("pwrite");
    assert_eq!(fs::read(&path).expect("read"), b"head+tail!");
    // Two appenders in two processes lose nothing.
    let append = |letter: &[u8; 1]| {
        let mut file = OpenOptions::new().append(true).open(&path).expect("open");
        (0..200).for_each(|_| file.write_all(letter).expect("write"));
    };
    let child = guest::fork_child(|| {
        append(b"c");
        0
    });
    append(b"p");
    assert_eq!(guest::wait_raw(child.as_raw()), 0);
    assert_eq!(fs::metadata(&path).expect("stat").len(), 410);
}

fn read_of_a_whole_file_ends_at_its_end() {
    let scratch = Scratch::new();
    for len in [0, 1, 4096, 65_536, 262_144, 524_288, 600_000] {
        let path = scratch.file("whole", "x".repeat(len));
        let mut file = File::open(path).expect("open");
        let mut buf = vec![0; 1 << 20];
        assert_eq!(file.read(&mut buf).expect("read"), len);
        assert_eq!(file.read(&mut buf).expect("read"), 0);
    }
}

fn lseek_from_start_here_and_end() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let number = file.as_raw_fd();
    assert_eq!(fd::lseek(number, 3, libc::SEEK_SET), Ok(3));
    assert_eq!(fd::lseek(number, 2, libc::SEEK_CUR), Ok(5));
    assert_eq!(fd::lseek(number, -1, libc::SEEK_END), Ok(9));
    assert_eq!(fd::lseek(number, 100, libc::SEEK_END), Ok(110));
    assert_eq!(fd::read(number, &mut [0; 4]), Ok(0));
    assert_eq!(file.metadata().expect("stat").len(), 10);
}

fn lseek_to_negative_gets_einval() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let number = file.as_raw_fd();
    assert_eq!(fd::lseek(number, -1, libc::SEEK_SET), Err(Errno::EINVAL));
    assert_eq!(fd::lseek(number, -11, libc::SEEK_END), Err(Errno::EINVAL));
    assert_eq!(fd::lseek(number, 0, 77), Err(Errno::EINVAL));
    assert_eq!(fd::lseek(number, 0, libc::SEEK_CUR), Ok(0));
}

fn write_beyond_end_leaves_zeros() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    file.write_at(b"x", 20).expect("pwrite");
    let mut bytes = vec![1; 30];
    assert_eq!(file.read_at(&mut bytes, 0).expect("pread"), 21);
    assert_eq!(&bytes[..21], b"0123456789\0\0\0\0\0\0\0\0\0\0x");
}

fn seek_data_and_hole_agree_with_the_size() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let number = file.as_raw_fd();
    assert_eq!(fd::lseek(number, 0, libc::SEEK_DATA), Ok(0));
    assert_eq!(fd::lseek(number, 0, libc::SEEK_HOLE), Ok(10));
    assert_eq!(fd::lseek(number, 10, libc::SEEK_DATA), Err(Errno::ENXIO));
    assert_eq!(fd::lseek(number, 10, libc::SEEK_HOLE), Err(Errno::ENXIO));
}

fn pipe_cannot_seek_nor_pread() {
    let (reader, writer) = pipe().expect("pipe");
    assert_eq!(fd::lseek(reader.as_raw_fd(), 0, libc::SEEK_SET), Err(Errno::ESPIPE));
    assert_eq!(error_of(nix::sys::uio::pread(&reader, &mut [0], 0)), Errno::ESPIPE);
    assert_eq!(error_of(nix::sys::uio::pwrite(&writer, &[0], 0)), Errno::ESPIPE);
}

fn positioned_transfer_leaves_offset() {
    let scratch = Scratch::new();
    let mut file = text(&scratch);
    let mut bytes = [0; 3];
    file.read_exact_at(&mut bytes, 5).expect("pread");
    assert_eq!(&bytes, b"567");
    file.write_all_at(b"XY", 1).expect("pwrite");
    assert_eq!(file.stream_position().expect("tell"), 0);
    file.read_exact(&mut bytes).expect("read");
    assert_eq!(&bytes, b"0XY");
}

fn pread_at_negative_offset_gets_einval() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    assert_eq!(error_of(nix::sys::uio::pread(&file, &mut [0], -1)), Errno::EINVAL);
    assert_eq!(error_of(nix::sys::uio::pwrite(&file, &[0], i64::MIN)), Errno::EINVAL);
}

fn vectored_transfer_gathers_and_scatters() {
    let scratch = Scratch::new();
    let mut file = text(&scratch);
    assert_eq!(writev(&file, &[IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")]), Ok(5));
    file.rewind().expect("seek");
    let (mut a, mut b, mut c) = ([0; 1], [0; 3], [0; 20]);
    let mut pieces = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b), IoSliceMut::new(&mut c)];
    assert_eq!(readv(&file, &mut pieces), Ok(10));
    assert_eq!((&a, &b, &c[..7]), (b"a", b"bcd", &b"e56789\0"[..]));
    assert_eq!(writev(&file, &[]), Ok(0));
}

fn positioned_vectored_transfer_leaves_offset() {
    let scratch = Scratch::new();
    let mut file = text(&scratch);
    assert_eq!(pwritev(&file, &[IoSlice::new(b"A"), IoSlice::new(b"B")], 8), Ok(2));
    let (mut a, mut b) = ([0; 2], [0; 2]);
    assert_eq!(preadv(&file, &mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)], 7), Ok(3));
    assert_eq!((&a, &b), (b"7A", b"B\0"));
    assert_eq!(file.stream_position().expect("tell"), 0);
}

fn too_many_pieces_get_einval() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    assert_eq!(writev(&file, &vec![IoSlice::new(b"z"); 1024]), Ok(1024));
    assert_eq!(writev(&file, &vec![IoSlice::new(b"z"); 1025]), Err(Errno::EINVAL));
}

/// A syscall(2) read or write with an arbitrary address.
fn transfer_at(call: i64, number: i32, address: usize, length: usize) -> nix::Result<i64> {
    // SAFETY: the callers pass addresses that are unmapped, or mapped by them for this purpose.
    Errno::result(unsafe { libc::syscall(call, number, address, length) })
}

fn unmapped_buffer_gets_efault() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    for address in [8, 0x7fff_ffff_e000, usize::MAX - 4095, 0x8000_0000_0000] {
        assert_eq!(
            transfer_at(libc::SYS_read, file.as_raw_fd(), address, 4),
            Err(Errno::EFAULT),
            "{address:x}"
        );
        assert_eq!(
            transfer_at(libc::SYS_write, file.as_raw_fd(), address, 4),
            Err(Errno::EFAULT),
            "{address:x}"
        );
    }
    assert_eq!(file.metadata().expect("stat").len(), 10);
}

fn partly_unmapped_write_is_short_or_efault() {
    let (reader, writer) = pipe().expect("pipe");
    let length = std::num::NonZeroUsize::new(8192).expect("not zero");
    let (prot, flags) = (
        nix::sys::mman::ProtFlags::PROT_READ | nix::sys::mman::ProtFlags::PROT_WRITE,
        nix::sys::mman::MapFlags::MAP_PRIVATE,
    );
    // SAFETY: a fresh mapping at an address of the kernel's choice.
    let start = unsafe { nix::sys::mman::mmap_anonymous(None, length, prot, flags) }.expect("mmap");
    // SAFETY: the mapping has two pages.
    let second = unsafe { start.byte_add(4096) };
    // SAFETY: the second page of this mapping, which nothing uses.
    unsafe { nix::sys::mman::munmap(second, 4096) }.expect("munmap");
    let result = transfer_at(libc::SYS_write, writer.as_raw_fd(), start.as_ptr() as usize + 4090, 100);
    assert!(matches!(result, Ok(6) | Err(Errno::EFAULT)), "{result:?}");
    drop(writer);
    let mut rest = Vec::new();
    File::from(reader).read_to_end(&mut rest).expect("read");
    assert!(rest.len() <= 6);
}
