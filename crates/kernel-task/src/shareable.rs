//! What processes may have in common: descriptors, directories, signal actions (CLONE_FILES, CLONE_FS, CLONE_SIGHAND
//! without CLONE_THREAD).
//!
//! Nearly all have their own, and pay a branch for the rest. The outer lock is taken before the inner one.

use std::sync::Arc;

use kernel_base::sync::RwLock;

enum Holder<T> {
    Own(T),
    Common(Arc<RwLock<T>>),
}

/// A part of a process that it has alone, or together with other processes.
pub struct Shareable<T>(RwLock<Holder<T>>);

impl<T: Default> Default for Shareable<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Shareable<T> {
    /// Nobody else's.
    pub fn new(own: T) -> Self {
        Self(RwLock::new(Holder::Own(own)))
    }

    /// Looks at it.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        match &*self.0.read() {
            Holder::Own(own) => look(own),
            Holder::Common(common) => look(&common.read()),
        }
    }

    /// Changes it.
    pub fn write<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        match &mut *self.0.write() {
            Holder::Own(own) => change(own),
            Holder::Common(common) => change(&mut common.write()),
        }
    }

    /// The same once more, for another process. `take` takes it out of where it is dropped.
    #[must_use]
    pub fn share(&self, take: impl FnOnce(&mut T) -> T) -> Self {
        let mut holder = self.0.write();
        let common = match &mut *holder {
            Holder::Common(common) => Arc::clone(common),
            Holder::Own(own) => {
                let common = Arc::new(RwLock::new(take(own)));
                *holder = Holder::Common(Arc::clone(&common));
                common
            }
        };
        Self(RwLock::new(Holder::Common(common)))
    }

    /// Whether another process has it, too.
    pub fn is_shared(&self) -> bool {
        match &*self.0.read() {
            Holder::Own(_) => false,
            Holder::Common(common) => Arc::strong_count(common) > 1,
        }
    }

    /// Whether both are one.
    pub fn is_same(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }

    /// Tells apart what is not the same.
    pub fn identity(&self) -> usize {
        match &*self.0.read() {
            Holder::Own(_) => std::ptr::from_ref(self).addr(),
            Holder::Common(common) => Arc::as_ptr(common).addr(),
        }
    }

    /// Leaves it to the others and goes on with what `part` makes of it; keeps it when there are no others.
    pub fn part(&self, part: impl FnOnce(&T) -> T) {
        let mut holder = self.0.write();
        let Holder::Common(common) = &*holder else { return };
        if Arc::strong_count(common) == 1 {
            return;
        }
        let own = Holder::Own(part(&common.read()));
        let Holder::Common(left) = std::mem::replace(&mut *holder, own) else { return };
        // The others may have left it meanwhile: exactly one is the last.
        if let Some(last) = Arc::into_inner(left) {
            let unused = std::mem::replace(&mut *holder, Holder::Own(last.into_inner()));
            drop(holder);
            drop(unused);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shareable;

    #[test]
    fn what_is_shared_changes_for_both_until_one_parts() {
        let first = Shareable::new(1);
        assert!(!first.is_shared());
        let second = first.share(|own| *own);
        assert!(first.is_shared() && first.is_same(&second));
        second.write(|value| *value = 2);
        assert_eq!(first.read(|value| *value), 2);
        second.part(|value| *value + 10);
        assert_eq!((first.read(|value| *value), second.read(|value| *value)), (2, 12));
        assert!(!first.is_shared() && !first.is_same(&second));
        // The last one keeps it.
        first.part(|_| unreachable!());
        assert_eq!(first.read(|value| *value), 2);
    }

    #[test]
    fn last_holder_is_told() {
        let first = Shareable::new(1);
        let second = first.share(|own| *own);
        drop(first);
        assert!(!second.is_shared());
    }
}
