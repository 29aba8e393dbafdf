//! What reading and writing a regular file means beside its bytes: seals, times, set-id bits.

use std::sync::atomic::Ordering;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;

use super::Shared;
use super::data::Data;
use super::inode::{Content, TmpInode};

/// Seals of memfd_create(2) (include/uapi/linux/fcntl.h).
pub(super) const F_SEAL_SEAL: u32 = 1;
const F_SEAL_SHRINK: u32 = 2;
const F_SEAL_GROW: u32 = 4;
const F_SEAL_WRITE: u32 = 8;
const F_SEAL_FUTURE_WRITE: u32 = 16;

impl TmpInode {
    /// Seals of memfd_create(2); EINVAL for what is no regular file.
    pub fn seals(&self) -> SysResult<u32> {
        match &self.content {
            Content::Regular { seals, .. } => Ok(seals.load(Ordering::Acquire)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Lets seals be added, for MFD_ALLOW_SEALING.
    pub fn allow_sealing(&self) {
        if let Content::Regular { seals, .. } = &self.content {
            seals.store(0, Ordering::Release);
        }
    }

    /// fcntl(F_ADD_SEALS).
    pub fn add_seals(&self, added: u32) -> SysResult<()> {
        let Content::Regular { seals, .. } = &self.content else { return Err(Errno::EINVAL) };
        if seals.load(Ordering::Acquire) & F_SEAL_SEAL != 0 {
            return Err(Errno::EPERM);
        }
        let new = added & !seals.load(Ordering::Acquire);
        if new & F_SEAL_WRITE != 0 {
            self.with_data(|data| data.seal_writing())?;
        }
        seals.fetch_or(added, Ordering::AcqRel);
        Ok(())
    }

    fn sealed(&self, seal: u32) -> bool {
        self.seals().is_ok_and(|seals| seals & seal != 0)
    }

    /// Reads and notes the access (relatime: when the old access is not after the last change).
    pub(super) fn read(&self, buf: &mut [u8], offset: u64, flags: OpenFlags) -> SysResult<usize> {
        let done = self.data()?.read().read(buf, offset)?;
        if !flags.contains(OpenFlags::NOATIME) {
            let mut attributes = self.attributes.lock();
            if attributes.atime <= attributes.mtime || attributes.atime <= attributes.ctime {
                attributes.atime = self.shared.now();
            }
        }
        Ok(done)
    }

    /// Writes at `offset`, or at the end with O_APPEND; how much, and the position after it.
    pub(super) fn write(&self, buf: &[u8], offset: u64, flags: OpenFlags) -> SysResult<(usize, u64)> {
        let mut data = self.data()?.write();
        let offset = if flags.contains(OpenFlags::APPEND) { data.size() } else { offset };
        if buf.is_empty() {
            return Ok((0, offset));
        }
        let grows = offset.saturating_add(buf.len() as u64) > data.size();
        if self.sealed(F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) || grows && self.sealed(F_SEAL_GROW) {
            return Err(Errno::EPERM);
        }
        let done = data.write(&self.shared, buf, offset)?;
        drop(data);
        self.touch_data();
        Ok((done, offset + done as u64))
    }

    /// Drops file capabilities after a write, and set-id bits if it was by somebody without CAP_FSETID
    /// (file_remove_privs).
    pub(super) fn drop_privilege(&self, who: &dyn Caller) {
        // Most files have none.
        let _ = self.xattrs.lock().remove(b"security.capability");
        let mut attributes = self.attributes.lock();
        let kept = kernel_vfs::permission::mode_without_privilege(attributes.mode);
        if kept != attributes.mode && !who.credentials().has(Cap::FSETID) {
            attributes.mode = kept;
        }
    }

    /// Notes a change of the bytes.
    fn touch_data(&self) {
        let now = self.shared.now();
        let mut attributes = self.attributes.lock();
        attributes.mtime = now;
        attributes.ctime = now;
    }

    pub(super) fn resize(&self, size: u64) -> SysResult<()> {
        let mut data = self.data()?.write();
        let forbidden = match size.cmp(&data.size()) {
            std::cmp::Ordering::Less => F_SEAL_SHRINK,
            std::cmp::Ordering::Equal => 0,
            std::cmp::Ordering::Greater => F_SEAL_GROW,
        };
        if self.sealed(forbidden) {
            return Err(Errno::EPERM);
        }
        data.set_size(&self.shared, size)?;
        drop(data);
        self.touch_data();
        Ok(())
    }

    /// EPERM when bytes must not be replaced by a hole.
    pub(super) fn check_punch(&self) -> SysResult<()> {
        if self.sealed(F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// EPERM when the file must not become `size` bytes long.
    pub(super) fn check_growth(&self, size: u64) -> SysResult<()> {
        let grows = self.sealed(F_SEAL_GROW) && size > self.data()?.read().size();
        if grows { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Runs `change` on the bytes of a file, and notes the change.
    pub(super) fn change_data(
        &self,
        change: impl FnOnce(&mut Data, &Shared) -> SysResult<()>,
    ) -> SysResult<()> {
        change(&mut self.data()?.write(), &self.shared)?;
        self.touch_data();
        Ok(())
    }

    pub(super) fn with_data<T>(&self, look: impl FnOnce(&mut Data) -> SysResult<T>) -> SysResult<T> {
        look(&mut self.data()?.write())
    }

    /// Whether a shared writable mapping is allowed.
    pub(super) fn check_mapping(&self) -> SysResult<()> {
        if self.sealed(F_SEAL_WRITE | F_SEAL_FUTURE_WRITE) { Err(Errno::EPERM) } else { Ok(()) }
    }
}
