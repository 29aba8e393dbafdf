//! Reading /proc: every failure panics with the path.

use std::fs;

/// A file's text.
pub fn read(path: &str) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Where a link leads.
pub fn link(path: &str) -> String {
    fs::read_link(path).unwrap_or_else(|error| panic!("{path}: {error}")).to_string_lossy().into_owned()
}

/// The names of a directory.
pub fn names(path: &str) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// The number of an error that has to be.
#[track_caller]
pub fn errno<T>(result: std::io::Result<T>) -> i32 {
    result.err().and_then(|error| error.raw_os_error()).expect("it fails")
}

/// A field of a status file or of meminfo.
pub fn field(path: &str, name: &str) -> String {
    let text = read(path);
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {name} in {text}")).trim().to_owned()
}

/// A field in kB.
pub fn kilobytes(path: &str, name: &str) -> u64 {
    field(path, name).strip_suffix(" kB").expect("kB").trim().parse().expect("a number")
}
