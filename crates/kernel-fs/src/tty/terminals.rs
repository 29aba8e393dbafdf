//! Who has which controlling terminal (credentials(7), tty_jobctrl.c), and all ptys of a container.
//!
//! A session's processes share its terminal here, but for those that gave it up with TIOCNOTTY. On Linux those
//! that were forked before the leader acquired it have none either.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;
use rustc_hash::FxHashMap;

use super::pty::{Pty, PtyMaster};

/// Most ptys at once (/proc/sys/kernel/pty/max).
const MAX_PTYS: usize = 4096;

/// How a terminal reaches processes when its input comes from no guest process: kernel-task implements it.
pub trait SessionSignals: Send + Sync {
    /// Raises a signal at every process of a group; a group that is gone is no error.
    fn signal_group(&self, pgid: i32, signal: Signal);
    /// Raises a signal at one process.
    fn signal_process(&self, pid: i32, signal: Signal);
    /// The session of a process group; `None` when there is no such group.
    fn session_of_group(&self, pgid: i32) -> Option<i32>;
}

/// What a session knows of its terminal.
enum Controlling {
    Terminal(Weak<Pty>),
    /// The terminal was hung up; its last foreground group gets a SIGHUP when the leader exits.
    HungUp {
        pgrp: i32,
    },
}

/// Ptys by their numbers.
#[derive(Default)]
struct Numbered {
    ptys: BTreeMap<u32, Arc<Pty>>,
    /// No free number lies below this one.
    first_free: u32,
}

/// All terminals of a container.
///
/// Lock order: `numbered`, `sessions` and a terminal's own lock are taken one at a time.
pub struct Terminals {
    me: Weak<Terminals>,
    signals: Arc<dyn SessionSignals>,
    numbered: Mutex<Numbered>,
    sessions: Mutex<FxHashMap<i32, Controlling>>,
}

impl Terminals {
    /// No terminals yet.
    #[must_use]
    pub fn new(signals: Arc<dyn SessionSignals>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            signals,
            numbered: Mutex::default(),
            sessions: Mutex::default(),
        })
    }

    /// A new pty with the lowest free number, locked until TIOCSPTLCK as Linux makes it. ENOSPC when there
    /// are too many. It lives until its master is dropped.
    pub fn open_master(&self) -> SysResult<PtyMaster> {
        let mut numbered = self.numbered.lock();
        if numbered.ptys.len() >= MAX_PTYS {
            return Err(Errno::ENOSPC);
        }
        let from = numbered.first_free;
        let used = numbered.ptys.range(from..).map(|(index, _)| *index);
        let index = from + (from..).zip(used).take_while(|(number, used)| number == used).count() as u32;
        let pty = Pty::new(index, Weak::clone(&self.me), Arc::clone(&self.signals));
        numbered.ptys.insert(index, Arc::clone(&pty));
        numbered.first_free = index + 1;
        Ok(PtyMaster::new(pty))
    }

    /// The pty with a number.
    #[must_use]
    pub fn pty(&self, index: u32) -> Option<Arc<Pty>> {
        self.numbered.lock().ptys.get(&index).map(Arc::clone)
    }

    /// Numbers of all ptys from `first` on.
    #[must_use]
    pub fn indices_from(&self, first: u32) -> Vec<u32> {
        self.numbered.lock().ptys.range(first..).map(|(index, _)| *index).collect()
    }

    /// The controlling terminal of a session: what /dev/tty opens.
    #[must_use]
    pub fn controlling(&self, sid: i32) -> Option<Arc<Pty>> {
        match self.sessions.lock().get(&sid)? {
            Controlling::Terminal(pty) => pty.upgrade(),
            Controlling::HungUp { .. } => None,
        }
    }

    /// A session leader has died (disassociate_ctty on exit): the foreground group gets a SIGHUP, and the
    /// terminal is free for another session.
    pub fn leader_exited(&self, sid: i32) {
        let known = self.sessions.lock().remove(&sid);
        match known {
            Some(Controlling::Terminal(pty)) => {
                let Some(pty) = pty.upgrade() else { return };
                if let Some(pgrp) = pty.release_session(sid) {
                    self.signals.signal_group(pgrp, Signal::SIGHUP);
                }
            }
            Some(Controlling::HungUp { pgrp }) => {
                self.signals.signal_group(pgrp, Signal::SIGHUP);
                self.signals.signal_group(pgrp, Signal::SIGCONT);
            }
            None => {}
        }
    }

    pub(super) fn acquire(&self, sid: i32, pty: &Arc<Pty>) {
        self.sessions.lock().insert(sid, Controlling::Terminal(Arc::downgrade(pty)));
    }

    pub(super) fn forget(&self, sid: i32) {
        self.sessions.lock().remove(&sid);
    }

    pub(super) fn hung_up(&self, sid: i32, pgrp: i32) {
        self.sessions.lock().insert(sid, Controlling::HungUp { pgrp });
    }

    pub(super) fn remove(&self, index: u32) {
        let mut numbered = self.numbered.lock();
        let removed = numbered.ptys.remove(&index);
        numbered.first_free = numbered.first_free.min(index);
        drop(numbered);
        drop(removed);
    }
}
