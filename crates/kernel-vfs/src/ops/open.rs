//! open(2), openat2(2), O_TMPFILE, and opening a place anew (/proc/pid/fd).

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::{OpenFlags, S_ISVTX};
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;

use crate::busy::Writing;
use crate::file::{DirEntry, File, FileOps, Io, Opening};
use crate::inode::{FileKind, NewContent};
use crate::mount::MountFlags;
use crate::notify::{self, Happened};
use crate::path::Path;
use crate::permission::{self, Access};
use crate::walk::{Last, WalkContext, WalkFlags, Walker};

/// Whether a file was there before open(2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Existing,
    Created,
}

impl WalkContext<'_> {
    /// open(2), openat(2), openat2(2). `walk` holds openat2's RESOLVE_ flags. A fifo's [`FileOps`] may be
    /// waiting for the other side: see [`FileOps::is_open_complete`].
    pub fn open(
        &self,
        at: Option<&Path>,
        path: &[u8],
        flags: OpenFlags,
        mode: u32,
        walk: WalkFlags,
    ) -> SysResult<Arc<File>> {
        let flags = normalise(flags)?;
        if flags.contains(OpenFlags::TMPFILE) {
            return self.open_unnamed(at, path, flags, mode, walk);
        }
        let (place, origin) = self.find_or_create(at, path, flags, mode, walk)?;
        self.open_found(place, flags, origin)
    }

    /// EINVAL for flags that open(2) refuses before it looks at the path.
    pub fn check_open_flags(flags: OpenFlags) -> SysResult<()> {
        normalise(flags).map(drop)
    }

    /// Opens a place that is known: /proc/pid/fd/N, and what a magic link leads to.
    pub fn open_place(&self, place: Path, flags: OpenFlags) -> SysResult<Arc<File>> {
        self.open_found(place, normalise(flags)?, Origin::Existing)
    }

    fn find_or_create(
        &self,
        at: Option<&Path>,
        path: &[u8],
        flags: OpenFlags,
        mode: u32,
        walk: WalkFlags,
    ) -> SysResult<(Path, Origin)> {
        let create = flags.contains(OpenFlags::CREAT);
        let exclusive = create && flags.contains(OpenFlags::EXCL);
        let nofollow = flags.contains(OpenFlags::NOFOLLOW) || exclusive;
        if !create {
            let mut walk = walk;
            walk.set(WalkFlags::NOFOLLOW, nofollow);
            walk.set(WalkFlags::DIRECTORY, flags.contains(OpenFlags::DIRECTORY));
            return Ok((self.resolve(at, path, walk)?, Origin::Existing));
        }
        let mut walker = Walker::new(self, at, path, walk)?;
        loop {
            let range = match walker.parent()? {
                Last::Name(range) => range,
                Last::DotDot => {
                    walker.go_up()?;
                    return existing(walker.here, flags);
                }
                Last::Dot | Last::Here => return existing(walker.here, flags),
            };
            if walker.has_trailing_slash() {
                return Err(Errno::EISDIR);
            }
            match walker.child(&range) {
                Ok(child) if child.inode().kind() == FileKind::Symlink && !nofollow => {
                    walker.follow(&child)?
                }
                Ok(child) => return existing(child, flags),
                Err(Errno::ENOENT) => {
                    let name = walker.name(&range).to_vec();
                    match self.create_file(&walker.here, &name, mode) {
                        // Another thread was faster: take its file, unless O_EXCL.
                        Err(Errno::EEXIST) if !exclusive => {}
                        done => return done.map(|place| (place, Origin::Created)),
                    }
                    let child = walker.child(&range)?;
                    if child.inode().kind() != FileKind::Symlink || nofollow {
                        return existing(child, flags);
                    }
                    walker.follow(&child)?;
                }
                Err(other) => return Err(other),
            }
        }
    }

    fn create_file(&self, dir: &Path, name: &[u8], mode: u32) -> SysResult<Path> {
        let held = dir.dentry.lock();
        match dir.dentry.lookup_locked(&held, name, self.who) {
            Ok(_) => return Err(Errno::EEXIST),
            Err(Errno::ENOENT) => {}
            Err(other) => return Err(other),
        }
        let mode = mode & 0o7777 & !self.umask;
        let dentry = self.create_locked(dir, name, NewContent::Regular, mode)?;
        Ok(Path { mount: Arc::clone(&dir.mount), dentry })
    }

    fn open_unnamed(
        &self,
        at: Option<&Path>,
        path: &[u8],
        flags: OpenFlags,
        mode: u32,
        walk: WalkFlags,
    ) -> SysResult<Arc<File>> {
        let dir = self.resolve(at, path, walk | WalkFlags::DIRECTORY)?;
        dir.mount.check_writable()?;
        self.check_directory_write(&dir)?;
        let node =
            self.new_node(&dir.inode().lasting_metadata()?, NewContent::Regular, mode & 0o7777 & !self.umask);
        let inode = dir.inode().create_unnamed(&node)?;
        let text = format!("#{}", inode.metadata()?.ino);
        let dentry = dir.dentry.unnamed_child(inode, text.as_bytes());
        let place = Path { mount: dir.mount, dentry };
        self.open_found(place, flags.difference(OpenFlags::TMPFILE), Origin::Created)
    }

    fn open_found(&self, place: Path, flags: OpenFlags, origin: Origin) -> SysResult<Arc<File>> {
        let inode = Arc::clone(place.inode());
        if flags.contains(OpenFlags::PATH) {
            return Ok(File::new(place, inode, Arc::new(PathOnly), flags));
        }
        if origin == Origin::Existing {
            self.check_open(&place, flags)?;
        }
        let is_regular = inode.kind() == FileKind::Regular;
        if flags.contains(OpenFlags::DIRECT) && !is_regular {
            // What has no pages of a cache cannot be read past them (do_dentry_open).
            return Err(Errno::EINVAL);
        }
        let truncates = flags.contains(OpenFlags::TRUNC) && is_regular;
        let writes = is_regular && flags.writable() || truncates;
        let writing = writes.then(|| Writing::begin(&place)).transpose()?;
        let ops = inode.open(flags, self.who)?;
        let opening = Opening { created: origin == Origin::Created, writing };
        let file = File::opened(place, inode, ops, flags, opening);
        notify::at(&file.path, Happened::OPEN);
        if truncates && origin == Origin::Existing {
            self.set_size(&file.path, 0)?;
        }
        Ok(file)
    }

    /// may_open of Linux.
    fn check_open(&self, place: &Path, flags: OpenFlags) -> SysResult<()> {
        let mut want = match flags.bits() & 3 {
            0 => Access::READ,
            1 => Access::WRITE,
            _ => Access::READ | Access::WRITE,
        };
        want.set(Access::WRITE, want.contains(Access::WRITE) || flags.contains(OpenFlags::TRUNC));
        let mount_flags = place.mount.flags();
        match place.inode().kind() {
            FileKind::Symlink => return Err(Errno::ELOOP),
            FileKind::Directory if want.contains(Access::WRITE) => return Err(Errno::EISDIR),
            // Nobody makes a device by mounting a filesystem of his own (SB_I_NODEV).
            FileKind::CharDevice | FileKind::BlockDevice
                if mount_flags.contains(MountFlags::NODEV) || !place.dentry.owner_ns().is_initial() =>
            {
                return Err(Errno::EACCES);
            }
            _ => {}
        }
        self.check_access(place, want)?;
        if flags.contains(OpenFlags::NOATIME)
            && !permission::is_owner(&place.inode().lasting_metadata()?, self.creds)
        {
            return Err(Errno::EPERM);
        }
        self.check_protected(place, flags)
    }

    /// fs.protected_regular = 1 and fs.protected_fifos = 1: O_CREAT in a sticky directory that everybody
    /// may write does not open somebody else's file (Linux v6.18 may_create_in_sticky).
    fn check_protected(&self, place: &Path, flags: OpenFlags) -> SysResult<()> {
        if !flags.contains(OpenFlags::CREAT) {
            return Ok(());
        }
        let Some(dir) = place.dentry.parent() else { return Ok(()) };
        let (dir, file) = (dir.inode().lasting_metadata()?, place.inode().lasting_metadata()?);
        let guarded = matches!(place.inode().kind(), FileKind::Regular | FileKind::Fifo);
        let foreign = file.uid != dir.uid && file.uid != self.creds.fsuid;
        if guarded && foreign && dir.mode & S_ISVTX != 0 && dir.mode & 0o002 != 0 {
            return Err(Errno::EACCES);
        }
        Ok(())
    }
}

/// What O_CREAT says of a file that is there.
fn existing(place: Path, flags: OpenFlags) -> SysResult<(Path, Origin)> {
    if flags.contains(OpenFlags::EXCL) {
        return Err(Errno::EEXIST);
    }
    if place.inode().kind() == FileKind::Directory {
        return Err(Errno::EISDIR);
    }
    Ok((place, Origin::Existing))
}

/// Refuses what open(2) refuses and drops what has no meaning (Linux v6.18 fs/open.c build_open_flags).
fn normalise(flags: OpenFlags) -> SysResult<OpenFlags> {
    let path_flags = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC;
    if flags.contains(OpenFlags::PATH) {
        return Ok(flags & path_flags);
    }
    let tmpfile_bit = OpenFlags::TMPFILE.difference(OpenFlags::DIRECTORY);
    if flags.intersects(tmpfile_bit) {
        let well_formed = flags.contains(OpenFlags::DIRECTORY)
            && !flags.contains(OpenFlags::CREAT)
            && flags.asks_to_write();
        return if well_formed { Ok(flags) } else { Err(Errno::EINVAL) };
    }
    if flags.contains(OpenFlags::CREAT | OpenFlags::DIRECTORY) {
        return Err(Errno::EINVAL);
    }
    Ok(flags)
}

/// What an O_PATH file can do: nothing (open(2)). Its flags make most calls answer EBADF by themselves.
struct PathOnly;

impl FileOps for PathOnly {
    fn read(&self, _io: Io<'_>, _buf: &mut [u8]) -> SysResult<usize> {
        Err(Errno::EBADF)
    }
    fn write(&self, _io: Io<'_>, _buf: &[u8]) -> SysResult<(usize, u64)> {
        Err(Errno::EBADF)
    }
    fn ioctl(&self, _who: &dyn Caller, _cmd: u32, _arg: u64) -> SysResult<i64> {
        Err(Errno::EBADF)
    }
    fn read_dir(
        &self,
        _who: &dyn Caller,
        _position: u64,
        _emit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> SysResult<()> {
        Err(Errno::EBADF)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
