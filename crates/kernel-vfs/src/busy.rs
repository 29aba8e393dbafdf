//! ETXTBSY: a file that is being executed is not opened for writing, and one that is open for writing is not
//! executed (i_writecount, include/linux/fs.h, Linux v6.18).
//!
//! The count belongs to a dentry, so that another hard link of a running program can be written. Files without
//! a directory (memfd) take no part, as on Linux.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use abi_linux::{Errno, SysResult};

use crate::dentry::Dentry;
use crate::path::Path;

/// Above zero: so many opened it for writing; below: so many processes execute it.
#[derive(Default)]
pub(crate) struct WriteCount(AtomicI32);

impl WriteCount {
    fn change(&self, step: i32) -> SysResult<()> {
        let next = |now: i32| (now.signum() * step >= 0).then(|| now.saturating_add(step));
        let changed = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        changed.map(|_| ()).map_err(|_| Errno::ETXTBSY)
    }
}

/// Keeps a file from being executed while it is open for writing (get_write_access).
pub(crate) struct Writing(Arc<Dentry>);

impl Writing {
    pub(crate) fn begin(place: &Path) -> SysResult<Self> {
        place.dentry.writers().change(1)?;
        Ok(Self(Arc::clone(&place.dentry)))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.writers().0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Keeps a file from being written while it is executed (deny_write_access).
pub struct Execution(Arc<Dentry>);

impl Execution {
    /// ETXTBSY while somebody has it open for writing.
    pub fn begin(place: &Path) -> SysResult<Self> {
        place.dentry.writers().change(-1)?;
        Ok(Self(Arc::clone(&place.dentry)))
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.0.writers().0.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::WriteCount;
    use abi_linux::Errno;

    #[test]
    fn writers_and_executions_exclude_each_other() {
        let count = WriteCount::default();
        assert_eq!(
            (count.change(1), count.change(1), count.change(-1)),
            (Ok(()), Ok(()), Err(Errno::ETXTBSY))
        );
        let count = WriteCount::default();
        assert_eq!(
            (count.change(-1), count.change(-1), count.change(1)),
            (Ok(()), Ok(()), Err(Errno::ETXTBSY))
        );
    }
}
