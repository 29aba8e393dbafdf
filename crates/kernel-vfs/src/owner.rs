//! Whom an open file tells by a signal that it can be read or written (fcntl(2) F_SETOWN, O_ASYNC; struct fown_struct
//! of include/linux/fs.h, Linux v6.18).

use std::sync::Arc;

use kernel_base::wait::{Listener, WaitKey, WaitQueue};

use abi_linux::fs::Events;

/// Who is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recipient {
    #[default]
    Nobody,
    Thread(i32),
    Process(i32),
    Group(i32),
}

/// The owner of an open file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub recipient: Recipient,
    /// F_SETSIG: 0 is SIGIO without more to say.
    pub signal: i32,
    /// Real and effective user of who set the owner: whom they may signal is told.
    pub ruid: u32,
    pub euid: u32,
}

/// What a file keeps of it, from the first time that it matters.
#[derive(Default)]
pub(crate) struct Ownership {
    pub(crate) owner: Owner,
    /// The listener that tells, with O_ASYNC.
    key: Option<WaitKey>,
}

impl Ownership {
    /// Has `listener` told of `interest`, or nobody.
    pub(crate) fn listen(
        &mut self,
        queue: &WaitQueue,
        interest: Events,
        listener: Option<Arc<dyn Listener>>,
    ) {
        self.forget(queue);
        self.key = listener.map(|listener| queue.add_listener(interest, listener));
    }

    pub(crate) fn forget(&mut self, queue: &WaitQueue) {
        if let Some(key) = self.key.take() {
            queue.remove(key);
        }
    }
}
