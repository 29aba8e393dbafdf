//! The host's side of a volume, and what lies beside it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use integration::roots;
use integration::runner::Sandbox;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use tempfile::TempDir;

use crate::{programs, rounds};

/// A directory of the host: `volume` is the guest's, `outside` is not.
pub(crate) struct Ground {
    dir: TempDir,
    _listener: UnixListener,
}

/// A length that no other file has: a guest that sees it has seen the file outside.
pub(crate) const TOKEN: usize = 424_242;

/// Length, mode, owner, and the times of the last changes.
type Facts = (u64, u32, u32, i64, i64);

impl Ground {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("/tmp is writable");
        let (volume, outside) = (dir.path().join("volume"), dir.path().join("outside"));
        fs::create_dir_all(outside.join("empty")).expect("a directory");
        fs::create_dir(&volume).expect("a directory");
        fs::write(outside.join("escape-marker"), vec![b'!'; TOKEN]).expect("a file");
        fs::write(volume.join("file"), "a file of the volume").expect("a file");
        let node = |name: &str, kind, major, minor| {
            mknod(&volume.join(name), kind, Mode::from_bits_truncate(0o666), makedev(major, minor))
                .unwrap_or_else(|error| panic!("{name}: {error}; the test wants root with CAP_MKNOD"));
        };
        node("mem", SFlag::S_IFCHR, 1, 1);
        node("kmsg", SFlag::S_IFCHR, 1, 11);
        node("tty", SFlag::S_IFCHR, 4, 0);
        node("loop0", SFlag::S_IFBLK, 7, 0);
        node("fifo", SFlag::S_IFIFO, 0, 0);
        symlink("../outside", volume.join("way-out")).expect("a link");
        let listener = UnixListener::bind(volume.join("listener")).expect("a socket");
        Self { dir, _listener: listener }
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.dir.path().join("outside")
    }

    /// All that can be told of what lies outside.
    pub(crate) fn look(&self) -> BTreeMap<String, Facts> {
        let entries = fs::read_dir(self.outside()).expect("it is there").flatten();
        let all = entries.map(|entry| entry.path()).chain([self.outside()]);
        let facts = |path: PathBuf| {
            let found = fs::symlink_metadata(&path).expect("it is there");
            let times = (found.mtime(), found.ctime());
            (path.display().to_string(), (found.len(), found.mode(), found.uid(), times.0, times.1))
        };
        all.map(facts).collect()
    }

    pub(crate) fn sandbox(&self) -> Sandbox {
        let mut volume = self.dir.path().join("volume").into_os_string();
        volume.push(":/volume");
        let mut sandbox = Sandbox::on(&roots::debian()).with_volume(programs(), "/t");
        sandbox.volumes.push(volume);
        let limit = if rounds().is_some() { "36000" } else { "40" };
        sandbox
            .with_option(format!("--env=GUEST_LIMIT_S={limit}"))
            .with_option("--env=ESCAPE_VOLUME=/volume")
            .with_option(format!("--env=ESCAPE_OUTSIDE={}", self.outside().display()))
            .with_option(format!("--env=ESCAPE_HOST_PID={}", std::process::id()))
            .with_option(format!("--env=ESCAPE_ROUNDS={}", rounds().unwrap_or_else(|| "1000".to_owned())))
    }
}
