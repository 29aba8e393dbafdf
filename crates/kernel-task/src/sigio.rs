//! Signals of open files with O_ASYNC (fcntl(2) F_SETOWN; fs/fcntl.c kill_fasync and send_sigio, Linux v6.18).

use std::sync::{Arc, Weak};

use abi_linux::fs::Events;
use abi_linux::signal::Signal;
use kernel_base::wait::Listener;
use kernel_vfs::file::File;
use kernel_vfs::owner::{Owner, Recipient};
use platform_api::{SignalInfo, SignalTarget};

use crate::kernel::Kernel;
use crate::process::Process;

/// `si_code`, the only one that a process may send: Linux's own says POLL_IN and its like.
const SI_SIGIO: i32 = -5;

/// Tells the owner of a file.
struct FileSignals {
    kernel: Weak<Kernel>,
    file: Weak<File>,
    /// The descriptor by which the file was asked to (si_fd).
    fd: i32,
}

impl Kernel {
    /// Has the owner of `file` told by a signal from now on (O_ASYNC), or nobody.
    pub fn signal_owner(self: &Arc<Self>, file: &Arc<File>, fd: i32, is_on: bool) {
        let listener = || FileSignals { kernel: Arc::downgrade(self), file: Arc::downgrade(file), fd };
        file.set_async(is_on.then(|| Arc::new(listener()) as Arc<dyn Listener>));
    }

    /// send_sigio to one process, or its thread `tid`.
    fn send_sigio(
        self: &Arc<Self>,
        process: &Arc<Process>,
        tid: Option<i32>,
        owner: Owner,
        fd: i32,
        band: Events,
    ) {
        let its = process.credentials();
        let owns = |id: u32| id == its.ruid || id == its.suid;
        if owner.euid != 0 && !owns(owner.euid) && !owns(owner.ruid) {
            return;
        }
        let tgid = process.tgid;
        let thread = tid.and_then(|tid| self.thread_of(process, tid).ok());
        let target = match thread {
            Some(thread) => SignalTarget::Thread { tgid, tid: thread.tid },
            None => SignalTarget::Process(tgid),
        };
        let sent = match Signal::new(owner.signal) {
            Some(signal) => {
                let info = SignalInfo::Poll { code: SI_SIGIO, band: i64::from(band.bits()), fd };
                self.platform.queue_signal(target, signal, info)
            }
            None => self.platform.send_signal(target, Signal::SIGIO),
        };
        if sent.is_ok() {
            self.check_signals(process);
        }
    }
}

impl Listener for FileSignals {
    fn notify(&self, events: Events) {
        let (Some(kernel), Some(file)) = (self.kernel.upgrade(), self.file.upgrade()) else { return };
        let owner = file.owner();
        let band = events & (Events::IN | Events::OUT | Events::PRI | Events::HUP | Events::ERR);
        let tell = |process: &Arc<Process>, tid| kernel.send_sigio(process, tid, owner, self.fd, band);
        match owner.recipient {
            Recipient::Nobody => {}
            Recipient::Process(pid) => kernel.process(pid).iter().for_each(|process| tell(process, None)),
            Recipient::Group(pgid) => kernel.group(pgid).iter().for_each(|process| tell(process, None)),
            Recipient::Thread(tid) => {
                if let Some(task) = kernel.task_by_guest_tid(tid) {
                    tell(&task.process, Some(tid));
                }
            }
        }
    }
}
