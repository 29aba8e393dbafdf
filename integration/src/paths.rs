//! Where things are: the build's directory, the `palisade` binary, the cache of root filesystems.

use std::env;
use std::path::{Path, PathBuf};

/// `target/<profile>`, found from the running test, which cargo puts into `target/<profile>/deps`.
pub fn profile_dir() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own path");
    let dir = test.parent().expect("an executable is in a directory");
    if dir.ends_with("deps") {
        dir.parent().expect("deps is below the profile").to_owned()
    } else {
        dir.to_owned()
    }
}

/// The binary under test. Panics with the remedy when it has not been built.
pub fn palisade() -> PathBuf {
    let path = env::var_os("PALISADE").map_or_else(|| profile_dir().join("palisade"), PathBuf::from);
    assert!(
        path.is_file(),
        "{} does not exist: run `cargo build --release` first, or set PALISADE",
        path.display()
    );
    path
}

/// False when only the control sides are wanted.
pub fn palisade_is_wanted() -> bool {
    env::var_os("INTEGRATION_ONLY").is_none_or(|only| only != "control")
}

/// `target/roots`: the root filesystems that tests build once.
pub fn roots_dir() -> PathBuf {
    let target = profile_dir().parent().expect("a profile is below target").to_owned();
    target.join("roots")
}

/// The directory of this package's sources.
pub fn package_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
