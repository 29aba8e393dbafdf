//! Extended attributes in memory.

use std::collections::BTreeMap;

use abi_linux::{Errno, SysResult};

/// Most bytes of names and values on one inode.
const MAX_BYTES: usize = 128 << 10;
const XATTR_CREATE: u32 = 1;
const XATTR_REPLACE: u32 = 2;

/// The attributes of one inode.
#[derive(Default)]
pub(super) struct Xattrs {
    values: BTreeMap<Box<[u8]>, Box<[u8]>>,
    bytes: usize,
}

impl Xattrs {
    pub(super) fn get(&self, name: &[u8]) -> SysResult<Vec<u8>> {
        self.values.get(name).map(|value| value.to_vec()).ok_or(Errno::ENODATA)
    }

    pub(super) fn set(&mut self, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        // POSIX ACLs would have to be enforced, so there are none.
        if name.starts_with(b"system.") {
            return Err(Errno::EOPNOTSUPP);
        }
        let old = self.values.get(name).map(|old| name.len() + old.len());
        match (old, flags) {
            (Some(_), XATTR_CREATE) => return Err(Errno::EEXIST),
            (None, XATTR_REPLACE) => return Err(Errno::ENODATA),
            _ => {}
        }
        let bytes = self.bytes - old.unwrap_or(0) + name.len() + value.len();
        if bytes > MAX_BYTES {
            return Err(Errno::ENOSPC);
        }
        self.bytes = bytes;
        self.values.insert(Box::from(name), Box::from(value));
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> SysResult<()> {
        let value = self.values.remove(name).ok_or(Errno::ENODATA)?;
        self.bytes -= name.len() + value.len();
        Ok(())
    }

    pub(super) fn list(&self) -> Vec<u8> {
        self.values.keys().flat_map(|name| name.iter().copied().chain([0])).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use abi_linux::Errno;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::{Just, Strategy};

    use super::{MAX_BYTES, XATTR_CREATE, XATTR_REPLACE, Xattrs};

    #[derive(Clone, Debug)]
    enum Step {
        Set(Vec<u8>, usize, u32),
        Remove(Vec<u8>),
    }

    fn name() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![Just(b"user.a".to_vec()), Just(b"system.x".to_vec()), prop::collection::vec(1u8.., 1..4)]
    }

    fn step() -> impl Strategy<Value = Step> {
        let set = (name(), prop_oneof![0usize..10, Just(65536)], 0u32..3);
        prop_oneof![
            set.prop_map(|(name, len, flags)| Step::Set(name, len, flags)),
            name().prop_map(Step::Remove),
        ]
    }

    proptest! {
        /// Against a map, with the budget of an inode.
        #[test]
        fn any_names_and_values_stay_within_the_budget(steps in prop::collection::vec(step(), 0..40)) {
            let (mut xattrs, mut model) = (Xattrs::default(), BTreeMap::<Vec<u8>, Vec<u8>>::new());
            for step in steps {
                match step {
                    Step::Set(name, len, flags) => {
                        let known = model.contains_key(&name);
                        let done = xattrs.set(&name, &vec![7; len], flags);
                        match done {
                            Ok(()) => {
                                prop_assert!(!name.starts_with(b"system."));
                                prop_assert!(!(known && flags == XATTR_CREATE));
                                prop_assert!(known || flags != XATTR_REPLACE);
                                model.insert(name, vec![7; len]);
                            }
                            Err(Errno::EEXIST) => prop_assert!(known && flags == XATTR_CREATE),
                            Err(Errno::ENODATA) => prop_assert!(!known && flags == XATTR_REPLACE),
                            Err(Errno::ENOSPC) => prop_assert!(len > 0),
                            Err(errno) => prop_assert_eq!(errno, Errno::EOPNOTSUPP),
                        }
                    }
                    Step::Remove(name) => {
                        prop_assert_eq!(xattrs.remove(&name).is_ok(), model.remove(&name).is_some());
                    }
                }
                let bytes: usize = model.iter().map(|(name, value)| name.len() + value.len()).sum();
                prop_assert!(bytes == xattrs.bytes && bytes <= MAX_BYTES);
                for (name, value) in &model {
                    prop_assert!(xattrs.get(name).is_ok_and(|got| got == *value));
                }
                let listed: Vec<_> = model.keys().flat_map(|name| [name.as_slice(), &[0]].concat()).collect();
                prop_assert_eq!(xattrs.list(), listed);
            }
        }

        #[test]
        fn unknown_names_are_not_there(name in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Xattrs::default().get(&name), Err(Errno::ENODATA));
        }
    }
}
