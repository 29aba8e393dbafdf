//! Extended attributes in memory.

use std::collections::BTreeMap;

use abi_linux::{Errno, SysResult};

/// Most bytes of names and values on one inode.
const MAX_BYTES: usize = 128 << 10;
const XATTR_CREATE: u32 = 1;
const XATTR_REPLACE: u32 = 2;

/// The attributes of one inode.
#[derive(Default)]
pub(super) struct Xattrs {
    values: BTreeMap<Box<[u8]>, Box<[u8]>>,
    bytes: usize,
}

impl Xattrs {
    pub(super) fn get(&self, name: &[u8]) -> SysResult<Vec<u8>> {
        self.values.get(name).map(|value| value.to_vec()).ok_or(Errno::ENODATA)
    }

    pub(super) fn set(&mut self, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        // POSIX ACLs would have to be enforced, so there are none.
        if name.starts_with(b"system.") {
            return Err(Errno::EOPNOTSUPP);
        }
        let old = self.values.get(name).map(|old| name.len() + old.len());
        match (old, flags) {
            (Some(_), XATTR_CREATE) => return Err(Errno::EEXIST),
            (None, XATTR_REPLACE) => return Err(Errno::ENODATA),
            _ => {}
        }
        let bytes = self.bytes - old.unwrap_or(0) + name.len() + value.len();
        if bytes > MAX_BYTES {
            return Err(Errno::ENOSPC);
        }
        self.bytes = bytes;
        self.values.insert(Box::from(name), Box::from(value));
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> SysResult<()> {
        let value = self.values.remove(name).ok_or(Errno::ENODATA)?;
        self.bytes -= name.len() + value.len();
        Ok(())
    }

    pub(super) fn list(&self) -> Vec<u8> {
        self.values.keys().flat_map(|name| name.iter().copied().chain([0])).collect()
    }
}
