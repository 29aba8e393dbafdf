//! Descriptors: numbers, duplicates, flags, offsets, positioned and vectored transfer, locks.

use std::fs::{self, File, OpenOptions};
use std::io::{IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::ExitCode;

use integration::checks;
use integration::guest::scratch::Scratch;
use integration::guest::{self, error_of, fd, in_child};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, OFlag, SpliceFFlags, copy_file_range, fallocate, splice};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::sendfile::sendfile;
use nix::sys::stat::fstat;
use nix::sys::uio::{preadv, pwritev, readv, writev};
use nix::unistd::{ftruncate, pipe, pipe2};

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
        closed_number_gets_ebadf_everywhere,
        wrong_access_mode_gets_ebadf,
        append_writes_at_end_whatever_the_offset,
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
        read_at_end_gives_zero,
        read_of_directory_gets_eisdir,
        close_range_closes_and_marks,
        sendfile_copies_to_pipe_and_moves_offset,
        copy_file_range_copies,
        splice_moves_between_pipe_and_file,
        fallocate_extends,
        ftruncate_of_read_only_gets_einval,
        flock_excludes_other_description_not_duplicate,
        record_lock_conflicts_between_processes,
        record_locks_go_with_any_close,
        proc_self_fd_names_open_files,
        cloexec_numbers_close_on_exec,
        device_files_behave,
        dev_stdin_and_dev_fd_reopen,
        fionread_counts,
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

fn read_at_end_gives_zero() {
    let scratch = Scratch::new();
    let mut file = text(&scratch);
    let mut bytes = [0; 64];
    assert_eq!(file.read(&mut bytes).expect("read"), 10);
    assert_eq!(file.read(&mut bytes).expect("read"), 0);
    assert_eq!(file.read_at(&mut bytes, 1 << 40).expect("pread"), 0);
}

fn read_of_directory_gets_eisdir() {
    let dir = File::open("/tmp").expect("open");
    assert_eq!(fd::read(dir.as_raw_fd(), &mut [0]), Err(Errno::EISDIR));
}

fn close_range(first: u32, last: u32, flags: u32) -> nix::Result<()> {
    // SAFETY: the call takes no pointer; the callers' numbers are their own.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

fn close_range_closes_and_marks() {
    for number in 40..50 {
        fd::dup2(0, number).expect("dup2");
    }
    close_range(42, 44, 0).expect("close_range");
    assert_eq!(fd::fcntl(42, libc::F_GETFD, 0), Err(Errno::EBADF));
    assert_eq!(fd::fcntl(44, libc::F_GETFD, 0), Err(Errno::EBADF));
    assert_eq!(fd::fcntl(45, libc::F_GETFD, 0), Ok(0));
    close_range(45, u32::MAX, libc::CLOSE_RANGE_CLOEXEC).expect("close_range");
    assert_eq!(fd::fcntl(41, libc::F_GETFD, 0), Ok(0));
    assert_eq!(fd::fcntl(49, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC));
    assert_eq!(close_range(5, 4, 0), Err(Errno::EINVAL));
}

fn sendfile_copies_to_pipe_and_moves_offset() {
    let scratch = Scratch::new();
    let mut file = text(&scratch);
    let (reader, writer) = pipe().expect("pipe");
    assert_eq!(sendfile(&writer, &file, None, 4), Ok(4));
    assert_eq!(file.stream_position().expect("tell"), 4);
    let mut offset = 8;
    assert_eq!(sendfile(&writer, &file, Some(&mut offset), 100), Ok(2));
    assert_eq!((offset, file.stream_position().expect("tell")), (10, 4));
    drop(writer);
    let mut all = String::new();
    File::from(reader).read_to_string(&mut all).expect("read");
    assert_eq!(all, "012389");
}

fn copy_file_range_copies() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let to = OpenOptions::new().read(true).write(true).create_new(true).open(scratch.at("to")).expect("open");
    let mut from_offset = 2;
    assert_eq!(copy_file_range(&file, Some(&mut from_offset), &to, None, 5), Ok(5));
    assert_eq!(fs::read(scratch.at("to")).expect("read"), b"23456");
    assert_eq!(from_offset, 7);
}

fn splice_moves_between_pipe_and_file() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let (reader, writer) = pipe().expect("pipe");
    let mut offset = 3;
    assert_eq!(splice(&file, Some(&mut offset), &writer, None, 4, SpliceFFlags::empty()), Ok(4));
    let mut bytes = [0; 10];
    assert_eq!(nix::unistd::read(&reader, &mut bytes), Ok(4));
    assert_eq!(&bytes[..4], b"3456");
    assert_eq!(error_of(splice(&file, None, &file, None, 1, SpliceFFlags::empty())), Errno::EINVAL);
}

fn fallocate_extends() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    fallocate(&file, FallocateFlags::empty(), 0, 5000).expect("fallocate");
    assert_eq!(file.metadata().expect("stat").len(), 5000);
    assert_eq!(fallocate(&file, FallocateFlags::empty(), 0, 0), Err(Errno::EINVAL));
}

fn ftruncate_of_read_only_gets_einval() {
    let scratch = Scratch::new();
    let file = File::open(scratch.file("f", "abc")).expect("open");
    assert_eq!(ftruncate(&file, 0), Err(Errno::EINVAL));
    assert_eq!(ftruncate(text(&scratch), -1), Err(Errno::EINVAL));
}

fn flock(number: i32, operation: i32) -> nix::Result<()> {
    // SAFETY: the call takes no pointer.
    Errno::result(unsafe { libc::flock(number, operation) }).map(drop)
}

fn flock_excludes_other_description_not_duplicate() {
    let scratch = Scratch::new();
    let (a, b) = (text(&scratch), File::open(scratch.at("text")).expect("open"));
    let duplicate = a.try_clone().expect("dup");
    flock(a.as_raw_fd(), libc::LOCK_EX).expect("flock");
    flock(duplicate.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB).expect("the same description");
    assert_eq!(flock(b.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB), Err(Errno::EAGAIN));
    drop(a);
    assert_eq!(flock(b.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB), Err(Errno::EAGAIN));
    drop(duplicate);
    flock(b.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB).expect("the lock went with its last descriptor");
}

fn lock_region(kind: i32, start: i64, length: i64) -> libc::flock {
    libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}

fn record_lock_conflicts_between_processes() {
    use nix::fcntl::{FcntlArg, fcntl};
    let scratch = Scratch::new();
    let file = text(&scratch);
    fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_WRLCK, 2, 4))).expect("lock");
    let parent = std::process::id();
    let status = in_child(|| {
        assert_eq!(fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_RDLCK, 5, 1))), Err(Errno::EAGAIN));
        fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_WRLCK, 6, 0))).expect("behind it is free");
        let mut found = lock_region(libc::F_WRLCK, 0, 0);
        fcntl(&file, FcntlArg::F_GETLK(&mut found)).expect("getlk");
        assert_eq!((found.l_start, found.l_len, i32::from(found.l_type)), (2, 4, libc::F_WRLCK));
        assert_eq!(found.l_pid.cast_unsigned(), parent);
        0
    });
    assert_eq!(status, 0);
    fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_UNLCK, 3, 1))).expect("unlock the middle");
    assert_eq!(
        in_child(|| i32::from(fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_WRLCK, 3, 1))).is_err())),
        0
    );
}

fn record_locks_go_with_any_close() {
    use nix::fcntl::{FcntlArg, fcntl};
    let scratch = Scratch::new();
    let file = text(&scratch);
    fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_WRLCK, 0, 0))).expect("lock");
    drop(File::open(scratch.at("text")).expect("open"));
    assert_eq!(
        in_child(|| i32::from(fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_WRLCK, 0, 0))).is_err())),
        0
    );
}

fn proc_self_fd_names_open_files() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    assert_eq!(fs::read_link(&link).expect("readlink"), scratch.at("text"));
    let (reader, _writer) = pipe().expect("pipe");
    let target = fs::read_link(format!("/proc/self/fd/{}", reader.as_raw_fd())).expect("readlink");
    assert!(target.to_string_lossy().starts_with("pipe:["), "{target:?}");
    let again = File::open(&link).expect("a new description");
    assert_eq!(fd::lseek(again.as_raw_fd(), 0, libc::SEEK_CUR), Ok(0));
    fs::remove_file(scratch.at("text")).expect("unlink");
    assert!(fs::read_link(&link).expect("readlink").to_string_lossy().ends_with("text (deleted)"));
    assert_eq!(fs::read_to_string(&link).expect("a deleted file can be opened here"), "0123456789");
}

fn cloexec_numbers_close_on_exec() {
    fd::dup2(0, 60).expect("dup2");
    fd::dup3(0, 61, libc::O_CLOEXEC).expect("dup3");
    let script = "for n in 60 61; do test -e /proc/self/fd/$n && echo $n; done; true";
    let output = std::process::Command::new("/bin/sh").args(["-c", script]).output().expect("sh");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "60\n");
}

fn device_files_behave() {
    let mut bytes = [1; 8];
    let open = |path: &str| OpenOptions::new().read(true).write(true).open(path).expect("open");
    assert_eq!(open("/dev/null").read(&mut bytes).expect("read"), 0);
    assert_eq!(open("/dev/null").write(&bytes).expect("write"), 8);
    assert_eq!(open("/dev/zero").read(&mut bytes).expect("read"), 8);
    assert_eq!(bytes, [0; 8]);
    assert_eq!(open("/dev/full").read(&mut bytes).expect("read"), 8);
    assert_eq!(open("/dev/full").write(&bytes).expect_err("full").raw_os_error(), Some(libc::ENOSPC));
    let mut random = [0; 64];
    File::open("/dev/urandom").expect("open").read_exact(&mut random).expect("read");
    assert_ne!(random, [0; 64]);
    let null = fs::metadata("/dev/null").expect("stat");
    assert_eq!(std::os::unix::fs::MetadataExt::rdev(&null), libc::makedev(1, 3));
}

fn dev_stdin_and_dev_fd_reopen() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    fd::dup2(file.as_raw_fd(), 0).expect("dup2");
    assert_eq!(fs::read_to_string("/dev/stdin").expect("read"), "0123456789");
    let number = file.as_raw_fd();
    assert_eq!(fs::read_to_string(format!("/dev/fd/{number}")).expect("read"), "0123456789");
}

nix::ioctl_read_bad!(fionread, libc::FIONREAD, libc::c_int);

fn fionread_counts() {
    let (reader, writer) = pipe().expect("pipe");
    nix::unistd::write(&writer, b"four").expect("write");
    let mut count = 0;
    // SAFETY: `count` outlives the call.
    unsafe { fionread(reader.as_raw_fd(), &mut count) }.expect("ioctl");
    assert_eq!(count, 4);
    // SAFETY: as above; the file answers ENOTTY.
    let result = unsafe { fionread(File::open("/dev/null").expect("open").as_raw_fd(), &mut count) };
    assert_eq!(result, Err(Errno::ENOTTY));
}
