//! How credentials change: set*uid(2), set*gid(2), capset(2), and the capability options of prctl(2). (What exec
//! does is in `exec/credentials.rs`.)
//!
//! Pure rules on [`Credentials`]: each function takes the present ones and answers with the new ones, so
//! that a refusal changes nothing. Linux v6.12 kernel/sys.c and security/commoncap.c are the models.

use abi_linux::{Errno, SysResult};
use kernel_base::cred::{Cap, CapSet, Credentials};

/// An id argument that means "leave as it is".
pub const KEEP: u32 = u32::MAX;
/// Most supplementary groups (include/uapi/linux/limits.h NGROUPS_MAX).
pub const NGROUPS_MAX: usize = 65_536;

pub(crate) const SECBIT_NOROOT: u32 = 1;
const SECBIT_NO_SETUID_FIXUP: u32 = 1 << 2;
pub(crate) const SECBIT_KEEP_CAPS: u32 = 1 << 4;
const SECBIT_KEEP_CAPS_LOCKED: u32 = 1 << 5;
const SECBIT_NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;
/// Each setting's lock is the bit above it (include/uapi/linux/securebits.h).
const SECURE_ALL_BITS: u32 = 0x55;
const SECURE_ALL_LOCKS: u32 = SECURE_ALL_BITS << 1;

/// Capabilities that setfsuid(2) gives and takes (include/linux/capability.h CAP_FS_SET).
const FS_CAPS: CapSet = CapSet::EMPTY
    .with(Cap::CHOWN)
    .with(Cap::MKNOD)
    .with(Cap::DAC_OVERRIDE)
    .with(Cap::DAC_READ_SEARCH)
    .with(Cap::FOWNER)
    .with(Cap::FSETID)
    .with(Cap::MAC_OVERRIDE)
    .with(Cap::LINUX_IMMUTABLE);

pub(crate) const fn union(a: CapSet, b: CapSet) -> CapSet {
    CapSet(a.0 | b.0)
}

pub(crate) const fn common(a: CapSet, b: CapSet) -> CapSet {
    CapSet(a.0 & b.0)
}

pub(crate) const fn is_subset(small: CapSet, large: CapSet) -> bool {
    small.0 & !large.0 == 0
}

fn permit(allowed: bool) -> SysResult<()> {
    if allowed { Ok(()) } else { Err(Errno::EPERM) }
}

/// cap_emulate_setxuid: what a change between root and others does to the capability sets.
fn fix_capabilities(old: &Credentials, mut new: Credentials) -> Credentials {
    if old.securebits & SECBIT_NO_SETUID_FIXUP != 0 {
        return new;
    }
    let root = |id: u32| Some(id) == old.root_uid();
    let had_root = root(old.ruid) || root(old.euid) || root(old.suid);
    let has_root = root(new.ruid) || root(new.euid) || root(new.suid);
    if had_root && !has_root {
        if old.securebits & SECBIT_KEEP_CAPS == 0 {
            new.permitted = CapSet::EMPTY;
            new.effective = CapSet::EMPTY;
        }
        // Programs older than ambient capabilities expect that setresuid and exec drop everything.
        new.ambient = CapSet::EMPTY;
    }
    if root(old.euid) && !root(new.euid) {
        new.effective = CapSet::EMPTY;
    }
    if !root(old.euid) && root(new.euid) {
        new.effective = new.permitted;
    }
    new
}

/// setuid(2).
pub fn set_uid(old: &Credentials, uid: u32) -> SysResult<Credentials> {
    if uid == KEEP {
        return Err(Errno::EINVAL);
    }
    let mut new = old.clone();
    if old.has_own(Cap::SETUID) {
        (new.ruid, new.suid) = (uid, uid);
    } else {
        permit(uid == old.ruid || uid == old.suid)?;
    }
    (new.euid, new.fsuid) = (uid, uid);
    Ok(fix_capabilities(old, new))
}

/// setreuid(2).
pub fn set_reuid(old: &Credentials, ruid: u32, euid: u32) -> SysResult<Credentials> {
    let mut new = old.clone();
    if ruid != KEEP {
        permit(ruid == old.ruid || ruid == old.euid || old.has_own(Cap::SETUID))?;
        new.ruid = ruid;
    }
    if euid != KEEP {
        permit([old.ruid, old.euid, old.suid].contains(&euid) || old.has_own(Cap::SETUID))?;
        new.euid = euid;
    }
    if ruid != KEEP || (euid != KEEP && euid != old.ruid) {
        new.suid = new.euid;
    }
    new.fsuid = new.euid;
    Ok(fix_capabilities(old, new))
}

/// setresuid(2).
pub fn set_resuid(old: &Credentials, wanted: [u32; 3]) -> SysResult<Credentials> {
    let present = [old.ruid, old.euid, old.suid];
    permit(wanted.iter().all(|&id| id == KEEP || present.contains(&id)) || old.has_own(Cap::SETUID))?;
    let mut new = old.clone();
    let [ruid, euid, suid] = wanted;
    let keep = |id: u32, was: u32| if id == KEEP { was } else { id };
    (new.ruid, new.euid, new.suid) = (keep(ruid, old.ruid), keep(euid, old.euid), keep(suid, old.suid));
    if wanted != [KEEP; 3] {
        new.fsuid = new.euid;
    }
    Ok(fix_capabilities(old, new))
}

/// setfsuid(2): a refusal is no error.
#[must_use]
pub fn set_fsuid(old: &Credentials, uid: u32) -> Credentials {
    let mut new = old.clone();
    let allowed = [old.ruid, old.euid, old.suid, old.fsuid].contains(&uid) || old.has_own(Cap::SETUID);
    if uid == KEEP || !allowed {
        return new;
    }
    new.fsuid = uid;
    if old.securebits & SECBIT_NO_SETUID_FIXUP == 0 {
        let root = old.root_uid();
        if Some(old.fsuid) == root && Some(uid) != root {
            new.effective = CapSet(new.effective.0 & !FS_CAPS.0);
        }
        if Some(old.fsuid) != root && Some(uid) == root {
            new.effective = union(new.effective, common(FS_CAPS, new.permitted));
        }
    }
    new
}

/// setgid(2).
pub fn set_gid(old: &Credentials, gid: u32) -> SysResult<Credentials> {
    if gid == KEEP {
        return Err(Errno::EINVAL);
    }
    let mut new = old.clone();
    if old.has_own(Cap::SETGID) {
        (new.rgid, new.sgid) = (gid, gid);
    } else {
        permit(gid == old.rgid || gid == old.sgid)?;
    }
    (new.egid, new.fsgid) = (gid, gid);
    Ok(new)
}

/// setregid(2).
pub fn set_regid(old: &Credentials, rgid: u32, egid: u32) -> SysResult<Credentials> {
    let mut new = old.clone();
    if rgid != KEEP {
        permit(rgid == old.rgid || rgid == old.egid || old.has_own(Cap::SETGID))?;
        new.rgid = rgid;
    }
    if egid != KEEP {
        permit([old.rgid, old.egid, old.sgid].contains(&egid) || old.has_own(Cap::SETGID))?;
        new.egid = egid;
    }
    if rgid != KEEP || (egid != KEEP && egid != old.rgid) {
        new.sgid = new.egid;
    }
    new.fsgid = new.egid;
    Ok(new)
}

/// setresgid(2).
pub fn set_resgid(old: &Credentials, wanted: [u32; 3]) -> SysResult<Credentials> {
    let present = [old.rgid, old.egid, old.sgid];
    permit(wanted.iter().all(|&id| id == KEEP || present.contains(&id)) || old.has_own(Cap::SETGID))?;
    let mut new = old.clone();
    let [rgid, egid, sgid] = wanted;
    let keep = |id: u32, was: u32| if id == KEEP { was } else { id };
    (new.rgid, new.egid, new.sgid) = (keep(rgid, old.rgid), keep(egid, old.egid), keep(sgid, old.sgid));
    if wanted != [KEEP; 3] {
        new.fsgid = new.egid;
    }
    Ok(new)
}

/// setfsgid(2): a refusal is no error.
#[must_use]
pub fn set_fsgid(old: &Credentials, gid: u32) -> Credentials {
    let mut new = old.clone();
    if gid != KEEP && ([old.rgid, old.egid, old.sgid, old.fsgid].contains(&gid) || old.has_own(Cap::SETGID)) {
        new.fsgid = gid;
    }
    new
}

/// EPERM unless setgroups(2) is allowed.
pub fn check_set_groups(old: &Credentials) -> SysResult<()> {
    permit(old.has_own(Cap::SETGID) && old.user_ns.may_setgroups())
}

/// setgroups(2), after [`check_set_groups`]; the list is kept sorted, as Linux keeps it.
pub fn set_groups(old: &Credentials, mut groups: Vec<u32>) -> SysResult<Credentials> {
    if groups.len() > NGROUPS_MAX || groups.contains(&KEEP) {
        return Err(Errno::EINVAL);
    }
    groups.sort_unstable();
    let mut new = old.clone();
    new.groups = groups.into();
    Ok(new)
}

/// The three sets of capget(2) and capset(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreeSets {
    pub effective: CapSet,
    pub permitted: CapSet,
    pub inheritable: CapSet,
}

/// capset(2); security/commoncap.c cap_capset. Unknown capabilities are dropped.
pub fn set_capabilities(old: &Credentials, wanted: ThreeSets) -> SysResult<Credentials> {
    let known = |set: CapSet| common(set, CapSet::ALL);
    let (effective, permitted) = (known(wanted.effective), known(wanted.permitted));
    let inheritable = known(wanted.inheritable);
    let held = union(old.inheritable, old.permitted);
    permit(old.has_own(Cap::SETPCAP) || is_subset(inheritable, held))?;
    permit(is_subset(inheritable, union(old.inheritable, old.bounding)))?;
    permit(is_subset(permitted, old.permitted))?;
    permit(is_subset(effective, permitted))?;
    let mut new = old.clone();
    (new.effective, new.permitted, new.inheritable) = (effective, permitted, inheritable);
    new.ambient = common(old.ambient, common(permitted, inheritable));
    Ok(new)
}

/// A capability from a guest's number; EINVAL for one that does not exist.
pub fn capability(number: u64) -> SysResult<Cap> {
    let number = u8::try_from(number).ok().filter(|&n| n <= kernel_base::cred::CAP_LAST);
    number.map(Cap).ok_or(Errno::EINVAL)
}

/// prctl(PR_CAPBSET_DROP).
pub fn drop_bounding(old: &Credentials, number: u64) -> SysResult<Credentials> {
    permit(old.has_own(Cap::SETPCAP))?;
    let cap = capability(number)?;
    let mut new = old.clone();
    new.bounding = new.bounding.without(cap);
    Ok(new)
}

/// prctl(PR_SET_SECUREBITS).
pub fn set_securebits(old: &Credentials, bits: u64) -> SysResult<Credentials> {
    let bits = u32::try_from(bits).map_err(|_| Errno::EPERM)?;
    let locked = (old.securebits & SECURE_ALL_LOCKS) >> 1;
    permit(locked & (old.securebits ^ bits) == 0)?;
    permit(old.securebits & SECURE_ALL_LOCKS & !bits == 0)?;
    permit(bits & !(SECURE_ALL_BITS | SECURE_ALL_LOCKS) == 0)?;
    permit(old.has_own(Cap::SETPCAP))?;
    let mut new = old.clone();
    new.securebits = bits;
    Ok(new)
}

/// Whether prctl(PR_GET_KEEPCAPS) answers 1.
#[must_use]
pub fn keeps_caps(credentials: &Credentials) -> bool {
    credentials.securebits & SECBIT_KEEP_CAPS != 0
}

/// prctl(PR_SET_KEEPCAPS).
pub fn set_keep_caps(old: &Credentials, value: u64) -> SysResult<Credentials> {
    if value > 1 {
        return Err(Errno::EINVAL);
    }
    permit(old.securebits & SECBIT_KEEP_CAPS_LOCKED == 0)?;
    let mut new = old.clone();
    new.securebits &= !SECBIT_KEEP_CAPS;
    if value == 1 {
        new.securebits |= SECBIT_KEEP_CAPS;
    }
    Ok(new)
}

/// prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE).
pub fn raise_ambient(old: &Credentials, cap: Cap) -> SysResult<Credentials> {
    let may_rise = old.permitted.contains(cap) && old.inheritable.contains(cap);
    permit(may_rise && old.securebits & SECBIT_NO_CAP_AMBIENT_RAISE == 0)?;
    let mut new = old.clone();
    new.ambient = new.ambient.with(cap);
    Ok(new)
}

/// Whether `sender` may signal `target` by ids or CAP_KILL (kernel/signal.c kill_ok_by_cred).
#[must_use]
pub fn may_kill(sender: &Credentials, target: &Credentials) -> bool {
    let owns = |id: u32| id == target.ruid || id == target.suid;
    owns(sender.euid) || owns(sender.ruid) || sender.has_in(&target.user_ns, Cap::KILL)
}

#[cfg(test)]
#[path = "credentials_test.rs"]
mod tests;
