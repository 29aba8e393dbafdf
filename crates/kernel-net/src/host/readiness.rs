//! What is known of a host socket without asking the host.
//!
//! The platform tells of each event once (edge-triggered). What it has told holds until somebody tries, and who was given
//! less than there was room for, or EAGAIN, has taken all: so a wait asks the host only of what is neither known to
//! be there nor known to be gone.
//!
//! An event may be told after somebody has taken what it was about. Looks at the host are numbered; a try that ended
//! after a look had begun makes what that look saw uncertain.
//!
//! Lock order: `Readiness.state` is a leaf.

use abi_linux::fs::Events;
use kernel_base::sync::Mutex;
use kernel_base::wait::WaitQueue;
use platform_api::ReadyListener;

pub(super) const READABLE: Events = Events::IN.union(Events::RDNORM);
pub(super) const WRITABLE: Events = Events::OUT.union(Events::WRNORM);
/// What ends every wait.
pub(super) const ALWAYS: Events = Events::ERR.union(Events::HUP);
/// Told once, these stay, or change without being told: from then on the host is asked.
const ODD: Events = ALWAYS.union(Events::RDHUP).union(Events::PRI);

/// What an attempt has left for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The next would be given EAGAIN, unless something has come since.
    Nothing,
    Perhaps,
}

#[derive(Default)]
struct State {
    /// An attempt may succeed.
    may_be: Events,
    /// Of these, what was told since the last attempt.
    is: Events,
    is_odd: bool,
    /// Looks that had begun when the last attempt ended.
    looks: u64,
}

/// What is known of one socket, once it is watched.
#[derive(Default)]
pub(super) struct Readiness {
    state: Mutex<State>,
    pub(super) queue: WaitQueue,
}

impl Readiness {
    /// Somebody tries what needs `of`.
    pub(super) fn begin(&self, of: Events) {
        let mut state = self.state.lock();
        state.may_be.remove(of);
        state.is.remove(of);
    }

    /// He has tried, when `looks` had begun.
    pub(super) fn end(&self, of: Events, left: Left, looks: u64) {
        let mut state = self.state.lock();
        state.looks = looks;
        state.is.remove(of);
        if left == Left::Perhaps || state.is_odd {
            state.may_be.insert(of);
        }
    }

    /// It becomes another kind of socket: one that connects, or listens.
    pub(super) fn begin_anew(&self) {
        let mut state = self.state.lock();
        state.may_be.remove(WRITABLE | ALWAYS);
        state.is = Events::empty();
        state.is_odd = false;
    }

    /// What counts as readable has changed (SO_RCVLOWAT).
    pub(super) fn doubt(&self) {
        let mut state = self.state.lock();
        state.may_be.insert(READABLE);
        state.is.remove(READABLE);
    }

    /// Whether an attempt after EAGAIN may succeed.
    pub(super) fn may_be(&self, interest: Events) -> bool {
        self.state.lock().may_be.intersects(interest | ALWAYS)
    }

    /// What it is ready for, if that is known.
    pub(super) fn known(&self, interest: Events) -> Option<Events> {
        let state = self.state.lock();
        let ready = state.may_be & (interest | ALWAYS);
        (!state.is_odd && state.is.contains(ready)).then_some(ready)
    }
}

impl ReadyListener for Readiness {
    fn ready(&self, told: Events, look: u64) {
        let mut events = told;
        if events.contains(Events::IN) {
            events |= READABLE;
        }
        if events.contains(Events::OUT) {
            events |= WRITABLE;
        }
        let mut state = self.state.lock();
        state.may_be.insert(events);
        state.is_odd |= events.intersects(ODD);
        if state.looks < look {
            state.is.insert(events);
        }
        drop(state);
        self.queue.wake(events);
    }
}

#[cfg(test)]
mod tests {
    use super::{Left, READABLE, Readiness, WRITABLE};
    use abi_linux::fs::Events;
    use platform_api::ReadyListener;

    #[test]
    fn what_was_told_holds_until_it_is_taken() {
        let socket = Readiness::default();
        assert_eq!(socket.known(Events::IN), Some(Events::empty()));
        socket.ready(Events::IN | Events::OUT, 1);
        assert_eq!(socket.known(Events::IN), Some(Events::IN));
        socket.begin(READABLE);
        socket.end(READABLE, Left::Nothing, 1);
        assert_eq!(socket.known(Events::IN), Some(Events::empty()));
        assert!(socket.may_be(Events::OUT) && !socket.may_be(Events::IN));
        socket.ready(Events::IN, 2);
        assert_eq!(socket.known(Events::IN), Some(Events::IN));
        socket.begin(READABLE);
        socket.end(READABLE, Left::Perhaps, 2);
        assert_eq!(socket.known(Events::IN), None, "the host is asked");
        assert_eq!(socket.known(Events::OUT), Some(Events::OUT));
    }

    #[test]
    fn what_is_told_late_is_not_certain() {
        let socket = Readiness::default();
        socket.begin(READABLE);
        socket.end(READABLE, Left::Nothing, 7);
        socket.ready(Events::IN, 7);
        assert_eq!(socket.known(Events::IN), None);
        assert!(socket.may_be(Events::IN));
    }

    #[test]
    fn who_has_hung_up_is_asked_of_the_host() {
        let socket = Readiness::default();
        socket.ready(Events::HUP, 1);
        assert_eq!(socket.known(Events::IN), None);
        socket.begin_anew();
        socket.ready(Events::OUT, 2);
        assert_eq!(socket.known(Events::OUT), Some(Events::OUT));
        socket.begin(WRITABLE);
        socket.ready(Events::RDHUP | Events::IN, 3);
        socket.end(READABLE, Left::Nothing, 3);
        assert!(socket.may_be(Events::IN), "the end is still to be read");
    }
}
