//! Files by name: open, stat, directories, links.

use super::rig::{NOWHERE, Rig};
use abi_linux::Errno;
use abi_linux::fs::Stat;
use abi_linux::raw::general as nr;
use platform_api::fake::BASE;
use zerocopy::FromBytes;

const O_CREAT: u32 = 0o100;
const O_RDWR: u32 = 2;
const O_APPEND: u32 = 0o2000;
const O_PATH: u32 = 0o10_000_000;
const BUF: u64 = BASE + 8192;

fn stat(rig: &mut Rig, path: &str) -> Stat {
    let at = rig.text(BASE, path);
    rig.value(nr::__NR_stat, &[at, BUF]);
    Stat::read_from_bytes(&rig.host.peek(BUF, size_of::<Stat>())).unwrap()
}

#[test]
fn written_bytes_are_read_back_and_counted() {
    let mut rig = Rig::new();
    let fd = rig.open("/file", O_CREAT | O_RDWR);
    rig.host.poke(BUF, b"hello world");
    assert_eq!(rig.value(nr::__NR_write, &[fd, BUF, 11]), 11);
    assert_eq!(rig.value(nr::__NR_lseek, &[fd, 6, 0]), 6);
    assert_eq!(rig.value(nr::__NR_read, &[fd, BUF + 100, 50]), 5);
    assert_eq!(rig.host.peek(BUF + 100, 5), b"world");
    assert_eq!(rig.value(nr::__NR_read, &[fd, BUF, 50]), 0);
    assert_eq!(rig.value(nr::__NR_pread64, &[fd, BUF, 4, 1]), 4);
    assert_eq!(rig.host.peek(BUF, 4), b"ello");
    assert_eq!((stat(&mut rig, "file").st_size, stat(&mut rig, "/file").st_mode), (11, 0o100_644));
}

#[test]
fn read_into_unmapped_memory_keeps_the_position() {
    let mut rig = Rig::new();
    let fd = rig.open("/file", O_CREAT | O_RDWR);
    rig.value(nr::__NR_write, &[fd, BASE, 100]);
    rig.value(nr::__NR_lseek, &[fd, 0, 0]);
    assert_eq!(rig.error(nr::__NR_read, &[fd, NOWHERE, 10]), Errno::EFAULT);
    assert_eq!(rig.error(nr::__NR_read, &[fd, BASE, u64::MAX]), Errno::EFAULT);
    let end = BASE + super::rig::MEMORY as u64;
    assert_eq!(rig.value(nr::__NR_read, &[fd, end - 4, 10]), 4);
    assert_eq!(rig.value(nr::__NR_lseek, &[fd, 0, 1]), 4);
}

#[test]
fn append_ignores_the_position() {
    let mut rig = Rig::new();
    let fd = rig.open("/file", O_CREAT | O_RDWR | O_APPEND);
    rig.value(nr::__NR_write, &[fd, BASE, 5]);
    rig.value(nr::__NR_lseek, &[fd, 0, 0]);
    rig.value(nr::__NR_write, &[fd, BASE, 5]);
    assert_eq!(rig.value(nr::__NR_lseek, &[fd, 0, 1]), 10);
}

#[test]
fn file_size_limit_cuts_a_write_and_then_refuses() {
    use kernel_task::limits::{Limit, Resource};
    let mut rig = Rig::new();
    let fd = rig.open("/file", O_CREAT | O_RDWR);
    let task = rig.task();
    let limit = Limit { soft: 8, hard: 100 };
    task.process.limits.set(Resource::Fsize, limit, &task.credentials()).unwrap();
    assert_eq!(rig.value(nr::__NR_write, &[fd, BASE, 10]), 8);
    assert_eq!(rig.error(nr::__NR_write, &[fd, BASE, 1]), Errno::EFBIG);
    assert_eq!(rig.error(nr::__NR_ftruncate, &[fd, 9]), Errno::EFBIG);
}

#[test]
fn vectors_are_read_and_written_in_order() {
    let mut rig = Rig::new();
    let fd = rig.open("/file", O_CREAT | O_RDWR);
    rig.host.poke(BUF, b"abcdef");
    let words: Vec<u8> = [BUF, 2, BUF + 4, 2].iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
    rig.host.poke(BASE + 4096, &words);
    assert_eq!(rig.value(nr::__NR_writev, &[fd, BASE + 4096, 2]), 4);
    assert_eq!(rig.value(nr::__NR_preadv, &[fd, BASE + 4096, 2, 0, 0]), 4);
    assert_eq!(rig.error(nr::__NR_readv, &[fd, BASE + 4096, 1025]), Errno::EINVAL);
    assert_eq!(rig.error(nr::__NR_preadv2, &[fd, BASE + 4096, 2, 0, 0, 1 << 30]), Errno::EOPNOTSUPP);
    rig.value(nr::__NR_pread64, &[fd, BUF, 4, 0]);
    assert_eq!(rig.host.peek(BUF, 4), b"abef");
}

#[test]
fn directory_lists_its_names() {
    let mut rig = Rig::new();
    for name in ["/one", "/two"] {
        rig.open(name, O_CREAT | O_RDWR);
    }
    let dir = rig.open("/", 0o200_000);
    assert_eq!(rig.error(nr::__NR_getdents64, &[dir, BUF, 10]), Errno::EINVAL);
    let len = rig.value(nr::__NR_getdents64, &[dir, BUF, 1000]) as usize;
    let bytes = rig.host.peek(BUF, len);
    let (mut names, mut at) = (Vec::new(), 0);
    while at < len {
        let record_len = usize::from(u16::from_ne_bytes([bytes[at + 16], bytes[at + 17]]));
        let name = bytes[at + 19..at + record_len].split(|&byte| byte == 0).next().unwrap();
        names.push(String::from_utf8_lossy(name).into_owned());
        at += record_len;
    }
    names.sort();
    assert_eq!(names, [".", "..", "one", "two"]);
    assert_eq!(rig.value(nr::__NR_getdents64, &[dir, BUF, 1000]), 0);
    assert_eq!(rig.error(nr::__NR_read, &[dir, BUF, 1000]), Errno::EISDIR);
}

#[test]
fn names_are_made_moved_and_removed() {
    let mut rig = Rig::new();
    let (a, b) = (rig.text(BASE, "/dir"), rig.text(BASE + 64, "/dir/link"));
    let target = rig.text(BASE + 128, "elsewhere");
    assert_eq!(rig.value(nr::__NR_mkdir, &[a, 0o777]), 0);
    assert_eq!(stat(&mut rig, "/dir").st_mode, 0o40755);
    assert_eq!(rig.value(nr::__NR_symlink, &[target, b]), 0);
    assert_eq!(rig.value(nr::__NR_readlink, &[b, BUF, 4]), 4);
    assert_eq!(rig.host.peek(BUF, 4), b"else");
    assert_eq!(rig.error(nr::__NR_rmdir, &[rig_text(&rig, "/dir")]), Errno::ENOTEMPTY);
    let new = rig.text(BASE + 192, "/moved");
    assert_eq!(rig.value(nr::__NR_rename, &[b, new]), 0);
    assert_eq!(rig.error(nr::__NR_unlink, &[b]), Errno::ENOENT);
    assert_eq!(rig.value(nr::__NR_unlink, &[new]), 0);
    let cwd = rig_text(&rig, "/dir");
    assert_eq!(rig.value(nr::__NR_chdir, &[cwd]), 0);
    assert_eq!(rig.error(nr::__NR_getcwd, &[BUF, 4]), Errno::ERANGE);
    assert_eq!(rig.value(nr::__NR_getcwd, &[BUF, 100]), 5);
    assert_eq!(rig.host.peek(BUF, 5), b"/dir\0");
}

fn rig_text(rig: &Rig, text: &str) -> u64 {
    rig.text(BASE + 256, text)
}

#[test]
fn at_calls_look_at_the_descriptor_for_relative_paths_alone() {
    let mut rig = Rig::new();
    let file = rig.open("/file", O_CREAT | O_RDWR);
    let relative = rig.text(BASE + 64, "file");
    let absolute = rig.text(BASE + 128, "/file");
    let empty = rig.text(BASE + 192, "");
    assert_eq!(rig.error(nr::__NR_newfstatat, &[99, relative, BUF, 0]), Errno::EBADF);
    assert_eq!(rig.value(nr::__NR_newfstatat, &[99, absolute, BUF, 0]), 0);
    assert_eq!(rig.error(nr::__NR_newfstatat, &[file, relative, BUF, 0]), Errno::ENOTDIR);
    assert_eq!(rig.value(nr::__NR_newfstatat, &[file, empty, BUF, 0x1000]), 0);
    assert_eq!(rig.error(nr::__NR_newfstatat, &[file, empty, BUF, 0]), Errno::ENOENT);
    assert_eq!(rig.value(nr::__NR_statx, &[file, 0, 0x1000, 0x7ff, BUF]), 0);
    let path = rig.open("/", O_PATH);
    assert_eq!(rig.value(nr::__NR_newfstatat, &[path, relative, BUF, 0]), 0);
    assert_eq!(rig.error(nr::__NR_read, &[path, BUF, 1]), Errno::EBADF);
}

#[test]
fn openat2_checks_its_structure() {
    let mut rig = Rig::new();
    rig.open("/file", O_CREAT | O_RDWR);
    let path = rig.text(BASE, "/file");
    let cwd = -100i64 as u64;
    let how = |rig: &Rig, words: [u64; 4]| {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        rig.host.poke(BUF, &bytes);
    };
    how(&rig, [2, 0, 0, 0]);
    assert_eq!(rig.error(nr::__NR_openat2, &[cwd, path, BUF, 16]), Errno::EINVAL);
    assert!(matches!(rig.call(nr::__NR_openat2, &[cwd, path, BUF, 32]), super::rig::Ended::Value(_)));
    how(&rig, [2, 0, 0, 1]);
    assert_eq!(rig.error(nr::__NR_openat2, &[cwd, path, BUF, 32]), Errno::E2BIG);
    how(&rig, [2, 0o644, 0, 0]);
    assert_eq!(rig.error(nr::__NR_openat2, &[cwd, path, BUF, 24]), Errno::EINVAL);
    how(&rig, [0, 0, 8, 0]);
    assert_eq!(rig.error(nr::__NR_openat2, &[cwd, path, BUF, 24]), Errno::EXDEV);
}
