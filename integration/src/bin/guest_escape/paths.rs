//! Paths whose parts other threads exchange for symbolic links that lead out, with every call that takes one.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use integration::guest::{Check, scratch::Scratch};
use integration::{checks, raw};

use super::rounds;

pub(super) const PORTABLE: &[Check] =
    checks![exchanged_links_do_not_lead_out, moved_parents_do_not_lead_out, dots_end_at_the_root];

/// The length of the file that no call may find: the test has put one outside of the volume.
const TOKEN: i64 = 424_242;

/// A directory of the volume, or one in memory; both ways of keeping what a path leads to.
fn grounds() -> Vec<(PathBuf, Option<Scratch>)> {
    let scratch = Scratch::new();
    let mut all = vec![(scratch.dir().to_owned(), Some(scratch))];
    if let Some(volume) = std::env::var_os("ESCAPE_VOLUME") {
        let dir = PathBuf::from(volume).join(format!("ground-{}", std::process::id()));
        fs::create_dir(&dir).expect("a directory in the volume");
        all.push((dir, None));
    }
    all
}

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL")
}

/// Exchanges two names until the end.
fn exchanging<T>(one: &Path, other: &Path, body: impl FnOnce() -> T) -> T {
    let stop = Arc::new(AtomicBool::new(false));
    let (one, other, is_over) = (c(one), c(other), Arc::clone(&stop));
    let thread = thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) {
            let at = libc::AT_FDCWD;
            let _ = raw!(SYS_renameat2, at, one.as_ptr(), at, other.as_ptr(), libc::RENAME_EXCHANGE);
        }
    });
    let done = body();
    stop.store(true, Ordering::Relaxed);
    thread.join().expect("it ends");
    done
}

/// Every call that takes a path, on names below a directory that is being exchanged.
fn all_calls(dir: &File, below: &str) {
    let name = |last: &str| CString::new(format!("{below}/{last}")).expect("no NUL");
    let (fd, marker, new, other) =
        (dir.as_raw_fd(), name("escape-marker"), name("escape-new"), name("escape-other"));
    let (m, n, o) = (marker.as_ptr(), new.as_ptr(), other.as_ptr());
    let mut stat = [0i64; 32];
    if raw!(SYS_newfstatat, fd, m, stat.as_mut_ptr(), 0) == Ok(0) {
        assert_ne!(stat[6], TOKEN, "the file outside was seen");
    }
    for flags in [libc::O_RDONLY, libc::O_WRONLY | libc::O_TRUNC, libc::O_PATH, libc::O_RDWR | libc::O_CREAT]
    {
        // One of the calls below makes a fifo of that name.
        let flags = flags | libc::O_NONBLOCK;
        if let Ok(found) = raw!(SYS_openat, fd, m, flags, 0o600) {
            assert_eq!(raw!(SYS_fstat, found, stat.as_mut_ptr()), Ok(0));
            assert_ne!(stat[6], TOKEN, "the file outside was opened");
            let _ = raw!(SYS_close, found);
        }
    }
    let times = [1i64, 1, 1, 1];
    let mut buffer = [0u8; 256];
    let (text, space) = (c"x".as_ptr(), buffer.as_mut_ptr());
    let _ = raw!(SYS_mkdirat, fd, n, 0o700);
    let _ = raw!(SYS_unlinkat, fd, n, libc::AT_REMOVEDIR);
    let _ = raw!(SYS_mknodat, fd, o, 0o10600, 0);
    let _ = raw!(SYS_linkat, fd, m, fd, n, 0);
    let _ = raw!(SYS_symlinkat, text, fd, n);
    let _ = raw!(SYS_readlinkat, fd, n, space, 256);
    let _ = raw!(SYS_renameat2, fd, m, fd, o, 0);
    let _ = raw!(SYS_renameat2, fd, o, fd, m, 0);
    let _ = raw!(SYS_fchmodat, fd, m, 0o777);
    let _ = raw!(SYS_fchmodat2, fd, m, 0o777, 0);
    let _ = raw!(SYS_fchownat, fd, m, 7, 7, 0);
    let _ = raw!(SYS_utimensat, fd, m, times.as_ptr(), 0);
    let _ = raw!(SYS_futimesat, fd, m, times.as_ptr());
    let _ = raw!(SYS_faccessat, fd, m, 0);
    let _ = raw!(SYS_statx, fd, m, 0, 0xfff, stat.as_mut_ptr());
    let _ = raw!(SYS_name_to_handle_at, fd, m, stat.as_mut_ptr(), space, 0);
    let _ = raw!(SYS_execveat, fd, m, 0, 0, 0);
    let _ = raw!(SYS_unlinkat, fd, m, 0);
    let _ = raw!(SYS_unlinkat, fd, n, 0);
    let _ = raw!(SYS_unlinkat, fd, o, 0);
}

/// The calls without a directory, by absolute paths.
fn all_absolute_calls(below: &Path) {
    let (marker, new) = (c(&below.join("escape-marker")), c(&below.join("escape-new")));
    let (m, n, x) = (marker.as_ptr(), new.as_ptr(), c"user.x".as_ptr());
    let mut buffer = [0u8; 512];
    let space = buffer.as_mut_ptr();
    let _ = raw!(SYS_open, m, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC | libc::O_NONBLOCK, 0o600);
    let _ = raw!(SYS_truncate, m, 1);
    let _ = raw!(SYS_chmod, m, 0o777);
    let _ = raw!(SYS_lchown, m, 7, 7);
    let _ = raw!(SYS_utimes, m, 0);
    let _ = raw!(SYS_setxattr, m, x, space, 4, 0);
    let _ = raw!(SYS_lsetxattr, m, x, space, 4, 0);
    let _ = raw!(SYS_removexattr, m, x);
    let _ = raw!(SYS_listxattr, m, space, 512);
    let _ = raw!(SYS_statfs, m, space);
    let _ = raw!(SYS_link, m, n);
    let _ = raw!(SYS_rename, m, n);
    let _ = raw!(SYS_mkdir, n, 0o700);
    let _ = raw!(SYS_rmdir, n);
    let _ = raw!(SYS_unlink, n);
    let _ = raw!(SYS_unlink, m);
    let _ = raw!(SYS_inotify_add_watch, -1, m, 1);
}

/// A directory and a link of the same name take turns.
fn exchanged_links_do_not_lead_out() {
    for (ground, _own) in grounds() {
        fs::create_dir(ground.join("a")).expect("a directory");
        let dir = File::open(&ground).expect("open");
        let up = "../".repeat(12);
        // Out of the volume as the host has it; and to where the test keeps the token, by its host path.
        let outside = std::env::var("ESCAPE_OUTSIDE").unwrap_or_else(|_| "/nowhere".to_owned());
        for target in ["../../outside".to_owned(), "../outside".to_owned(), outside, format!("{up}outside")] {
            let link = ground.join("l");
            symlink(&target, &link).expect("a link");
            exchanging(&ground.join("a"), &link, || {
                for _ in 0..rounds() / 16 {
                    all_calls(&dir, "a");
                    all_absolute_calls(&ground.join("a"));
                }
            });
            // Whichever name the link has now.
            let _ = fs::remove_file(ground.join("l")).or_else(|_| fs::remove_file(ground.join("a")));
            let _ = fs::rename(ground.join("l"), ground.join("a"));
        }
        let _ = fs::remove_dir_all(&ground);
    }
}

/// A directory is moved to and fro while its `..` is followed.
fn moved_parents_do_not_lead_out() {
    for (ground, _own) in grounds() {
        fs::create_dir_all(ground.join("p/q/r")).expect("directories");
        fs::create_dir_all(ground.join("s")).expect("a directory");
        let inner = File::open(ground.join("p/q/r")).expect("open");
        exchanging(&ground.join("p/q"), &ground.join("s"), || {
            for _ in 0..rounds() / 16 {
                for up in ["..", "../..", "../../..", "../../../..", "../../../../outside"] {
                    all_calls(&inner, up);
                }
            }
        });
        let _ = fs::remove_dir_all(&ground);
    }
}

fn dots_end_at_the_root() {
    use std::os::unix::fs::MetadataExt;
    let root = fs::metadata("/").expect("/");
    for (ground, _own) in grounds() {
        let up = fs::metadata(ground.join("../".repeat(200))).expect("the root");
        assert_eq!((up.dev(), up.ino()), (root.dev(), root.ino()));
        let _ = fs::remove_dir_all(&ground);
    }
}
