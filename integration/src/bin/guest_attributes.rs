//! Files' attributes: modes, owners, times, sizes, permissions, working directories, special files.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::ExitCode;

use integration::checks;
use integration::guest::scratch::Scratch;
use integration::guest::{self, error_of, in_child};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, lstat, mknod, stat, umask, utimensat};
use nix::sys::statvfs::statvfs;
use nix::sys::time::TimeSpec;
use nix::unistd::{
    AccessFlags, Gid, Uid, access, chdir, faccessat, fchdir, fchownat, getcwd, mkfifo, setresgid, setresuid,
    truncate, unlink,
};

fn main() -> ExitCode {
    guest::main(checks![
        chmod_changes_bits_and_keeps_the_kind,
        chown_clears_set_id_bits,
        umask_is_inherited_and_returned,
        truncate_shrinks_and_grows,
        utimensat_now_omit_and_bad_values,
        access_asks_for_the_real_user,
        permission_bits_bind_other_users,
        sticky_directory_protects_others_files,
        cwd_follows_renames_and_removal,
        fifo_joins_two_processes,
        mknod_kinds,
        statfs_answers,
        old_calls_know_filesystems,
        statx_agrees_with_stat,
        write_to_running_program_gets_etxtbsy_or_erofs,
        xattr_round_trip_or_enotsup,
        read_only_names_of_root_exist,
    ])
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

fn rename_error(from: &Path, to: &Path) -> Option<i32> {
    fs::rename(from, to).expect_err("refused").raw_os_error()
}

fn chmod_changes_bits_and_keeps_the_kind() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    for mode in [0o777, 0, 0o4711, 0o1644] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("chmod");
        assert_eq!(stat(&path).expect("stat").st_mode, libc::S_IFREG | mode);
    }
    let file = File::open(&path).expect("open");
    file.set_permissions(Permissions::from_mode(0o640)).expect("fchmod");
    assert_eq!(file.metadata().expect("stat").mode() & 0o7777, 0o640);
}

fn chown_clears_set_id_bits() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    fs::set_permissions(&path, Permissions::from_mode(0o6755)).expect("chmod");
    fchownat(AT_FDCWD, &path, Some(Uid::from_raw(12)), Some(Gid::from_raw(34)), AtFlags::empty())
        .expect("chown");
    let info = stat(&path).expect("stat");
    assert_eq!((info.st_uid, info.st_gid, info.st_mode & 0o7777), (12, 34, 0o755));
    fchownat(AT_FDCWD, &path, None, Some(Gid::from_raw(35)), AtFlags::empty()).expect("chown");
    assert_eq!((stat(&path).expect("stat").st_uid, stat(&path).expect("stat").st_gid), (12, 35));
    symlink("f", scratch.at("l")).expect("symlink");
    fchownat(AT_FDCWD, &scratch.at("l"), Some(Uid::from_raw(7)), None, AtFlags::AT_SYMLINK_NOFOLLOW)
        .expect("lchown");
    assert_eq!((lstat(&scratch.at("l")).expect("lstat").st_uid, stat(&path).expect("stat").st_uid), (7, 12));
}

fn umask_is_inherited_and_returned() {
    umask(Mode::from_bits_truncate(0o123));
    assert_eq!(in_child(|| i32::from(umask(Mode::empty()).bits() != 0o123)), 0);
    assert_eq!(umask(Mode::from_bits_truncate(0o022)).bits(), 0o123);
}

fn truncate_shrinks_and_grows() {
    let scratch = Scratch::new();
    let path = scratch.file("f", vec![7; 10_000]);
    truncate(&path, 5).expect("truncate");
    truncate(&path, 9000).expect("truncate");
    let bytes = fs::read(&path).expect("read");
    assert_eq!((bytes.len(), &bytes[..7]), (9000, &[7, 7, 7, 7, 7, 0, 0][..]));
    assert!(bytes[5..].iter().all(|byte| *byte == 0));
    assert_eq!(truncate(&path, -1), Err(Errno::EINVAL));
    assert_eq!(truncate(scratch.dir(), 0), Err(Errno::EISDIR));
    assert_eq!(truncate(&scratch.at("none"), 0), Err(Errno::ENOENT));
}

fn utimensat_now_omit_and_bad_values() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    let set = |a: TimeSpec, m: TimeSpec| utimensat(AT_FDCWD, &path, &a, &m, UtimensatFlags::FollowSymlink);
    set(TimeSpec::new(1, 2), TimeSpec::new(3, 999_999_999)).expect("utimensat");
    let of = || fs::metadata(&path).expect("stat");
    assert_eq!((of().atime(), of().atime_nsec(), of().mtime(), of().mtime_nsec()), (1, 2, 3, 999_999_999));
    set(TimeSpec::UTIME_OMIT, TimeSpec::UTIME_NOW).expect("utimensat");
    assert_eq!(of().atime(), 1);
    assert!(of().mtime() > 1_600_000_000);
    assert_eq!(set(TimeSpec::new(0, 1_000_000_000), TimeSpec::UTIME_NOW), Err(Errno::EINVAL));
    symlink("f", scratch.at("l")).expect("symlink");
    let time = TimeSpec::new(77, 0);
    utimensat(AT_FDCWD, &scratch.at("l"), &time, &time, UtimensatFlags::NoFollowSymlink).expect("utimensat");
    assert_eq!((fs::symlink_metadata(scratch.at("l")).expect("lstat").mtime(), of().atime()), (77, 1));
}

/// Gives up root for an ordinary user, in a child only.
fn become_nobody() {
    nix::unistd::setgroups(&[]).expect("setgroups");
    let (user, group) = (Uid::from_raw(65534), Gid::from_raw(65534));
    setresgid(group, group, group).expect("setresgid");
    setresuid(user, user, user).expect("setresuid");
}

fn access_asks_for_the_real_user() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    fs::set_permissions(scratch.dir(), Permissions::from_mode(0o755)).expect("chmod");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
    access(&path, AccessFlags::R_OK | AccessFlags::W_OK).expect("root may");
    assert_eq!(access(&path, AccessFlags::X_OK), Err(Errno::EACCES));
    assert_eq!(access(&scratch.at("none"), AccessFlags::F_OK), Err(Errno::ENOENT));
    let status = in_child(|| {
        let nobody = Uid::from_raw(65534);
        setresuid(nobody, Uid::from_raw(0), Uid::from_raw(0)).expect("setresuid");
        assert_eq!(access(&path, AccessFlags::R_OK), Err(Errno::EACCES));
        faccessat(AT_FDCWD, &path, AccessFlags::R_OK, AtFlags::AT_EACCESS).expect("the effective user may");
        0
    });
    assert_eq!(status, 0);
}

fn permission_bits_bind_other_users() {
    let scratch = Scratch::new();
    umask(Mode::empty());
    fs::set_permissions(scratch.dir(), Permissions::from_mode(0o755)).expect("chmod");
    let secret = scratch.file("secret", "x");
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).expect("chmod");
    let readable = scratch.file("readable", "x");
    fs::set_permissions(&readable, Permissions::from_mode(0o644)).expect("chmod");
    fs::create_dir(scratch.at("locked")).expect("mkdir");
    scratch.file("locked/f", "");
    fs::set_permissions(scratch.at("locked"), Permissions::from_mode(0o744)).expect("chmod");
    let status = in_child(|| {
        become_nobody();
        assert_eq!(error_of(try_open(&secret, OFlag::O_RDONLY)), Errno::EACCES);
        try_open(&readable, OFlag::O_RDONLY).expect("readable");
        assert_eq!(error_of(try_open(&readable, OFlag::O_RDWR)), Errno::EACCES);
        assert_eq!(error_of(try_open(&scratch.at("new"), OFlag::O_CREAT | OFlag::O_WRONLY)), Errno::EACCES);
        assert_eq!(unlink(&readable), Err(Errno::EACCES));
        assert_eq!(error_of(stat(&scratch.at("locked/f"))), Errno::EACCES);
        assert_eq!(names(&scratch.at("locked")), ["f"]);
        assert_eq!(
            fs::set_permissions(&readable, Permissions::from_mode(0o666))
                .expect_err("not the owner")
                .raw_os_error(),
            Some(libc::EPERM)
        );
        assert_eq!(
            error_of(fchownat(AT_FDCWD, &readable, Some(Uid::from_raw(65534)), None, AtFlags::empty())),
            Errno::EPERM
        );
        0
    });
    assert_eq!(status, 0);
}

fn sticky_directory_protects_others_files() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "");
    fs::set_permissions(scratch.dir(), Permissions::from_mode(0o1777)).expect("chmod");
    let status = in_child(|| {
        become_nobody();
        assert_eq!(unlink(&path), Err(Errno::EPERM));
        assert_eq!(rename_error(&path, &scratch.at("g")), Some(libc::EPERM));
        scratch.file("own", "");
        unlink(&scratch.at("own")).expect("one's own file");
        0
    });
    assert_eq!(status, 0);
}

fn cwd_follows_renames_and_removal() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.at("a/b")).expect("mkdir");
    chdir(&scratch.at("a/b")).expect("chdir");
    assert_eq!(getcwd(), Ok(scratch.at("a/b")));
    fs::rename(scratch.at("a"), scratch.at("c")).expect("rename");
    assert_eq!(getcwd(), Ok(scratch.at("c/b")));
    fs::write("f", "relative").expect("write");
    assert!(scratch.at("c/b/f").exists());
    fs::remove_dir_all(scratch.at("c/b")).expect("remove");
    assert_eq!(error_of(getcwd()), Errno::ENOENT);
    assert_eq!(error_of(try_open(Path::new("g"), OFlag::O_CREAT)), Errno::ENOENT);
    let root = File::open("/").expect("open");
    fchdir(root.as_fd()).expect("fchdir");
    assert_eq!(getcwd(), Ok("/".into()));
    assert_eq!(chdir("/dev/null"), Err(Errno::ENOTDIR));
    assert_eq!(chdir("/none"), Err(Errno::ENOENT));
}

fn fifo_joins_two_processes() {
    let scratch = Scratch::new();
    let path = scratch.at("fifo");
    mkfifo(&path, Mode::S_IRWXU).expect("mkfifo");
    assert_eq!(error_of(try_open(&path, OFlag::O_WRONLY | OFlag::O_NONBLOCK)), Errno::ENXIO);
    try_open(&path, OFlag::O_RDONLY | OFlag::O_NONBLOCK).expect("a reader need not wait");
    let child = guest::fork_child(|| {
        fs::write(&path, "through").expect("write");
        0
    });
    assert_eq!(fs::read_to_string(&path).expect("read"), "through");
    assert_eq!(guest::wait_raw(child.as_raw()), 0);
}

fn mknod_kinds() {
    let scratch = Scratch::new();
    mknod(&scratch.at("f"), SFlag::S_IFREG, Mode::S_IRWXU, 0).expect("mknod");
    assert!(scratch.at("f").is_file());
    mknod(&scratch.at("p"), SFlag::S_IFIFO, Mode::S_IRWXU, 0).expect("mknod");
    assert!(fs::metadata(scratch.at("p")).expect("stat").file_type().is_fifo());
    assert_eq!(mknod(&scratch.at("d"), SFlag::S_IFDIR, Mode::S_IRWXU, 0), Err(Errno::EPERM));
    assert_eq!(mknod(&scratch.at("f"), SFlag::S_IFREG, Mode::S_IRWXU, 0), Err(Errno::EEXIST));
}

fn old_calls_know_filesystems() {
    let sysfs = |option: i32, first: usize, second: usize| {
        // SAFETY: the arguments are numbers, or addresses of a string and of room for one.
        Errno::result(unsafe { libc::syscall(libc::SYS_sysfs, option, first, second) })
    };
    let index = sysfs(1, c"proc".as_ptr().addr(), 0).expect("procfs has an index");
    assert!(index < sysfs(3, 0, 0).expect("a count"));
    let mut name = [0_u8; 64];
    assert_eq!(sysfs(2, index as usize, name.as_mut_ptr().addr()), Ok(0));
    assert!(name.starts_with(b"proc\0"));
    assert_eq!(sysfs(1, c"ext0".as_ptr().addr(), 0), Err(Errno::EINVAL));
    assert_eq!(sysfs(2, 1000, name.as_mut_ptr().addr()), Err(Errno::EINVAL));
    assert_eq!(sysfs(4, 0, 0), Err(Errno::EINVAL));
    let dev = fs::metadata("/proc").expect("stat").dev();
    let mut ustat = [u64::MAX; 4];
    let call = |dev: u64, at: *mut u64| {
        // SAFETY: room for a struct ustat, or an address that is refused.
        Errno::result(unsafe { libc::syscall(libc::SYS_ustat, dev as u32, at) })
    };
    assert_eq!(call(dev, ustat.as_mut_ptr()), Ok(0));
    assert_eq!(ustat[0] as u32, 0);
    assert_eq!(call(0xffff_ffff, ustat.as_mut_ptr()), Err(Errno::EINVAL));
    assert_eq!(call(dev, std::ptr::without_provenance_mut(8)), Err(Errno::EFAULT));
}

fn statfs_answers() {
    let info = statvfs("/tmp").expect("statvfs");
    assert!(info.block_size() >= 512);
    assert_eq!(info.name_max(), 255);
    assert_eq!(
        nix::sys::statfs::statfs("/proc").expect("statfs").filesystem_type(),
        nix::sys::statfs::PROC_SUPER_MAGIC
    );
    assert_eq!(error_of(statvfs("/none")), Errno::ENOENT);
}

fn statx_agrees_with_stat() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "12345");
    let name = CString::new(path.clone().into_os_string().into_encoded_bytes()).expect("no NUL");
    // SAFETY: statx is plain data, for which all-zero is a value.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the name is a C string, and `found` is writable.
    let result =
        unsafe { libc::statx(libc::AT_FDCWD, name.as_ptr(), 0, libc::STATX_BASIC_STATS, &mut found) };
    assert_eq!(result, 0);
    let info = stat(&path).expect("stat");
    assert_eq!((found.stx_ino, found.stx_size, u32::from(found.stx_mode)), (info.st_ino, 5, info.st_mode));
    assert_eq!(libc::makedev(found.stx_dev_major, found.stx_dev_minor), info.st_dev);
    assert_eq!(found.stx_mask & libc::STATX_BASIC_STATS, libc::STATX_BASIC_STATS);
    assert_eq!(found.stx_mtime.tv_sec, info.st_mtime);
}

fn write_to_running_program_gets_etxtbsy_or_erofs() {
    let error = OpenOptions::new().write(true).open("/proc/self/exe").expect_err("it runs").raw_os_error();
    assert!(matches!(error, Some(libc::ETXTBSY | libc::EROFS)), "{error:?}");
}

fn xattr_round_trip_or_enotsup() {
    let scratch = Scratch::new();
    let name = CString::new(scratch.file("f", "").into_os_string().into_encoded_bytes()).expect("no NUL");
    let missing = c"user.none";
    // SAFETY: two C strings and no buffer.
    let size = unsafe { libc::getxattr(name.as_ptr(), missing.as_ptr(), std::ptr::null_mut(), 0) };
    assert!(matches!(error_of(Errno::result(size)), Errno::ENODATA | Errno::ENOTSUP));
}

fn read_only_names_of_root_exist() {
    for name in [
        "/bin",
        "/dev/null",
        "/dev/pts",
        "/dev/shm",
        "/etc/passwd",
        "/proc/self/status",
        "/sys",
        "/tmp",
        "/usr/bin",
    ] {
        assert!(Path::new(name).exists(), "{name}");
    }
}
