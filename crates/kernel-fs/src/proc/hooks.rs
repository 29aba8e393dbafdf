//! What the supervisor tells /proc.

use std::sync::Arc;

use abi_linux::fs::makedev;

use crate::tty::Terminals;

/// Major number of pty slaves (UNIX98_PTY_SLAVE_MAJOR).
const PTY_SLAVE_MAJOR: u32 = 136;

/// The controlling terminal of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Device number (stat(2)'s encoding), such as that of /dev/pts/0.
    pub rdev: u64,
    /// Its foreground process group.
    pub foreground: i32,
}

/// Knowledge that lies above this crate or beside it.
pub trait ProcHooks: Send + Sync {
    /// The controlling terminal of session `sid`.
    fn terminal_of(&self, sid: i32) -> Option<Terminal> {
        let _ = sid;
        None
    }
    /// The guest's path of a file that the host's list of mappings calls `host` (without " (deleted)");
    /// `None` for what has no name that a guest may see.
    fn mapped_name(&self, host: &[u8]) -> Option<Vec<u8>> {
        let _ = host;
        None
    }
}

/// Hooks that know nothing.
pub struct NoHooks;

impl ProcHooks for NoHooks {}

/// Host directories and where the guest sees them: the usual way to implement [`ProcHooks::mapped_name`].
#[derive(Clone, Debug, Default)]
pub struct HostPrefixes {
    /// Host prefix and guest prefix, both without a trailing slash; "/" is empty.
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl HostPrefixes {
    /// No prefix yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that the guest sees the host's `host` at `guest`. The longest matching host prefix counts.
    pub fn add(&mut self, host: &[u8], guest: &[u8]) {
        let trim = |path: &[u8]| path.strip_suffix(b"/").unwrap_or(path).to_vec();
        self.pairs.push((trim(host), trim(guest)));
        self.pairs.sort_by_key(|(host, _)| std::cmp::Reverse(host.len()));
    }

    /// The guest's name of a host path; `None` below no prefix.
    #[must_use]
    pub fn translate(&self, path: &[u8]) -> Option<Vec<u8>> {
        if path.first() != Some(&b'/') {
            return None;
        }
        self.pairs.iter().find_map(|(host, guest)| {
            let rest = path.strip_prefix(host.as_slice())?;
            if !rest.is_empty() && rest.first() != Some(&b'/') {
                return None;
            }
            let name = [guest.as_slice(), rest].concat();
            Some(if name.is_empty() { b"/".to_vec() } else { name })
        })
    }
}

/// The hooks of a container whose terminals are its ptys.
pub struct ContainerHooks {
    pub terminals: Arc<Terminals>,
    pub names: HostPrefixes,
}

impl ProcHooks for ContainerHooks {
    fn terminal_of(&self, sid: i32) -> Option<Terminal> {
        let pty = self.terminals.controlling(sid)?;
        Some(Terminal { rdev: makedev(PTY_SLAVE_MAJOR, pty.index()), foreground: pty.foreground_group() })
    }
    fn mapped_name(&self, host: &[u8]) -> Option<Vec<u8>> {
        self.names.translate(host)
    }
}

/// How a /proc is set up.
#[derive(Clone)]
pub struct ProcOptions {
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version: String,
    pub hooks: Arc<dyn ProcHooks>,
}

impl Default for ProcOptions {
    fn default() -> Self {
        Self {
            release: kernel_task::kernel::RELEASE.to_owned(),
            version: kernel_task::kernel::VERSION.to_owned(),
            hooks: Arc::new(NoHooks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HostPrefixes;

    #[test]
    fn the_longest_prefix_counts_and_ends_at_a_slash() {
        let mut names = HostPrefixes::new();
        names.add(b"/srv/root", b"/");
        names.add(b"/srv/root/data", b"/mnt");
        assert_eq!(names.translate(b"/srv/root/bin/sh").as_deref(), Some(&b"/bin/sh"[..]));
        assert_eq!(names.translate(b"/srv/root/data/x").as_deref(), Some(&b"/mnt/x"[..]));
        assert_eq!(names.translate(b"/srv/root").as_deref(), Some(&b"/"[..]));
        assert_eq!(names.translate(b"/srv/rootless"), None);
        assert_eq!(names.translate(b"/etc/passwd"), None);
        assert_eq!(names.translate(b"/memfd:x"), None);
    }

    #[test]
    fn the_hosts_own_root_is_an_empty_prefix() {
        let mut names = HostPrefixes::new();
        names.add(b"/", b"/");
        assert_eq!(names.translate(b"/bin/sh").as_deref(), Some(&b"/bin/sh"[..]));
    }
}
