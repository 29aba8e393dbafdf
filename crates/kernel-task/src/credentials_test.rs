use abi_linux::Errno;
use kernel_base::cred::{Cap, CapSet, Credentials};

use crate::exec::{Gifts, after_exec};

use super::{
    KEEP, ThreeSets, may_kill, raise_ambient, set_capabilities, set_fsuid, set_groups, set_keep_caps,
    set_resuid, set_reuid, set_securebits, set_uid,
};

fn root() -> Credentials {
    Credentials::new(0, 0, CapSet::ALL)
}

fn user(uid: u32) -> Credentials {
    Credentials::new(uid, uid, CapSet::ALL)
}

#[test]
fn setuid_of_root_sets_all_ids_and_drops_capabilities() {
    let new = set_uid(&root(), 1000).unwrap();
    assert_eq!((new.ruid, new.euid, new.suid, new.fsuid), (1000, 1000, 1000, 1000));
    assert_eq!((new.permitted, new.effective), (CapSet::EMPTY, CapSet::EMPTY));
    assert_eq!(set_uid(&new, 0), Err(Errno::EPERM));
    assert_eq!(set_uid(&new, KEEP), Err(Errno::EINVAL));
}

#[test]
fn seteuid_keeps_permitted_and_comes_back() {
    let lowered = set_resuid(&root(), [KEEP, 1000, KEEP]).unwrap();
    assert_eq!((lowered.effective, lowered.permitted), (CapSet::EMPTY, CapSet::ALL));
    let back = set_resuid(&lowered, [KEEP, 0, KEEP]).unwrap();
    assert_eq!(back.effective, CapSet::ALL);
}

#[test]
fn keepcaps_survives_setuid_but_not_exec() {
    let kept = set_keep_caps(&root(), 1).unwrap();
    let new = set_uid(&kept, 5).unwrap();
    assert_eq!((new.permitted, new.effective), (CapSet::ALL, CapSet::EMPTY));
    let (after, _) = after_exec(&new, &Gifts::default()).unwrap();
    assert_eq!((after.permitted, after.securebits), (CapSet::EMPTY, 0));
}

#[test]
fn setreuid_swaps_and_sets_saved_id() {
    let mut creds = user(10);
    creds.euid = 20;
    creds.suid = 20;
    let swapped = set_reuid(&creds, 20, 10).unwrap();
    assert_eq!((swapped.ruid, swapped.euid, swapped.suid), (20, 10, 10));
    assert_eq!(set_reuid(&user(10), 11, KEEP), Err(Errno::EPERM));
}

#[test]
fn setfsuid_moves_file_capabilities_only() {
    let new = set_fsuid(&root(), 7);
    assert!(!new.has(Cap::DAC_OVERRIDE) && new.has(Cap::SYS_ADMIN));
    assert_eq!(set_fsuid(&new, 0).effective, CapSet::ALL);
    assert_eq!(set_fsuid(&user(3), 4), user(3));
}

#[test]
fn groups_are_sorted_and_checked() {
    let new = set_groups(&root(), vec![5, 1, 3]).unwrap();
    assert_eq!(&*new.groups, [1, 3, 5]);
    assert_eq!(set_groups(&root(), vec![KEEP]), Err(Errno::EINVAL));
}

#[test]
fn capset_never_gains() {
    let less = ThreeSets { permitted: CapSet::EMPTY.with(Cap::KILL), ..ThreeSets::default() };
    let new = set_capabilities(&root(), less).unwrap();
    assert_eq!(new.effective, CapSet::EMPTY);
    let more = ThreeSets { permitted: CapSet::ALL, ..ThreeSets::default() };
    assert_eq!(set_capabilities(&new, more), Err(Errno::EPERM));
    let effective = ThreeSets { effective: CapSet::ALL, permitted: CapSet::EMPTY, ..ThreeSets::default() };
    assert_eq!(set_capabilities(&root(), effective), Err(Errno::EPERM));
}

#[test]
fn ambient_needs_permitted_and_inheritable() {
    assert_eq!(raise_ambient(&root(), Cap::KILL), Err(Errno::EPERM));
    let mut creds = root();
    creds.inheritable = CapSet::EMPTY.with(Cap::KILL);
    let raised = raise_ambient(&creds, Cap::KILL).unwrap();
    assert!(raised.ambient.contains(Cap::KILL));
}

#[test]
fn locked_securebits_stay() {
    let locked = set_securebits(&root(), 3).unwrap();
    assert_eq!(set_securebits(&locked, 2), Err(Errno::EPERM));
    assert_eq!(set_securebits(&locked, 1), Err(Errno::EPERM));
    assert_eq!(set_securebits(&root(), 1 << 20), Err(Errno::EPERM));
}

#[test]
fn kill_looks_at_real_and_saved_ids() {
    assert!(may_kill(&user(3), &user(3)));
    assert!(!may_kill(&user(3), &user(4)));
    assert!(may_kill(&root(), &user(4)));
    let mut target = user(4);
    target.euid = 3;
    assert!(!may_kill(&user(3), &target));
    target.suid = 3;
    assert!(may_kill(&user(3), &target));
}
