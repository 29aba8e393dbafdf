//! What is there at the end: descriptors, signals and ids of a process, and the files that it left.

use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::raw::{HANDLED, call};

/// Descriptors that are looked at.
const DESCRIPTORS: u64 = 64;
/// Lines of /proc/self/status that are told.
const STATUS: [&str; 13] = [
    "Umask:",
    "Uid:",
    "Gid:",
    "Groups:",
    "SigIgn:",
    "SigCgt:",
    "ShdPnd:",
    "CapInh:",
    "CapPrm:",
    "CapEff:",
    "CapBnd:",
    "CapAmb:",
    "NoNewPrivs:",
];
/// How deep and how many files are looked at.
const DEEPEST: usize = 8;
const MOST: usize = 200;
/// Content of files that is told in full.
const SHOWN: usize = 48;

/// Of this process.
pub(super) fn of_process() -> Vec<String> {
    let mut lines: Vec<String> = (0..DESCRIPTORS).filter_map(descriptor).collect();
    for (signal, count) in HANDLED.iter().enumerate() {
        match count.load(Ordering::Relaxed) {
            0 => {}
            count => lines.push(format!("signal {signal} handled {count} times")),
        }
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| STATUS.iter().any(|name| line.starts_with(name))) {
        lines.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let mut cwd = [0_u8; 256];
    let len = call(libc::SYS_getcwd, &[cwd.as_mut_ptr() as u64, 256]);
    let name = cwd.get(..usize::try_from(len - 1).unwrap_or(0)).unwrap_or(b"");
    lines.push(format!("cwd {} {}", len.min(0), String::from_utf8_lossy(name)));
    lines
}

fn descriptor(fd: u64) -> Option<String> {
    let flags = call(libc::SYS_fcntl, &[fd, libc::F_GETFD as u64]);
    if flags < 0 {
        return None;
    }
    let status = call(libc::SYS_fcntl, &[fd, libc::F_GETFL as u64]);
    // struct stat: mode at 24, size at 48.
    let mut stat = [0_u64; 18];
    let got = call(libc::SYS_fstat, &[fd, stat.as_mut_ptr() as u64]);
    let position = call(libc::SYS_lseek, &[fd, 0, libc::SEEK_CUR as u64]);
    Some(format!(
        "fd {fd}: mode {:o} size {} status {status:#x} flags {flags} position {position} fstat {got}",
        stat[3] as u32, stat[6],
    ))
}

/// Of the files below a directory.
pub(super) fn of_files(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    walk(dir, dir, 0, &mut lines);
    lines
}

fn walk(root: &Path, dir: &Path, depth: usize, lines: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(dir) else {
        lines.push(format!("file {} cannot be listed", dir.strip_prefix(root).unwrap_or(dir).display()));
        return;
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if lines.len() >= MOST {
            return;
        }
        lines.push(describe(root, &path));
        if depth < DEEPEST && path.is_dir() && !path.is_symlink() {
            walk(root, &path, depth + 1, lines);
        }
    }
}

fn describe(root: &Path, path: &Path) -> String {
    let name = path.strip_prefix(root).unwrap_or(path).as_os_str().as_bytes();
    let mut line = format!("file {}:", name.escape_ascii());
    let Ok(meta) = fs::symlink_metadata(path) else { return line + " cannot be looked at" };
    // The size of a directory is the file system's affair.
    let size = if meta.is_dir() { 0 } else { meta.size() };
    let _ = write!(
        line,
        " mode {:o} links {} owner {}:{} size {size} device {:x}",
        meta.mode(),
        meta.nlink(),
        meta.uid(),
        meta.gid(),
        meta.rdev()
    );
    if meta.is_symlink() {
        let target = fs::read_link(path).unwrap_or_default();
        let _ = write!(line, " to {}", target.as_os_str().as_bytes().escape_ascii());
    } else if meta.is_file() && meta.size() <= 1 << 20 {
        let content = fs::read(path).unwrap_or_default();
        let shown = content.get(..SHOWN.min(content.len())).unwrap_or(&[]);
        let _ = write!(line, " content {:016x} {}", hash(&content), shown.escape_ascii());
    }
    line
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
