//! Extended attributes: xattr(7); Linux v6.18 fs/xattr.c.

use abi_linux::fs::{S_IFDIR, S_IFMT, S_IFREG, S_ISVTX};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;

use crate::notify::{self, Happened};
use crate::path::Path;
use crate::permission::{self, Access};
use crate::walk::WalkContext;

/// The attribute that holds a file's capabilities.
pub(crate) const XATTR_NAME_CAPS: &[u8] = b"security.capability";
/// Longest name of an attribute (include/uapi/linux/limits.h).
pub const XATTR_NAME_MAX: usize = 255;
/// Longest value.
pub const XATTR_SIZE_MAX: usize = 65536;

impl WalkContext<'_> {
    /// getxattr(2) at a place.
    pub fn get_xattr(&self, path: &Path, name: &[u8]) -> SysResult<Vec<u8>> {
        self.check_xattr(path, name, Access::READ)?;
        path.inode().get_xattr(name)
    }

    /// setxattr(2) at a place.
    pub fn set_xattr(&self, path: &Path, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        if flags > 2 {
            return Err(Errno::EINVAL);
        }
        if value.len() > XATTR_SIZE_MAX {
            return Err(Errno::E2BIG);
        }
        path.mount.check_writable()?;
        self.check_xattr(path, name, Access::WRITE)?;
        if name == XATTR_NAME_CAPS && !value.is_empty() {
            check_file_capabilities(value)?;
        }
        path.inode().set_xattr(name, value, flags)?;
        notify::at(path, Happened::ATTRIB);
        Ok(())
    }

    /// listxattr(2) at a place; names of trusted.* only for those who may read them.
    pub fn list_xattr(&self, path: &Path) -> SysResult<Vec<u8>> {
        let all = path.inode().list_xattr()?;
        if self.creds.has(Cap::SYS_ADMIN) {
            return Ok(all);
        }
        let kept = all.split_inclusive(|&b| b == 0).filter(|name| !name.starts_with(b"trusted."));
        Ok(kept.flatten().copied().collect())
    }

    /// removexattr(2) at a place.
    pub fn remove_xattr(&self, path: &Path, name: &[u8]) -> SysResult<()> {
        path.mount.check_writable()?;
        self.check_xattr(path, name, Access::WRITE)?;
        path.inode().remove_xattr(name)?;
        notify::at(path, Happened::ATTRIB);
        Ok(())
    }

    /// Which names exist for whom (xattr_permission).
    fn check_xattr(&self, path: &Path, name: &[u8], want: Access) -> SysResult<()> {
        if name.is_empty() || name.len() > XATTR_NAME_MAX {
            return Err(Errno::ERANGE);
        }
        let writing = want.contains(Access::WRITE);
        let meta = path.inode().metadata()?;
        if name.starts_with(b"trusted.") {
            if !self.creds.has(Cap::SYS_ADMIN) {
                return Err(if writing { Errno::EPERM } else { Errno::ENODATA });
            }
            return Ok(());
        }
        if name.starts_with(b"security.") {
            let allowed = !writing
                || self.creds.has(Cap::SYS_ADMIN)
                || name == b"security.capability" && self.creds.has(Cap::SETFCAP);
            return if allowed { Ok(()) } else { Err(Errno::EPERM) };
        }
        if name.starts_with(b"system.") {
            return if writing && !permission::is_owner(&meta, self.creds) {
                Err(Errno::EPERM)
            } else {
                Ok(())
            };
        }
        if !name.starts_with(b"user.") {
            return Err(Errno::EOPNOTSUPP);
        }
        let kind = meta.mode & S_IFMT;
        if kind != S_IFREG && kind != S_IFDIR {
            return Err(if writing { Errno::EPERM } else { Errno::ENODATA });
        }
        if writing && kind == S_IFDIR && meta.mode & S_ISVTX != 0 && !permission::is_owner(&meta, self.creds)
        {
            return Err(Errno::EPERM);
        }
        permission::check(&meta, self.creds, want)
    }
}

/// EINVAL for what is no version 2 or 3 of `struct vfs_cap_data` (security/commoncap.c:cap_convert_nscap).
fn check_file_capabilities(value: &[u8]) -> SysResult<()> {
    let version = value.get(3).copied();
    if matches!((version, value.len()), (Some(2), 20) | (Some(3), 24)) { Ok(()) } else { Err(Errno::EINVAL) }
}
