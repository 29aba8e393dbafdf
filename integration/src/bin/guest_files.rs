//! Files by name: the open flag matrix, attributes, links, renames, directories, and what is refused.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::ExitCode;

use integration::checks;
use integration::guest::scratch::Scratch;
use integration::guest::{self, error_of};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, open, openat, readlink, readlinkat, renameat2};
use nix::sys::stat::{Mode, fstatat, lstat, mkdirat, stat, umask};
use nix::unistd::{Gid, Uid, UnlinkatFlags, linkat, mkdir, mkfifo, symlinkat, unlink, unlinkat};

fn main() -> ExitCode {
    guest::main(checks![
        open_of_missing_gets_enoent,
        create_makes_with_mode_and_umask,
        exclusive_create_of_existing_gets_eexist,
        exclusive_create_does_not_follow_a_dangling_link,
        create_follows_a_dangling_link,
        truncate_flag_empties,
        directory_flag_refuses_a_file,
        directory_cannot_be_opened_for_writing,
        create_with_trailing_slash_gets_eisdir,
        trailing_slash_on_file_gets_enotdir,
        nofollow_refuses_a_link,
        path_descriptor_of_a_link_names_the_link,
        tmpfile_has_no_name_until_linked,
        openat_is_relative_to_the_directory,
        openat_of_absolute_ignores_the_directory,
        openat_below_a_file_gets_enotdir,
        openat_below_a_closed_number_gets_ebadf,
        empty_path_gets_enoent_unless_flagged,
        unmapped_path_gets_efault,
        long_name_and_long_path_get_enametoolong,
        link_loop_gets_eloop,
        forty_links_resolve_and_forty_one_do_not,
        dot_dot_of_root_is_root,
        component_below_a_file_gets_enotdir,
        stat_fields_of_each_kind,
        stat_counts_blocks_and_times_move,
        hard_links_share_an_inode,
        hard_link_to_directory_gets_eperm,
        link_follows_only_when_asked,
        symlinks_keep_any_text,
        readlink_truncates_and_refuses_files,
        rename_replaces_a_file,
        rename_onto_itself_does_nothing,
        rename_of_kinds_that_do_not_fit,
        rename_into_own_descendant_gets_einval,
        rename_of_directory_moves_its_content,
        rename_noreplace_and_exchange,
        mkdir_and_rmdir_rules,
        unlink_of_directory_gets_eisdir,
        unlinked_file_lives_while_open,
        removed_directory_refuses_new_names,
        getdents_lists_all_once,
        getdents_types_and_inodes_agree_with_stat,
    ])
}

/// A directory's link count. File systems that do not count subdirectories, such as overlayfs, say 1.
#[track_caller]
fn assert_links(found: u64, expected: u64) {
    assert!(found == expected || found == 1, "{found} links, not {expected}");
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("readdir");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn try_open(path: &Path, flags: OFlag) -> nix::Result<File> {
    open(path, flags | OFlag::O_CLOEXEC, Mode::from_bits_truncate(0o666)).map(File::from)
}

fn open_of_missing_gets_enoent() {
    let scratch = Scratch::new();
    for flags in [OFlag::O_RDONLY, OFlag::O_RDWR, OFlag::O_PATH, OFlag::O_WRONLY | OFlag::O_TRUNC] {
        assert_eq!(error_of(try_open(&scratch.at("missing"), flags)), Errno::ENOENT);
    }
    assert_eq!(
        error_of(try_open(&scratch.at("missing/deep"), OFlag::O_CREAT | OFlag::O_RDWR)),
        Errno::ENOENT
    );
}

fn create_makes_with_mode_and_umask() {
    let scratch = Scratch::new();
    umask(Mode::from_bits_truncate(0o027));
    for (name, mode, expected) in [("a", 0o666, 0o640), ("b", 0o7777, 0o7750), ("c", 0, 0)] {
        let file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(scratch.at(name)).expect("open");
        assert_eq!(file.metadata().expect("stat").mode() & 0o7777, expected, "{name}");
        // The descriptor works whatever the mode of the new file.
        (&file).write_all(b"x").expect("write");
    }
}

fn exclusive_create_of_existing_gets_eexist() {
    let scratch = Scratch::new();
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
    assert_eq!(error_of(try_open(&scratch.file("f", ""), flags)), Errno::EEXIST);
    assert_eq!(error_of(try_open(scratch.dir(), flags)), Errno::EEXIST);
    assert_eq!(error_of(try_open(Path::new("/"), flags)), Errno::EEXIST);
}

fn exclusive_create_does_not_follow_a_dangling_link() {
    let scratch = Scratch::new();
    symlink("target", scratch.at("link")).expect("symlink");
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
    assert_eq!(error_of(try_open(&scratch.at("link"), flags)), Errno::EEXIST);
    assert!(!scratch.at("target").exists());
}

fn create_follows_a_dangling_link() {
    let scratch = Scratch::new();
    symlink("target", scratch.at("link")).expect("symlink");
    try_open(&scratch.at("link"), OFlag::O_CREAT | OFlag::O_RDWR).expect("open");
    assert!(scratch.at("target").is_file());
}

fn truncate_flag_empties() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "content");
    let reader = File::open(&path).expect("open");
    try_open(&path, OFlag::O_WRONLY | OFlag::O_TRUNC).expect("open");
    assert_eq!(reader.metadata().expect("stat").len(), 0);
}

fn directory_flag_refuses_a_file() {
    let scratch = Scratch::new();
    let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY;
    assert_eq!(error_of(try_open(&scratch.file("f", ""), flags)), Errno::ENOTDIR);
    try_open(scratch.dir(), flags).expect("a directory");
}

fn directory_cannot_be_opened_for_writing() {
    let scratch = Scratch::new();
    for flags in [OFlag::O_WRONLY, OFlag::O_RDWR, OFlag::O_CREAT, OFlag::O_RDONLY | OFlag::O_CREAT] {
        assert_eq!(error_of(try_open(scratch.dir(), flags)), Errno::EISDIR, "{flags:?}");
    }
}

fn create_with_trailing_slash_gets_eisdir() {
    let scratch = Scratch::new();
    assert_eq!(error_of(try_open(&scratch.at("new/"), OFlag::O_CREAT | OFlag::O_WRONLY)), Errno::EISDIR);
    assert!(names(scratch.dir()).is_empty());
}

fn trailing_slash_on_file_gets_enotdir() {
    let scratch = Scratch::new();
    scratch.file("f", "");
    assert_eq!(error_of(try_open(&scratch.at("f/"), OFlag::O_RDONLY)), Errno::ENOTDIR);
    assert_eq!(error_of(stat(&scratch.at("f/"))), Errno::ENOTDIR);
    assert_eq!(error_of(lstat(&scratch.at("f/."))), Errno::ENOTDIR);
    symlink(".", scratch.at("link")).expect("symlink");
    assert!(lstat(&scratch.at("link/")).expect("lstat").st_mode & libc::S_IFMT == libc::S_IFDIR);
}

fn nofollow_refuses_a_link() {
    let scratch = Scratch::new();
    scratch.file("f", "");
    symlink("f", scratch.at("link")).expect("symlink");
    assert_eq!(error_of(try_open(&scratch.at("link"), OFlag::O_NOFOLLOW)), Errno::ELOOP);
    assert_eq!(
        error_of(try_open(&scratch.at("link"), OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY)),
        Errno::ENOTDIR
    );
    try_open(&scratch.at("f"), OFlag::O_NOFOLLOW).expect("no link");
}

fn path_descriptor_of_a_link_names_the_link() {
    let scratch = Scratch::new();
    symlink("nowhere", scratch.at("link")).expect("symlink");
    let link = try_open(&scratch.at("link"), OFlag::O_PATH | OFlag::O_NOFOLLOW).expect("open");
    assert!(link.metadata().expect("fstat").file_type().is_symlink());
    assert_eq!(readlinkat(&link, "").expect("readlinkat"), "nowhere");
}

fn tmpfile_has_no_name_until_linked() {
    let scratch = Scratch::new();
    let mut file = try_open(scratch.dir(), OFlag::O_TMPFILE | OFlag::O_RDWR).expect("O_TMPFILE");
    file.write_all(b"hidden").expect("write");
    assert!(names(scratch.dir()).is_empty());
    assert_eq!(file.metadata().expect("stat").nlink(), 0);
    let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    linkat(AT_FDCWD, name.as_str(), AT_FDCWD, &scratch.at("shown"), AtFlags::AT_SYMLINK_FOLLOW)
        .expect("linkat");
    assert_eq!(fs::read(scratch.at("shown")).expect("read"), b"hidden");
}

fn openat_is_relative_to_the_directory() {
    let scratch = Scratch::new();
    scratch.file("f", "here");
    let dir = File::open(scratch.dir()).expect("open");
    let mut text = String::new();
    File::from(openat(&dir, "f", OFlag::O_RDONLY, Mode::empty()).expect("openat"))
        .read_to_string(&mut text)
        .expect("read");
    assert_eq!(text, "here");
    mkdirat(&dir, "sub", Mode::S_IRWXU).expect("mkdirat");
    symlinkat("../f", &dir, "sub/link").expect("symlinkat");
    assert_eq!(fstatat(&dir, "sub/link", AtFlags::empty()).expect("fstatat").st_size, 4);
    assert_eq!(
        fstatat(&dir, "sub/link", AtFlags::AT_SYMLINK_NOFOLLOW).expect("fstatat").st_mode & libc::S_IFMT,
        libc::S_IFLNK
    );
    unlinkat(&dir, "sub/link", UnlinkatFlags::NoRemoveDir).expect("unlinkat");
    unlinkat(&dir, "sub", UnlinkatFlags::RemoveDir).expect("unlinkat");
    assert_eq!(names(scratch.dir()), ["f"]);
}

fn openat_of_absolute_ignores_the_directory() {
    let file = File::open("/dev/null").expect("open");
    openat(&file, "/dev/zero", OFlag::O_RDONLY, Mode::empty()).expect("the descriptor is not looked at");
}

fn openat_below_a_file_gets_enotdir() {
    let file = File::open("/dev/null").expect("open");
    assert_eq!(error_of(openat(&file, "x", OFlag::O_RDONLY, Mode::empty())), Errno::ENOTDIR);
}

fn openat_below_a_closed_number_gets_ebadf() {
    // SAFETY: the number is not open and is only passed to a call that refuses it.
    let closed = unsafe { std::os::fd::BorrowedFd::borrow_raw(777) };
    assert_eq!(error_of(openat(closed, "x", OFlag::O_RDONLY, Mode::empty())), Errno::EBADF);
    assert_eq!(error_of(fstatat(closed, "x", AtFlags::empty())), Errno::EBADF);
}

fn empty_path_gets_enoent_unless_flagged() {
    assert_eq!(error_of(stat("")), Errno::ENOENT);
    assert_eq!(error_of(try_open(Path::new(""), OFlag::O_RDONLY)), Errno::ENOENT);
    assert_eq!(mkdir("", Mode::S_IRWXU), Err(Errno::ENOENT));
    let file = File::open("/dev/null").expect("open");
    assert_eq!(error_of(fstatat(&file, "", AtFlags::empty())), Errno::ENOENT);
    let found = fstatat(&file, "", AtFlags::AT_EMPTY_PATH).expect("AT_EMPTY_PATH");
    assert_eq!(found.st_rdev, libc::makedev(1, 3));
}

fn unmapped_path_gets_efault() {
    for address in [0_usize, 8, usize::MAX - 4096, 0x8000_0000_0000] {
        // SAFETY: the address is not mapped; the call answers EFAULT.
        let result = Errno::result(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, address, 0) });
        assert_eq!(error_of(result), Errno::EFAULT, "{address:x}");
    }
}

fn long_name_and_long_path_get_enametoolong() {
    let scratch = Scratch::new();
    fs::write(scratch.at(&"n".repeat(255)), "").expect("255 is fine");
    assert_eq!(error_of(try_open(&scratch.at(&"n".repeat(256)), OFlag::O_CREAT)), Errno::ENAMETOOLONG);
    assert_eq!(error_of(stat(&scratch.at(&"n".repeat(256)))), Errno::ENAMETOOLONG);
    let raw_open = |length: usize| {
        let path = CString::new("/".repeat(length)).expect("no NUL");
        // SAFETY: `path` is a C string that outlives the call.
        Errno::result(unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), 0) })
    };
    raw_open(4095).expect("PATH_MAX counts the NUL");
    assert_eq!(error_of(raw_open(4096)), Errno::ENAMETOOLONG);
}

fn link_loop_gets_eloop() {
    let scratch = Scratch::new();
    symlink("b", scratch.at("a")).expect("symlink");
    symlink("a", scratch.at("b")).expect("symlink");
    assert_eq!(error_of(stat(&scratch.at("a"))), Errno::ELOOP);
    assert_eq!(error_of(try_open(&scratch.at("a/x"), OFlag::O_CREAT)), Errno::ELOOP);
    lstat(&scratch.at("a")).expect("the link itself");
}

fn forty_links_resolve_and_forty_one_do_not() {
    let scratch = Scratch::new();
    scratch.file("l0", "end");
    for n in 1..=41 {
        symlink(format!("l{}", n - 1), scratch.at(&format!("l{n}"))).expect("symlink");
    }
    assert_eq!(stat(&scratch.at("l40")).expect("40 links").st_size, 3);
    assert_eq!(error_of(stat(&scratch.at("l41"))), Errno::ELOOP);
}

fn dot_dot_of_root_is_root() {
    let (root, above) = (stat("/").expect("stat"), stat("/../../..").expect("stat"));
    assert_eq!((root.st_dev, root.st_ino), (above.st_dev, above.st_ino));
}

fn component_below_a_file_gets_enotdir() {
    let scratch = Scratch::new();
    scratch.file("f", "");
    assert_eq!(error_of(stat(&scratch.at("f/x"))), Errno::ENOTDIR);
    assert_eq!(mkdir(&scratch.at("f/x"), Mode::S_IRWXU), Err(Errno::ENOTDIR));
    assert_eq!(unlink(&scratch.at("f/x")), Err(Errno::ENOTDIR));
    assert_eq!(error_of(stat(&scratch.at("f/.."))), Errno::ENOTDIR);
}

fn stat_fields_of_each_kind() {
    let scratch = Scratch::new();
    umask(Mode::from_bits_truncate(0o022));
    scratch.file("file", "12345");
    fs::create_dir(scratch.at("dir")).expect("mkdir");
    symlink("1234567", scratch.at("link")).expect("symlink");
    mkfifo(&scratch.at("fifo"), Mode::from_bits_truncate(0o640)).expect("mkfifo");
    let of = |name: &str| lstat(&scratch.at(name)).expect("lstat");
    assert_eq!((of("file").st_mode, of("file").st_size, of("file").st_nlink), (libc::S_IFREG | 0o644, 5, 1));
    assert_eq!(of("dir").st_mode, libc::S_IFDIR | 0o755);
    assert_links(of("dir").st_nlink, 2);
    assert_eq!((of("link").st_mode, of("link").st_size), (libc::S_IFLNK | 0o777, 7));
    assert_eq!((of("fifo").st_mode, of("fifo").st_size), (libc::S_IFIFO | 0o640, 0));
    assert_eq!(
        (of("file").st_uid, of("file").st_gid),
        (Uid::effective().as_raw(), Gid::effective().as_raw())
    );
    assert_links(lstat(scratch.dir()).expect("lstat").st_nlink, 3);
    let mut inodes: Vec<_> = ["file", "dir", "link", "fifo"].iter().map(|name| of(name).st_ino).collect();
    inodes.sort_unstable();
    inodes.dedup();
    assert_eq!(inodes.len(), 4);
    assert!(of("file").st_blksize >= 512);
}

fn stat_counts_blocks_and_times_move() {
    let scratch = Scratch::new();
    let path = scratch.file("f", vec![1; 100_000]);
    assert!(fs::metadata(&path).expect("stat").blocks() >= 196);
    let sparse = File::create(scratch.at("sparse")).expect("create");
    sparse.set_len(1 << 30).expect("truncate");
    assert!(sparse.metadata().expect("stat").blocks() < 64);
    let time = |path: &Path| fs::metadata(path).expect("stat").modified().expect("mtime");
    let (before, dir_before) = (time(&path), time(scratch.dir()));
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(&path, "new").expect("write");
    scratch.file("another", "");
    assert!(time(&path) > before);
    assert!(time(scratch.dir()) > dir_before);
    let changed = fs::metadata(&path).expect("stat");
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
    let after = fs::metadata(&path).expect("stat");
    assert!((after.ctime(), after.ctime_nsec()) > (changed.ctime(), changed.ctime_nsec()));
    assert_eq!(after.mtime_nsec(), changed.mtime_nsec());
}

fn hard_links_share_an_inode() {
    let scratch = Scratch::new();
    let path = scratch.file("a", "x");
    fs::hard_link(&path, scratch.at("b")).expect("link");
    assert_eq!(fs::hard_link(&path, scratch.at("b")).expect_err("exists").raw_os_error(), Some(libc::EEXIST));
    let (a, b) = (stat(&path).expect("stat"), stat(&scratch.at("b")).expect("stat"));
    assert_eq!((a.st_ino, a.st_nlink), (b.st_ino, 2));
    fs::write(scratch.at("b"), "changed").expect("write");
    fs::remove_file(&path).expect("unlink");
    assert_eq!(
        (fs::read(scratch.at("b")).expect("read"), stat(&scratch.at("b")).expect("stat").st_nlink),
        (b"changed".to_vec(), 1)
    );
}

fn hard_link_to_directory_gets_eperm() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.at("d")).expect("mkdir");
    assert_eq!(
        fs::hard_link(scratch.at("d"), scratch.at("e")).expect_err("a directory").raw_os_error(),
        Some(libc::EPERM)
    );
}

fn link_follows_only_when_asked() {
    let scratch = Scratch::new();
    scratch.file("f", "");
    symlink("f", scratch.at("link")).expect("symlink");
    linkat(AT_FDCWD, &scratch.at("link"), AT_FDCWD, &scratch.at("plain"), AtFlags::empty()).expect("linkat");
    linkat(AT_FDCWD, &scratch.at("link"), AT_FDCWD, &scratch.at("followed"), AtFlags::AT_SYMLINK_FOLLOW)
        .expect("linkat");
    assert!(fs::symlink_metadata(scratch.at("plain")).expect("lstat").is_symlink());
    assert!(fs::symlink_metadata(scratch.at("followed")).expect("lstat").is_file());
}

fn symlinks_keep_any_text() {
    let scratch = Scratch::new();
    let long = "x/".repeat(2000);
    for target in ["a b", "//..//.", long.as_str(), "\u{e9}\n\t"] {
        symlink(target, scratch.at("l")).expect("symlink");
        assert_eq!(fs::read_link(scratch.at("l")).expect("readlink"), Path::new(target));
        unlink(&scratch.at("l")).expect("unlink");
    }
    assert_eq!(error_of(symlinkat("", AT_FDCWD, &scratch.at("empty"))), Errno::ENOENT);
}

fn readlink_truncates_and_refuses_files() {
    let scratch = Scratch::new();
    symlink("abcdef", scratch.at("l")).expect("symlink");
    let path = CString::new(scratch.at("l").into_os_string().into_encoded_bytes()).expect("no NUL");
    let mut bytes = [0_u8; 3];
    // SAFETY: the path is a C string, the buffer is writable for its length.
    let count = unsafe { libc::readlink(path.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) };
    assert_eq!((count, &bytes), (3, b"abc"));
    assert_eq!(error_of(readlink(&scratch.file("f", ""))), Errno::EINVAL);
    assert_eq!(error_of(readlink(scratch.dir())), Errno::EINVAL);
}

fn rename_replaces_a_file() {
    let scratch = Scratch::new();
    let (a, b) = (scratch.file("a", "from a"), scratch.file("b", "from b"));
    let old = File::open(&b).expect("open");
    fs::rename(&a, &b).expect("rename");
    assert_eq!(fs::read(&b).expect("read"), b"from a");
    assert_eq!(names(scratch.dir()), ["b"]);
    assert_eq!(old.metadata().expect("stat").nlink(), 0);
    symlink("b", scratch.at("link")).expect("symlink");
    fs::rename(scratch.at("link"), scratch.at("moved")).expect("a link is not followed");
    assert_eq!(fs::read_link(scratch.at("moved")).expect("readlink"), Path::new("b"));
}

fn rename_onto_itself_does_nothing() {
    let scratch = Scratch::new();
    let a = scratch.file("a", "");
    fs::hard_link(&a, scratch.at("b")).expect("link");
    fs::rename(&a, &a).expect("rename");
    // rename(2): two names of one inode stay.
    fs::rename(&a, scratch.at("b")).expect("rename");
    assert_eq!(names(scratch.dir()), ["a", "b"]);
}

fn rename_error(from: &Path, to: &Path) -> Option<i32> {
    fs::rename(from, to).expect_err("refused").raw_os_error()
}

fn rename_of_kinds_that_do_not_fit() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    fs::create_dir_all(scratch.at("full/x")).expect("mkdir");
    fs::create_dir_all(scratch.at("dir")).expect("mkdir");
    assert_eq!(rename_error(&file, &scratch.at("dir")), Some(libc::EISDIR));
    assert_eq!(rename_error(&scratch.at("dir"), &file), Some(libc::ENOTDIR));
    assert_eq!(rename_error(&scratch.at("dir"), &scratch.at("full")), Some(libc::ENOTEMPTY));
    assert_eq!(rename_error(&scratch.at("missing"), &scratch.at("new")), Some(libc::ENOENT));
    assert_eq!(rename_error(&file, &scratch.at("new/")), Some(libc::ENOTDIR));
    assert_eq!(rename_error(&scratch.at("dir/."), &scratch.at("new")), Some(libc::EBUSY));
    fs::rename(scratch.at("full"), scratch.at("dir")).expect("an empty directory is replaced");
    assert_eq!(names(scratch.dir()), ["dir", "file"]);
}

fn rename_into_own_descendant_gets_einval() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.at("a/b")).expect("mkdir");
    assert_eq!(rename_error(&scratch.at("a"), &scratch.at("a/b/c")), Some(libc::EINVAL));
    assert_eq!(rename_error(&scratch.at("a/b"), &scratch.at("a")), Some(libc::ENOTEMPTY));
}

fn rename_of_directory_moves_its_content() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.at("a/b")).expect("mkdir");
    scratch.file("a/b/f", "deep");
    fs::create_dir(scratch.at("z")).expect("mkdir");
    fs::rename(scratch.at("a"), scratch.at("z/moved")).expect("rename");
    assert_eq!(fs::read(scratch.at("z/moved/b/f")).expect("read"), b"deep");
    let (parent, dot_dot) =
        (stat(&scratch.at("z")).expect("stat"), stat(&scratch.at("z/moved/..")).expect("stat"));
    assert_eq!(parent.st_ino, dot_dot.st_ino);
    assert_links(parent.st_nlink, 3);
    assert_links(stat(scratch.dir()).expect("stat").st_nlink, 3);
}

fn rename_noreplace_and_exchange() {
    let scratch = Scratch::new();
    let (a, b) = (scratch.file("a", "A"), scratch.file("b", "B"));
    let rename = |from: &Path, to: &Path, flags| renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
    assert_eq!(rename(&a, &b, RenameFlags::RENAME_NOREPLACE), Err(Errno::EEXIST));
    rename(&a, &b, RenameFlags::RENAME_EXCHANGE).expect("exchange");
    assert_eq!((fs::read(&a).expect("read"), fs::read(&b).expect("read")), (b"B".to_vec(), b"A".to_vec()));
    rename(&a, &scratch.at("c"), RenameFlags::RENAME_NOREPLACE).expect("free name");
    assert_eq!(rename(&a, &b, RenameFlags::RENAME_EXCHANGE), Err(Errno::ENOENT));
    assert_eq!(
        rename(&b, &b, RenameFlags::RENAME_EXCHANGE | RenameFlags::RENAME_NOREPLACE),
        Err(Errno::EINVAL)
    );
}

fn mkdir_and_rmdir_rules() {
    let scratch = Scratch::new();
    umask(Mode::from_bits_truncate(0o022));
    let rmdir = |name: &str| nix::unistd::unlinkat(AT_FDCWD, &scratch.at(name), UnlinkatFlags::RemoveDir);
    fs::DirBuilder::new().mode(0o1777).create(scratch.at("d")).expect("mkdir");
    assert_eq!(stat(&scratch.at("d")).expect("stat").st_mode & 0o7777, 0o1755);
    assert_eq!(mkdir(&scratch.at("d"), Mode::S_IRWXU), Err(Errno::EEXIST));
    assert_eq!(mkdir(&scratch.at("x/y"), Mode::S_IRWXU), Err(Errno::ENOENT));
    assert_eq!(mkdir("/", Mode::S_IRWXU), Err(Errno::EEXIST));
    mkdir(&scratch.at("d/sub/"), Mode::S_IRWXU).expect("a trailing slash is fine");
    assert_eq!(rmdir("d"), Err(Errno::ENOTEMPTY));
    assert_eq!(rmdir("d/sub/."), Err(Errno::EINVAL));
    assert_eq!(rmdir("d/sub/.."), Err(Errno::ENOTEMPTY));
    rmdir("d/sub").expect("empty");
    rmdir("d/").expect("empty");
    assert_eq!(rmdir("d"), Err(Errno::ENOENT));
    scratch.file("f", "");
    assert_eq!(rmdir("f"), Err(Errno::ENOTDIR));
    symlink("nowhere", scratch.at("l")).expect("symlink");
    assert_eq!(mkdir(&scratch.at("l"), Mode::S_IRWXU), Err(Errno::EEXIST));
}

fn unlink_of_directory_gets_eisdir() {
    let scratch = Scratch::new();
    assert_eq!(unlink(scratch.dir()), Err(Errno::EISDIR));
    assert_eq!(unlink(&scratch.at("missing")), Err(Errno::ENOENT));
    symlink(".", scratch.at("l")).expect("symlink");
    assert_eq!(unlink(&scratch.at("l/")), Err(Errno::ENOTDIR));
    unlink(&scratch.at("l")).expect("the link goes, not its target");
    assert!(scratch.dir().is_dir());
}

fn unlinked_file_lives_while_open() {
    let scratch = Scratch::new();
    let mut file = try_open(&scratch.file("f", "alive"), OFlag::O_RDWR).expect("open");
    unlink(&scratch.at("f")).expect("unlink");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read");
    file.write_all(b" and well").expect("write");
    let info = file.metadata().expect("stat");
    assert_eq!((text.as_str(), info.len(), info.nlink()), ("alive", 14, 0));
    scratch.file("f", "another");
    assert_ne!(stat(&scratch.at("f")).expect("stat").st_size, 14);
}

fn removed_directory_refuses_new_names() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.at("d")).expect("mkdir");
    let dir = File::open(scratch.at("d")).expect("open");
    fs::remove_dir(scratch.at("d")).expect("rmdir");
    assert_eq!(error_of(openat(&dir, "f", OFlag::O_CREAT | OFlag::O_RDWR, Mode::S_IRWXU)), Errno::ENOENT);
    assert_eq!(mkdirat(&dir, "e", Mode::S_IRWXU), Err(Errno::ENOENT));
    assert_eq!(dir.metadata().expect("fstat").nlink(), 0);
}

fn getdents_lists_all_once() {
    let scratch = Scratch::new();
    let mut expected: Vec<String> =
        (0..1000).map(|n| format!("name-{n:04}-{}", "x".repeat(n % 100))).collect();
    for name in &expected {
        scratch.file(name, "");
    }
    expected.sort();
    assert_eq!(names(scratch.dir()), expected);
    // Removing while reading skips nothing that stays.
    let mut seen = Vec::new();
    for entry in fs::read_dir(scratch.dir()).expect("readdir") {
        let entry = entry.expect("entry");
        unlink(&entry.path()).expect("unlink");
        seen.push(entry.file_name().to_string_lossy().into_owned());
    }
    seen.sort();
    assert_eq!(seen, expected);
    assert!(names(scratch.dir()).is_empty());
}

fn getdents_types_and_inodes_agree_with_stat() {
    let scratch = Scratch::new();
    scratch.file("f", "");
    fs::create_dir(scratch.at("d")).expect("mkdir");
    symlink("f", scratch.at("l")).expect("symlink");
    mkfifo(&scratch.at("p"), Mode::S_IRWXU).expect("mkfifo");
    let mut dir = nix::dir::Dir::open(scratch.dir(), OFlag::O_RDONLY, Mode::empty()).expect("opendir");
    let mut count = 0;
    for entry in dir.iter() {
        let entry = entry.expect("entry");
        let name = entry.file_name().to_str().expect("ASCII").to_owned();
        let info = lstat(&scratch.at(&name)).expect("lstat");
        if name != ".." {
            assert_eq!(entry.ino(), info.st_ino, "{name}");
        }
        use nix::dir::Type::{Directory, Fifo, File, Symlink};
        let expected = match name.as_str() {
            "f" => File,
            "d" | "." | ".." => Directory,
            "l" => Symlink,
            _ => Fifo,
        };
        assert_eq!(entry.file_type(), Some(expected), "{name}");
        count += 1;
    }
    assert_eq!(count, 6);
}
