//! What tmpfs has and other filesystems may lack: whiteouts (renameat2(2)) and handles of files (open_by_handle_at(2)).

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use integration::guest::{self, error_of, in_child};
use integration::{checks, raw};
use nix::errno::Errno;
use nix::unistd::{Uid, geteuid, setuid};

fn main() -> ExitCode {
    guest::main(checks![
        rename_leaves_a_whiteout,
        whiteout_is_not_for_exchanges,
        handle_opens_its_file,
        handle_of_a_file_that_is_gone_is_stale,
        handle_needs_a_capability,
        odd_handles_are_refused,
    ])
}

/// A directory on /dev/shm, removed with the value.
struct Shm(PathBuf);

impl Shm {
    fn new(name: &str) -> Self {
        let dir = Path::new("/dev/shm").join(format!("guest-tmpfs-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).expect("create_dir");
        Self(dir)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Shm {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL")
}

const RENAME_NOREPLACE: u32 = 1;
const RENAME_EXCHANGE: u32 = 2;
const RENAME_WHITEOUT: u32 = 4;

fn rename(from: &Path, to: &Path, flags: u32) -> Result<i64, Errno> {
    let (from, to) = (text(from), text(to));
    raw!(SYS_renameat2, libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags)
}

fn rename_leaves_a_whiteout() {
    let shm = Shm::new("whiteout");
    fs::create_dir(shm.at("d")).expect("create_dir");
    for (flags, target) in [(RENAME_WHITEOUT, "b"), (RENAME_WHITEOUT | RENAME_NOREPLACE, "d/c")] {
        fs::write(shm.at("a"), "text").expect("write");
        rename(&shm.at("a"), &shm.at(target), flags).expect("renameat2");
        let left = fs::symlink_metadata(shm.at("a")).expect("a whiteout");
        assert!(left.file_type().is_char_device());
        assert_eq!((left.rdev(), left.mode() & 0o7777, left.nlink()), (0, 0, 1));
        assert_eq!(fs::read(shm.at(target)).expect("read"), b"text");
        fs::remove_file(shm.at("a")).expect("remove");
    }
    let mut names: Vec<_> =
        fs::read_dir(&shm.0).expect("read_dir").map(|entry| entry.expect("entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["b", "d"]);
    // In place of a file, and of a directory.
    fs::write(shm.at("x"), "new").expect("write");
    rename(&shm.at("x"), &shm.at("b"), RENAME_WHITEOUT).expect("renameat2");
    assert_eq!(fs::read(shm.at("b")).expect("read"), b"new");
    rename(&shm.at("d"), &shm.at("e"), RENAME_WHITEOUT).expect("renameat2");
    assert!(fs::symlink_metadata(shm.at("d")).expect("a whiteout").file_type().is_char_device());
    assert_eq!(fs::read(shm.at("e/c")).expect("read"), b"text");
}

fn whiteout_is_not_for_exchanges() {
    let shm = Shm::new("exchange");
    for name in ["a", "b"] {
        fs::write(shm.at(name), name).expect("write");
    }
    let (a, b) = (shm.at("a"), shm.at("b"));
    assert_eq!(error_of(rename(&a, &b, RENAME_WHITEOUT | RENAME_EXCHANGE)), Errno::EINVAL);
    assert_eq!(error_of(rename(&a, &b, RENAME_WHITEOUT | RENAME_NOREPLACE)), Errno::EEXIST);
    assert_eq!(error_of(rename(&shm.at("none"), &b, RENAME_WHITEOUT)), Errno::ENOENT);
    assert_eq!(fs::read_dir(&shm.0).expect("read_dir").count(), 2);
}

#[repr(C)]
#[derive(Clone)]
struct Handle {
    bytes: u32,
    kind: i32,
    words: [u32; 32],
}

fn handle_of(path: &Path) -> Handle {
    let mut handle = Handle { bytes: 128, kind: 0, words: [0; 32] };
    let (mut mount, path) = (0_i32, text(path));
    let (at, mount) = (&raw mut handle, &raw mut mount);
    raw!(SYS_name_to_handle_at, libc::AT_FDCWD, path.as_ptr(), at, mount, 0).expect("name_to_handle_at");
    handle
}

fn open_handle(mount: i32, handle: &Handle, flags: i32) -> Result<File, Errno> {
    let number = raw!(SYS_open_by_handle_at, mount, std::ptr::from_ref(handle), flags)?;
    // SAFETY: the call has just made it.
    Ok(unsafe { File::from_raw_fd(number as i32) })
}

fn handle_opens_its_file() {
    let shm = Shm::new("handle");
    let mount = File::open("/dev/shm").expect("open");
    fs::create_dir_all(shm.at("deep/down")).expect("create_dir");
    let path = shm.at("deep/down/file");
    fs::write(&path, "text").expect("write");
    let handle = handle_of(&path);
    let mut found = String::new();
    let mut file = open_handle(mount.as_raw_fd(), &handle, libc::O_RDWR).expect("open_by_handle_at");
    file.read_to_string(&mut found).expect("read");
    assert_eq!(found, "text");
    file.write_all(b"+").expect("write");
    assert_eq!(file.metadata().expect("metadata").ino(), fs::metadata(&path).expect("metadata").ino());
    // By another name, and by any file of the mount.
    fs::rename(&path, shm.at("moved")).expect("rename");
    let file = open_handle(file.as_raw_fd(), &handle, libc::O_RDONLY).expect("open_by_handle_at");
    assert_eq!(file.metadata().expect("metadata").len(), 5);
    let directory = handle_of(&shm.at("deep/down"));
    let directory = open_handle(mount.as_raw_fd(), &directory, libc::O_RDONLY | libc::O_DIRECTORY);
    assert!(directory.expect("open_by_handle_at").metadata().expect("metadata").is_dir());
}

fn handle_of_a_file_that_is_gone_is_stale() {
    let shm = Shm::new("stale");
    fs::write(shm.at("f"), "text").expect("write");
    let handle = handle_of(&shm.at("f"));
    fs::remove_file(shm.at("f")).expect("remove");
    let mount = File::open(&shm.0).expect("open");
    assert_eq!(error_of(open_handle(mount.as_raw_fd(), &handle, 0)), Errno::ESTALE);
}

fn handle_needs_a_capability() {
    let shm = Shm::new("capability");
    fs::write(shm.at("f"), "text").expect("write");
    let handle = handle_of(&shm.at("f"));
    let mount = File::open(&shm.0).expect("open");
    assert!(geteuid().is_root(), "the checks run as root");
    let status = in_child(|| {
        setuid(Uid::from_raw(65534)).expect("setuid");
        error_of(open_handle(mount.as_raw_fd(), &handle, 0)) as i32
    });
    assert_eq!(status, Errno::EPERM as i32);
}

fn odd_handles_are_refused() {
    let shm = Shm::new("odd");
    let handle = handle_of(&shm.0);
    let mount = File::open(&shm.0).expect("open");
    let open = |handle: &Handle| open_handle(mount.as_raw_fd(), handle, 0).map(drop);
    assert_eq!(open(&Handle { bytes: 0, ..handle.clone() }), Err(Errno::EINVAL));
    assert_eq!(open(&Handle { bytes: 129, ..handle.clone() }), Err(Errno::EINVAL));
    assert_eq!(open(&Handle { bytes: 4, ..handle.clone() }), Err(Errno::ESTALE));
    assert_eq!(error_of(open_handle(-1, &handle, 0)), Errno::EBADF);
    assert_eq!(error_of(raw!(SYS_open_by_handle_at, mount.as_raw_fd(), 8, 0)), Errno::EFAULT);
}
