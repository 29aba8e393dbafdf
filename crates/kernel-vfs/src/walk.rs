//! The path walk (path_resolution(7); Linux v6.18 fs/namei.c).
//!
//! [`WalkContext`] says who walks and from where; the operations on it are in [`crate::ops`]. A
//! [`Walker`] holds one walk's state: what is left of the path, and the directory reached.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use abi_linux::fs::{MAXSYMLINKS, NAME_MAX, PATH_MAX};
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Credentials;

use crate::dentry::Dentry;
use crate::inode::{FileKind, LinkTarget, MagicTarget};
use crate::mount::MountFlags;
use crate::path::Path;
use crate::permission::{self, Access};

bitflags::bitflags! {
    /// How a path is walked.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct WalkFlags: u32 {
        /// RESOLVE_NO_XDEV: stay on one mount.
        const NO_XDEV = 0x01;
        /// RESOLVE_NO_MAGICLINKS.
        const NO_MAGICLINKS = 0x02;
        /// RESOLVE_NO_SYMLINKS: no symbolic link anywhere.
        const NO_SYMLINKS = 0x04;
        /// RESOLVE_BENEATH: never leave the start.
        const BENEATH = 0x08;
        /// RESOLVE_IN_ROOT: the start is the root.
        const IN_ROOT = 0x10;
        /// AT_SYMLINK_NOFOLLOW: a symbolic link at the end is not followed.
        const NOFOLLOW = 0x100;
        /// AT_EMPTY_PATH: an empty path names the start itself.
        const EMPTY_PATH = 0x1000;
        /// The end must be a directory.
        const DIRECTORY = 0x10000;
    }
}

impl WalkFlags {
    /// From the flags of fstatat(2) and its like; the caller has checked for unknown ones.
    #[must_use]
    pub const fn from_at(flags: u32) -> Self {
        Self::from_bits_truncate(flags & (Self::NOFOLLOW.bits() | Self::EMPTY_PATH.bits()))
    }

    /// From the flags of linkat(2) and name_to_handle_at(2), which follow only when asked.
    #[must_use]
    pub const fn from_at_follow(flags: u32) -> Self {
        let nofollow = if flags & 0x400 == 0 { Self::NOFOLLOW.bits() } else { 0 };
        Self::from_bits_truncate(flags & Self::EMPTY_PATH.bits() | nofollow)
    }

    /// From openat2(2)'s `resolve`; the caller has checked for unknown ones.
    #[must_use]
    pub const fn from_resolve(resolve: u64) -> Self {
        Self::from_bits_truncate(resolve as u32 & 0x1f)
    }
}

/// Who walks, and from where. Made by the system call layer for one call.
#[derive(Clone, Copy)]
pub struct WalkContext<'a> {
    /// The process's root directory.
    pub root: &'a Path,
    /// Its working directory.
    pub cwd: &'a Path,
    pub creds: &'a Credentials,
    pub who: &'a dyn Caller,
    /// Permission bits that new nodes lose.
    pub umask: u32,
}

/// The last component of a path, not yet looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// A name; its place in the path.
    Name(Range<usize>),
    Dot,
    DotDot,
    /// The path ended at the directory reached: "/", or a magic link.
    Here,
}

/// One walk.
pub(crate) struct Walker<'a, 'p> {
    cx: &'a WalkContext<'a>,
    flags: WalkFlags,
    path: Cow<'p, [u8]>,
    position: usize,
    /// The place reached.
    pub(crate) here: Path,
    start: &'a Path,
    links: usize,
}

impl WalkContext<'_> {
    /// Finds what `path` leads to, from `at` (None: the working directory).
    pub fn resolve(&self, at: Option<&Path>, path: &[u8], flags: WalkFlags) -> SysResult<Path> {
        Walker::new(self, at, path, flags)?.finish()
    }

    /// EACCES unless the caller may do `want` with the inode at `path`; EROFS on a read-only mount.
    pub fn check_access(&self, path: &Path, want: Access) -> SysResult<()> {
        if want.contains(Access::WRITE) {
            let kind = path.inode().kind();
            if matches!(kind, FileKind::Regular | FileKind::Directory | FileKind::Symlink) {
                path.mount.check_writable()?;
            }
        }
        permission::check_inode(&**path.inode(), self.creds, want)
    }
}

impl<'a, 'p> Walker<'a, 'p> {
    pub(crate) fn new(
        cx: &'a WalkContext<'a>,
        at: Option<&'a Path>,
        path: &'p [u8],
        flags: WalkFlags,
    ) -> SysResult<Self> {
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if path.is_empty() && !flags.contains(WalkFlags::EMPTY_PATH) {
            return Err(Errno::ENOENT);
        }
        let start = at.unwrap_or(cx.cwd);
        let anywhere = !flags.intersects(WalkFlags::BENEATH | WalkFlags::IN_ROOT | WalkFlags::NO_XDEV);
        let from_root = anywhere && path.first() == Some(&b'/');
        let here = if from_root { cx.root } else { start }.clone();
        let mut walker = Self { cx, flags, path: Cow::Borrowed(path), position: 0, here, start, links: 0 };
        if !from_root {
            walker.go_to_root_if_absolute()?;
        }
        Ok(walker)
    }

    fn go_to_root_if_absolute(&mut self) -> SysResult<()> {
        if self.path.first() != Some(&b'/') {
            return Ok(());
        }
        if self.flags.contains(WalkFlags::BENEATH) {
            return Err(Errno::EXDEV);
        }
        let root = if self.flags.contains(WalkFlags::IN_ROOT) { self.start } else { self.cx.root };
        if self.flags.contains(WalkFlags::NO_XDEV) && root.mount.id() != self.here.mount.id() {
            return Err(Errno::EXDEV);
        }
        self.here = root.clone();
        Ok(())
    }

    /// The name at `range` of what is now the path.
    pub(crate) fn name(&self, range: &Range<usize>) -> &[u8] {
        self.path.get(range.clone()).unwrap_or_default()
    }

    /// Whether slashes follow the last component: it must be a directory then.
    pub(crate) fn has_trailing_slash(&self) -> bool {
        self.path.last() == Some(&b'/')
    }

    /// Walks to the directory of the last component.
    pub(crate) fn parent(&mut self) -> SysResult<Last> {
        loop {
            let Some(range) = self.next_component() else { return Ok(Last::Here) };
            let is_last = self.path.get(self.position..).is_none_or(|rest| rest.iter().all(|&b| b == b'/'));
            if !is_last {
                self.step(range)?;
                continue;
            }
            self.check_search()?;
            return Ok(match self.name(&range) {
                b"." => Last::Dot,
                b".." => Last::DotDot,
                // Its length is the lookup's affair: rename(2) finds both directories first.
                _ => Last::Name(range),
            });
        }
    }

    fn next_component(&mut self) -> Option<Range<usize>> {
        let rest = self.path.get(self.position..)?;
        let begin = self.position + rest.iter().position(|&b| b != b'/')?;
        let rest = self.path.get(begin..)?;
        let end = begin + rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
        self.position = end;
        Some(begin..end)
    }

    /// Goes through one component that is not the last.
    fn step(&mut self, range: Range<usize>) -> SysResult<()> {
        self.check_search()?;
        match self.name(&range) {
            b"." => Ok(()),
            b".." => self.go_up(),
            name if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
            _ => {
                let dentry = self.here.dentry.lookup(self.name(&range), self.cx.who)?;
                if dentry.is_mountpoint() || dentry.kind() != FileKind::Directory {
                    return self.step_aside(dentry);
                }
                self.here.dentry = dentry;
                Ok(())
            }
        }
    }

    /// Goes through a component that is a symbolic link or has something mounted on it.
    fn step_aside(&mut self, dentry: Arc<Dentry>) -> SysResult<()> {
        let child = self.top_of(dentry)?;
        match child.dentry.kind() {
            FileKind::Symlink => self.follow(&child),
            FileKind::Directory => {
                self.here = child;
                Ok(())
            }
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The place reached must be a directory that the caller may search.
    fn check_search(&self) -> SysResult<()> {
        if self.here.dentry.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        permission::check_inode(&**self.here.inode(), self.cx.creds, Access::EXEC)
    }

    /// The entry of that name in the directory reached, with what is mounted on it.
    pub(crate) fn child(&self, range: &Range<usize>) -> SysResult<Path> {
        self.top_of(self.here.dentry.lookup(self.name(range), self.cx.who)?)
    }

    /// An entry of the directory reached, with what is mounted on it.
    fn top_of(&self, dentry: Arc<Dentry>) -> SysResult<Path> {
        let child = Path { mount: self.here.mount.clone(), dentry };
        if !child.dentry.is_mountpoint() {
            return Ok(child);
        }
        let top = child.top();
        if self.flags.contains(WalkFlags::NO_XDEV) && top.mount.id() != child.mount.id() {
            return Err(Errno::EXDEV);
        }
        Ok(top)
    }

    /// `..`: never above the root, and across mounts.
    pub(crate) fn go_up(&mut self) -> SysResult<()> {
        let at_start = self.here.is_same(self.start);
        if at_start && self.flags.contains(WalkFlags::BENEATH) {
            return Err(Errno::EXDEV);
        }
        if self.here.is_same(self.cx.root) || at_start && self.flags.contains(WalkFlags::IN_ROOT) {
            return Ok(());
        }
        let mut here = self.here.clone();
        while Arc::ptr_eq(&here.dentry, here.mount.root()) {
            let Some((mount, dentry)) = here.mount.place() else { return Ok(()) };
            if self.flags.contains(WalkFlags::NO_XDEV) {
                return Err(Errno::EXDEV);
            }
            here = Path { mount, dentry };
            if here.is_same(self.cx.root) {
                break;
            }
        }
        if let Some(parent) = here.dentry.parent()
            && !here.is_same(self.cx.root)
        {
            here = Path { mount: here.mount, dentry: parent }.top();
        }
        self.here = here;
        Ok(())
    }

    /// Goes where a symbolic link leads; the rest of the path follows its target.
    pub(crate) fn follow(&mut self, link: &Path) -> SysResult<()> {
        self.links += 1;
        if self.links > MAXSYMLINKS
            || self.flags.contains(WalkFlags::NO_SYMLINKS)
            || link.mount.flags().contains(MountFlags::NOSYMFOLLOW)
        {
            return Err(Errno::ELOOP);
        }
        let rest = self.path.get(self.position..).unwrap_or_default();
        match link.inode().read_link(self.cx.who)? {
            LinkTarget::Path(mut target) => {
                if target.is_empty() {
                    return Err(Errno::ENOENT);
                }
                target.extend_from_slice(rest);
                self.path = Cow::Owned(target);
                self.position = 0;
                self.go_to_root_if_absolute()
            }
            LinkTarget::Magic { to, .. } => {
                if self.flags.contains(WalkFlags::NO_MAGICLINKS) {
                    return Err(Errno::ELOOP);
                }
                if self.flags.intersects(WalkFlags::BENEATH | WalkFlags::IN_ROOT) {
                    return Err(Errno::EXDEV);
                }
                self.path = Cow::Owned(rest.to_vec());
                self.position = 0;
                let target = match to {
                    MagicTarget::Path(path) => path,
                    MagicTarget::File(file) => file.path.clone(),
                };
                if self.flags.contains(WalkFlags::NO_XDEV) && target.mount.id() != self.here.mount.id() {
                    return Err(Errno::EXDEV);
                }
                self.here = target;
                Ok(())
            }
        }
    }

    /// Walks to the end.
    pub(crate) fn finish(mut self) -> SysResult<Path> {
        loop {
            match self.parent()? {
                Last::Here | Last::Dot => break,
                Last::DotDot => {
                    self.go_up()?;
                    break;
                }
                Last::Name(range) => {
                    let child = self.child(&range)?;
                    let follow = !self.flags.contains(WalkFlags::NOFOLLOW) || self.has_trailing_slash();
                    if follow && child.dentry.kind() == FileKind::Symlink {
                        self.follow(&child)?;
                        continue;
                    }
                    self.here = child;
                    break;
                }
            }
        }
        let must_be_dir = self.has_trailing_slash() || self.flags.contains(WalkFlags::DIRECTORY);
        if must_be_dir && self.here.dentry.kind() != FileKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(self.here)
    }
}
