//! pivot_root(2).

use abi_linux::SysResult;
use kernel_base::user::UserCStr;
use kernel_vfs::path::Path;
use kernel_vfs::walk::WalkFlags;

use super::own_namespace;
use crate::cx::Cx;
use crate::path::at::{CWD, Target};

/// pivot_root(2): the new root for every process that had the old one (chroot_fs_refs).
pub(crate) fn sys_pivot_root(cx: &Cx, new_root: UserCStr, put_old: UserCStr) -> SysResult<()> {
    let namespace = own_namespace(cx)?;
    let new = Target::read(cx, CWD, new_root)?;
    let new = cx.with_walk(|walk| new.resolve(walk, WalkFlags::DIRECTORY))?;
    let old = Target::read(cx, CWD, put_old)?;
    let old = cx.with_walk(|walk| old.resolve(walk, WalkFlags::DIRECTORY))?;
    let root = cx.process.fs.get().root.clone();
    namespace.pivot_root(&root, &new, &old)?;
    let follow = |path: &Path| if path.is_same(&root) { new.clone() } else { path.clone() };
    for process in cx.kernel().processes() {
        let fs = process.fs.get();
        if fs.root.is_same(&root) || fs.cwd.is_same(&root) {
            let moved = process.fs.change(|fs| {
                let new = (follow(&fs.root), follow(&fs.cwd));
                (std::mem::replace(&mut fs.root, new.0), std::mem::replace(&mut fs.cwd, new.1))
            });
            drop(moved);
        }
    }
    Ok(())
}
