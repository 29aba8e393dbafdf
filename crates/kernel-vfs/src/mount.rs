//! Mounts: filesystems joined into one tree.

/// One mount.
pub struct Mount {
    id: u64,
}

impl Mount {
    /// The mount id of statx(2) and /proc/pid/mountinfo.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }
}
