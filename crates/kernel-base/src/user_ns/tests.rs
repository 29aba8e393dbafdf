use super::{Extent, IdKind, IdMap, UserNamespace};
use crate::cred::{Cap, CapSet, Credentials};
use abi_linux::Errno;
use proptest::prelude::{any, prop, proptest};

fn root() -> Credentials {
    Credentials::new(0, 0, CapSet::ALL)
}

#[test]
fn lines_of_a_map_follow_linuxs_rules() {
    let one = Extent { first: 0, lower: 1000, count: 1 };
    for text in [&b"0 1000 1"[..], b"0 1000 1\n", b"  0\t1000   1 \n", b"0 1000 1\0junk"] {
        assert_eq!(IdMap::parse(text).map(|map| map.extents().to_vec()), Ok(vec![one]), "{text:?}");
    }
    for text in [
        &b""[..],
        b"\n",
        b"0 1000",
        b"0 1000 1 2",
        b"0 1000 0",
        b"4294967295 0 1",
        b"0 4294967295 1",
        b"1 0 4294967295",
        b"x 0 1",
        b"0 0 10\n5 20 1",
        b"0 0 10\n20 5 1",
        b"0 0 1\n\n",
    ] {
        assert_eq!(IdMap::parse(text), Err(Errno::EINVAL), "{text:?}");
    }
}

#[test]
fn an_ordinary_user_maps_only_himself() {
    let user = Credentials::new(1000, 1000, CapSet::EMPTY);
    let inside = UserNamespace::create(&user).unwrap();
    let ns = &inside.user_ns;
    assert_eq!((ns.show_uid(1000), inside.root_uid()), (65534, None));
    assert!(inside.has_own(Cap::SYS_ADMIN) && !inside.has(Cap::SYS_ADMIN));
    assert_eq!(ns.write_map(IdKind::User, b"0 0 1", &inside, &inside), Err(Errno::EPERM));
    assert_eq!(ns.write_map(IdKind::User, b"0 1000 2", &inside, &inside), Err(Errno::EPERM));
    ns.write_map(IdKind::User, b"0 1000 1", &inside, &inside).unwrap();
    assert_eq!(ns.write_map(IdKind::User, b"0 1000 1", &inside, &inside), Err(Errno::EPERM));
    assert_eq!((ns.show_uid(1000), ns.show_uid(0), inside.root_uid()), (0, 65534, Some(1000)));
    assert_eq!(ns.write_map(IdKind::Group, b"0 1000 1", &inside, &inside), Err(Errno::EPERM));
    ns.set_allows_setgroups(false).unwrap();
    ns.write_map(IdKind::Group, b"0 1000 1", &inside, &inside).unwrap();
    assert!(!ns.may_setgroups());
    assert_eq!(ns.set_allows_setgroups(true), Err(Errno::EPERM));
}

#[test]
fn capabilities_count_for_the_owner_and_below() {
    let user = Credentials::new(1000, 1000, CapSet::EMPTY);
    let outer = UserNamespace::create(&user).unwrap();
    outer.user_ns.write_map(IdKind::User, b"0 1000 1", &outer, &outer).unwrap();
    outer.user_ns.set_allows_setgroups(false).unwrap();
    outer.user_ns.write_map(IdKind::Group, b"0 1000 1", &outer, &outer).unwrap();
    let inner = UserNamespace::create(&outer).unwrap();
    assert!(outer.has_in(&inner.user_ns, Cap::SYS_ADMIN));
    assert!(!inner.has_in(&outer.user_ns, Cap::SYS_ADMIN));
    assert!(user.has_in(&outer.user_ns, Cap::SYS_ADMIN), "the owner, from outside");
    assert!(root().has_in(&inner.user_ns, Cap::SYS_ADMIN));
    let other = Credentials::new(1001, 1001, CapSet::EMPTY);
    assert!(!other.has_in(&outer.user_ns, Cap::SYS_ADMIN));
}

#[test]
fn nesting_is_bounded() {
    let mut creds = root();
    let mut depth = 0;
    let error = loop {
        match UserNamespace::create(&creds) {
            Ok(next) => creds = next,
            Err(error) => break error,
        }
        creds.user_ns.set_allows_setgroups(false).unwrap();
        for kind in [IdKind::User, IdKind::Group] {
            creds.user_ns.write_map(kind, b"0 0 1", &creds, &creds).unwrap();
        }
        depth += 1;
    };
    assert_eq!((depth, error), (33, Errno::ENOSPC));
}

proptest! {
    #[test]
    fn any_text_is_a_map_that_translates_both_ways_or_an_error(
        text in prop::collection::vec(any::<u8>(), 0..200),
        lines in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u32>()), 0..6),
        id in any::<u32>(),
    ) {
        let written: String = lines.iter().map(|(a, b, c)| format!("{a} {b} {c}\n")).collect();
        for text in [text.as_slice(), written.as_bytes()] {
            if let Ok(map) = IdMap::parse(text)
                && let Some(outside) = map.down(id)
            {
                assert_eq!(map.up(outside), Some(id));
            }
        }
    }
}
