//! Layers: a root below an overlay whose upper directory is empty at each run, as container engines have it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

/// An overlay, unmounted and removed with this value.
#[derive(Debug)]
pub(crate) struct Layer {
    dir: TempDir,
}

impl Layer {
    /// On a filesystem that can be an overlay's upper one, which a container's own root often is not.
    pub(crate) fn on(lower: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("palisade-bench-").tempdir_in("/var/tmp")?;
        for name in ["upper", "work", "root"] {
            fs::create_dir(dir.path().join(name))?;
        }
        let layer = Self { dir };
        let path = |name| layer.dir.path().join(name).display().to_string();
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.display(), path("upper"), path("work"));
        mount(Some("overlay"), &layer.root(), Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .context("cannot mount an overlay below /var/tmp")?;
        Ok(layer)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        // What a killed runtime still uses goes when it is gone.
        let _ = umount2(&self.root(), MntFlags::MNT_DETACH);
    }
}

/// Keeps this program's mounts to itself, so that they end with it, however it ends. crun refuses a host that has both
/// versions of cgroups mounted: the second one is out of sight here, for all runtimes alike.
pub(crate) fn own_mount_namespace() -> Result<Option<&'static str>> {
    const UNIFIED: &str = "/sys/fs/cgroup/unified";
    let none = None::<&str>;
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("cannot make mounts private")?;
    if !Path::new(UNIFIED).join("cgroup.procs").exists() {
        return Ok(None);
    }
    umount2(UNIFIED, MntFlags::MNT_DETACH).map_err(io::Error::from).context(UNIFIED)?;
    Ok(Some("/sys/fs/cgroup/unified was out of sight: crun refuses a host with both versions of cgroups"))
}
