//! cwd, root and exe, which lead to the very place; and net.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_vfs::inode::{Inode, LinkTarget, MagicTarget};
use kernel_vfs::path::Path;

use super::{Subject, Target};
use crate::pseudo::Id;

fn magic(target: &Target, who: &dyn Caller, to: Path) -> SysResult<LinkTarget> {
    let text = to.display(&target.proc.root_of(who)?);
    Ok(LinkTarget::Magic { to: MagicTarget::Path(to), text })
}

pub(super) fn cwd(target: &Target, who: &dyn Caller) -> SysResult<LinkTarget> {
    let cwd = target.process.fs.get().cwd.clone();
    magic(target, who, cwd)
}

pub(super) fn root(target: &Target, who: &dyn Caller) -> SysResult<LinkTarget> {
    let root = target.process.fs.get().root.clone();
    magic(target, who, root)
}

pub(super) fn exe(target: &Target, who: &dyn Caller) -> SysResult<LinkTarget> {
    let exe = target.process.image.read().exe.clone();
    magic(target, who, exe.ok_or(Errno::ENOENT)?)
}

/// The one network namespace.
pub(super) fn net(subject: &Subject, _id: Id, _parent: u64) -> SysResult<Arc<dyn Inode>> {
    subject.proc.net.get().cloned().ok_or(Errno::ENOENT)
}
