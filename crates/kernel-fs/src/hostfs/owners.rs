//! Other owners than the host's: a mount whose ids are mapped (mount_setattr(2), MOUNT_ATTR_IDMAP).

use abi_linux::{Errno, SysResult};
use kernel_base::user_ns::{INVALID_ID, IdMap};
use kernel_vfs::inode::Metadata;

/// Maps whose inside ids are the files' on the host, and whose outside ids are those that the container's kernel has.
#[derive(Debug)]
pub struct Owners {
    pub users: IdMap,
    pub groups: IdMap,
}

impl Owners {
    /// With owners as the guest's kernel has them: nobody's where a map says nothing.
    pub(super) fn shown(&self, metadata: Metadata) -> Metadata {
        let uid = self.users.down(metadata.uid).unwrap_or(INVALID_ID);
        let gid = self.groups.down(metadata.gid).unwrap_or(INVALID_ID);
        Metadata { uid, gid, ..metadata }
    }

    /// The host's ids; EOVERFLOW for an owner whom the files cannot have (fs/attr.c notify_change, fs/namei.c may_create).
    pub(super) fn on_host(
        &self,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> SysResult<(Option<u32>, Option<u32>)> {
        let id = |map: &IdMap, id: Option<u32>| id.map(|id| map.up(id).ok_or(Errno::EOVERFLOW)).transpose();
        Ok((id(&self.users, uid)?, id(&self.groups, gid)?))
    }
}
