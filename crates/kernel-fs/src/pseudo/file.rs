//! Regular files with generated content.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Credentials;
use kernel_base::sync::Mutex;
use kernel_vfs::file::{FileOps, Io};
use kernel_vfs::inode::{FileKind, Inode, Metadata, SetAttributes};

use super::{Id, MAX_BYTES};

/// When a file's content is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refresh {
    /// By each read at offset 0: programs keep /proc/stat open and rewind it.
    AtStart,
    /// Once, by open(2): for content that a read could not take because of the locks it holds.
    AtOpen,
}

/// What a generated file holds.
pub(crate) trait Content: Send + Sync {
    /// A check at open(2), beyond the mode bits.
    fn check_open(&self, who: &dyn Caller) -> SysResult<()> {
        let _ = who;
        Ok(())
    }
    /// The whole content now.
    fn generate(&self, who: &dyn Caller) -> SysResult<Vec<u8>>;
    /// Takes one write(2), whole.
    fn store(&self, who: &dyn Caller, data: &[u8]) -> SysResult<()> {
        let _ = (who, data);
        Err(Errno::EPERM)
    }
    /// [`Content::generate`] for a file opened by `opener`, where that matters.
    fn generate_for(&self, who: &dyn Caller, opener: &Credentials) -> SysResult<Vec<u8>> {
        let _ = opener;
        self.generate(who)
    }
    /// [`Content::store`] at `offset` of a file opened by `opener`, where those matter.
    fn store_for(&self, who: &dyn Caller, opener: &Credentials, offset: u64, data: &[u8]) -> SysResult<()> {
        let _ = (opener, offset);
        self.store(who, data)
    }
    /// ioctl(2).
    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        let _ = (who, cmd, arg);
        Err(Errno::ENOTTY)
    }
    /// When `generate` is called.
    fn refresh(&self) -> Refresh {
        Refresh::AtStart
    }
}

impl<F> Content for F
where
    F: Fn(&dyn Caller) -> SysResult<Vec<u8>> + Send + Sync,
{
    fn generate(&self, who: &dyn Caller) -> SysResult<Vec<u8>> {
        self(who)
    }
}

/// The inode of a generated file.
pub(crate) struct PseudoFile {
    id: Id,
    content: Arc<dyn Content>,
}

impl PseudoFile {
    pub(crate) fn new(id: Id, content: Arc<dyn Content>) -> Arc<Self> {
        Arc::new(Self { id, content })
    }
}

impl Inode for PseudoFile {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(self.id.metadata(FileKind::Regular, 1))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn set_attributes(&self, change: &SetAttributes) -> SysResult<()> {
        ignore_all_but_owner(change)
    }
    fn open(&self, flags: OpenFlags, who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        // CAP_DAC_OVERRIDE does not make a file writable that takes no writes (proc_sys_permission).
        if flags.writable() && self.id.mode & 0o222 == 0 {
            return Err(Errno::EACCES);
        }
        self.content.check_open(who)?;
        let made = match self.content.refresh() {
            Refresh::AtStart => None,
            Refresh::AtOpen => Some(Arc::from(self.content.generate(who)?)),
        };
        let (content, opener) = (Arc::clone(&self.content), who.credentials());
        Ok(Arc::new(SeqFile { content, opener, made: Mutex::new(made) }))
    }
}

/// Mode, owner and group stay; O_TRUNC and utimensat(2) succeed without effect, as on Linux
/// (proc_notify_change, `echo > file`).
pub(crate) fn ignore_all_but_owner(change: &SetAttributes) -> SysResult<()> {
    let refused = change.mode.is_some() || change.uid.is_some() || change.gid.is_some();
    if refused { Err(Errno::EPERM) } else { Ok(()) }
}

/// An open generated file.
struct SeqFile {
    content: Arc<dyn Content>,
    opener: Arc<Credentials>,
    made: Mutex<Option<Arc<[u8]>>>,
}

impl FileOps for SeqFile {
    fn read(&self, io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        let kept = self.made.lock().clone();
        let text = match kept {
            Some(text) if io.offset > 0 || self.content.refresh() == Refresh::AtOpen => text,
            _ => {
                let text: Arc<[u8]> = Arc::from(self.content.generate_for(io.who, &self.opener)?);
                *self.made.lock() = Some(Arc::clone(&text));
                text
            }
        };
        let rest = usize::try_from(io.offset).ok().and_then(|at| text.get(at..)).unwrap_or_default();
        let len = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    fn write(&self, io: Io<'_>, buf: &[u8]) -> SysResult<(usize, u64)> {
        if buf.len() > MAX_BYTES {
            return Err(Errno::EINVAL);
        }
        self.content.store_for(io.who, &self.opener, io.offset, buf)?;
        Ok((buf.len(), io.offset.saturating_add(buf.len() as u64)))
    }

    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        self.content.ioctl(who, cmd, arg)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
