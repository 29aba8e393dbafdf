//! What exec makes of credentials: set-id bits, file capabilities, root's rules (capabilities(7)); Linux v6.18
//! fs/exec.c:bprm_fill_uid, security/commoncap.c:cap_bprm_creds_from_file.

use abi_linux::fs::{S_ISGID, S_ISUID};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::{CapSet, Credentials};
use kernel_vfs::inode::{Inode, Metadata};

use crate::credentials::{SECBIT_KEEP_CAPS, SECBIT_NOROOT, common, is_subset, union};

/// The attribute that holds a file's capabilities (include/uapi/linux/xattr.h).
const XATTR_NAME_CAPS: &[u8] = b"security.capability";

const REVISION_MASK: u32 = 0xff00_0000;
const REVISION_1: u32 = 0x0100_0000;
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const FLAG_EFFECTIVE: u32 = 1;

/// `struct vfs_ns_cap_data`, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileCapabilities {
    permitted: CapSet,
    inheritable: CapSet,
    /// The program does not know of capabilities: all that it gets is effective.
    effective: bool,
    /// In whose user namespaces they count: where this id is root.
    root: u32,
}

impl FileCapabilities {
    /// EINVAL for what is none (get_vfs_caps_from_disk).
    pub(crate) fn parse(value: &[u8]) -> SysResult<Self> {
        let (words, rest) = value.as_chunks::<4>();
        let word = |at: usize| words.get(at).map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let magic = word(0);
        let (len, halves) = match magic & REVISION_MASK {
            REVISION_1 => (3, 1),
            REVISION_2 => (5, 2),
            REVISION_3 => (6, 2),
            _ => return Err(Errno::EINVAL),
        };
        if words.len() != len || !rest.is_empty() {
            return Err(Errno::EINVAL);
        }
        let set = |first: usize| {
            let high = if halves == 2 { u64::from(word(first + 2)) << 32 } else { 0 };
            CapSet((u64::from(word(first)) | high) & CapSet::ALL.0)
        };
        let root = if len == 6 { word(5) } else { 0 };
        let effective = magic & FLAG_EFFECTIVE != 0;
        Ok(Self { permitted: set(1), inheritable: set(2), effective, root })
    }

    /// Whether they count for `who` (rootid_owns_currentns).
    fn count_for(&self, who: &Credentials) -> bool {
        self.root == 0 || Some(self.root) == who.root_uid()
    }
}

/// What an executable gives to the process that it starts in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gifts {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) capabilities: Option<FileCapabilities>,
}

impl Gifts {
    /// Those of a file, on a mount that honours them.
    pub(super) fn of(inode: &dyn Inode, meta: &Metadata) -> SysResult<Self> {
        // Without the group's execute bit S_ISGID means mandatory locking.
        let sets_gid = meta.mode & (S_ISGID | 0o010) == (S_ISGID | 0o010);
        let capabilities = match inode.get_xattr(XATTR_NAME_CAPS) {
            Ok(value) => Some(FileCapabilities::parse(&value)?),
            Err(_) => None,
        };
        Ok(Self {
            uid: (meta.mode & S_ISUID != 0).then_some(meta.uid),
            gid: sets_gid.then_some(meta.gid),
            capabilities,
        })
    }
}

/// Credentials after exec, and AT_SECURE. EPERM when a program that does not know of capabilities would not get
/// all that its file says.
pub(crate) fn after_exec(old: &Credentials, file: &Gifts) -> SysResult<(Credentials, bool)> {
    let mut new = old.clone();
    if !old.no_new_privs {
        new.euid = file.uid.unwrap_or(old.euid);
        new.egid = file.gid.unwrap_or(old.egid);
    }
    let root = |id: u32| Some(id) == old.root_uid();
    let (mut permitted, mut effective) = (CapSet::EMPTY, false);
    let capabilities = file.capabilities.filter(|capabilities| capabilities.count_for(old));
    if let Some(file) = capabilities {
        permitted = union(common(old.bounding, file.permitted), common(old.inheritable, file.inheritable));
        effective = file.effective;
        if effective && !is_subset(file.permitted, permitted) {
            return Err(Errno::EPERM);
        }
    }
    // A set-user-ID-root file that has capabilities, too, gives only these.
    let is_suid_root = root(new.euid) && !root(new.ruid);
    if old.securebits & SECBIT_NOROOT == 0 && !(capabilities.is_some() && is_suid_root) {
        if root(new.euid) || root(new.ruid) {
            permitted = union(old.bounding, old.inheritable);
        }
        effective |= root(new.euid);
    }
    let is_setid = new.euid != old.ruid || new.egid != old.rgid;
    if old.no_new_privs && !is_subset(permitted, old.permitted) {
        permitted = common(permitted, old.permitted);
    }
    (new.suid, new.fsuid) = (new.euid, new.euid);
    (new.sgid, new.fsgid) = (new.egid, new.egid);
    if is_setid || capabilities.is_some() {
        new.ambient = CapSet::EMPTY;
    }
    new.permitted = union(permitted, new.ambient);
    new.effective = if effective { new.permitted } else { new.ambient };
    new.securebits &= !SECBIT_KEEP_CAPS;
    let gained = !is_subset(new.permitted, new.ambient);
    let secure = is_setid || (!root(new.ruid) && (effective || gained));
    Ok((new, secure))
}

#[cfg(test)]
mod tests {
    use abi_linux::Errno;
    use kernel_base::cred::{Cap, CapSet, Credentials};
    use proptest::prelude::*;

    use super::{FileCapabilities, Gifts, after_exec};

    fn root() -> Credentials {
        Credentials::new(0, 0, CapSet::ALL)
    }

    fn user(uid: u32) -> Credentials {
        Credentials::new(uid, uid, CapSet::ALL)
    }

    fn with_capabilities(permitted: CapSet, effective: bool) -> Gifts {
        let capabilities = FileCapabilities { permitted, inheritable: CapSet::EMPTY, effective, root: 0 };
        Gifts { capabilities: Some(capabilities), ..Gifts::default() }
    }

    #[test]
    fn exec_of_setuid_root_gives_bounding_set_unless_no_new_privs() {
        let file = Gifts { uid: Some(0), ..Gifts::default() };
        let (new, secure) = after_exec(&user(9), &file).unwrap();
        assert!(secure && new.euid == 0 && new.suid == 0 && new.ruid == 9);
        assert_eq!(new.effective, CapSet::ALL);
        let mut bound = user(9);
        bound.no_new_privs = true;
        let (new, secure) = after_exec(&bound, &file).unwrap();
        assert!(!secure);
        assert_eq!((new.euid, new.effective), (9, CapSet::EMPTY));
    }

    #[test]
    fn exec_under_no_new_privs_does_not_bring_back_dropped_capabilities() {
        let mut creds = root();
        creds.no_new_privs = true;
        creds.permitted = CapSet::EMPTY.with(Cap::KILL);
        creds.effective = creds.permitted;
        assert_eq!(after_exec(&creds, &Gifts::default()).unwrap().0.permitted, creds.permitted);
        creds.no_new_privs = false;
        assert_eq!(after_exec(&creds, &Gifts::default()).unwrap().0.permitted, CapSet::ALL);
    }

    #[test]
    fn plain_exec_of_a_user_is_not_secure() {
        let (new, secure) = after_exec(&user(9), &Gifts::default()).unwrap();
        assert_eq!(new, user(9));
        assert!(!secure);
        assert!(!after_exec(&root(), &Gifts::default()).unwrap().1);
    }

    #[test]
    fn file_capabilities_are_cut_by_the_bounding_set() {
        let file = with_capabilities(CapSet::EMPTY.with(Cap::CHOWN).with(Cap::KILL), false);
        let mut creds = user(9);
        creds.bounding = CapSet::EMPTY.with(Cap::KILL);
        let (new, secure) = after_exec(&creds, &file).unwrap();
        assert!(secure);
        assert_eq!((new.permitted, new.effective), (creds.bounding, CapSet::EMPTY));
        let file = with_capabilities(CapSet::EMPTY.with(Cap::CHOWN), true);
        assert_eq!(after_exec(&creds, &file), Err(Errno::EPERM));
    }

    #[test]
    fn file_capabilities_of_another_namespace_do_not_count() {
        let mut file = with_capabilities(CapSet::ALL, true);
        file.capabilities.as_mut().unwrap().root = 1000;
        assert_eq!(after_exec(&user(9), &file).unwrap(), (user(9), false));
    }

    proptest! {
        #[test]
        fn any_value_parses_or_is_refused(value in prop::collection::vec(any::<u8>(), 0..40)) {
            match FileCapabilities::parse(&value) {
                Ok(parsed) => prop_assert_eq!(parsed.permitted.0 & !CapSet::ALL.0, 0),
                Err(errno) => prop_assert_eq!(errno, Errno::EINVAL),
            }
        }

        /// Without root's rules nobody gains what neither the file nor the ambient set gives.
        #[test]
        fn nothing_comes_from_nowhere(bounding: u64, inheritable: u64, permitted: u64, no_new_privs: bool) {
            let mut creds = user(9);
            creds.bounding = CapSet(bounding);
            creds.inheritable = CapSet(inheritable);
            creds.no_new_privs = no_new_privs;
            let file = with_capabilities(CapSet(permitted), false);
            let (new, _) = after_exec(&creds, &file).unwrap();
            let may = if no_new_privs { 0 } else { bounding & permitted };
            prop_assert_eq!(new.permitted.0, may);
        }
    }
}
