//! Sessions, job control, both sides' ends: what the host comparison can't see.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::raw::ioctl::{
    TCGETS, TCSETS, TIOCGPGRP, TIOCGPTN, TIOCGSID, TIOCNOTTY, TIOCPKT, TIOCSCTTY, TIOCSPGRP, TIOCSPTLCK,
    TIOCSTI, TIOCSWINSZ,
};
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;
use kernel_base::wait::Listener;
use kernel_vfs::file::FileOps;

use super::termios::{TOSTOP, Termios, WindowSize};
use super::{MasterFile, Operation, PtyMaster, SessionSignals, SlaveFile, Terminals, job_control_blocks};
use crate::io_test::FakeCaller;

pub(super) struct NoSignals;

impl SessionSignals for NoSignals {
    fn signal_group(&self, _pgid: i32, _signal: Signal) {}
    fn signal_process(&self, _pid: i32, _signal: Signal) {}
    fn session_of_group(&self, _pgid: i32) -> Option<i32> {
        None
    }
}

/// Records signals; groups 10 to 19 are of session 10, others don't exist.
#[derive(Default)]
struct Recorder {
    raised: Mutex<Vec<(i32, Signal)>>,
}

impl SessionSignals for Recorder {
    fn signal_group(&self, pgid: i32, signal: Signal) {
        self.raised.lock().push((-pgid, signal));
    }
    fn signal_process(&self, pid: i32, signal: Signal) {
        self.raised.lock().push((pid, signal));
    }
    fn session_of_group(&self, pgid: i32) -> Option<i32> {
        match pgid {
            10..20 => Some(10),
            20 => Some(20),
            _ => None,
        }
    }
}

/// Counts what it is told.
struct Count(Mutex<u32>);

impl Listener for Count {
    fn notify(&self, _events: Events) {
        *self.0.lock() += 1;
    }
}

/// An unlocked pty that outlives its registry.
pub(super) fn ours(signals: Arc<dyn SessionSignals>) -> PtyMaster {
    let master = Terminals::new(signals).open_master().unwrap();
    master.unlock();
    master
}

struct Bed {
    signals: Arc<Recorder>,
    terminals: Arc<Terminals>,
    master: Option<PtyMaster>,
    slave: Arc<SlaveFile>,
    leader: FakeCaller,
}

/// A terminal that session 10 controls.
fn bed() -> Bed {
    let signals = Arc::new(Recorder::default());
    let terminals = Terminals::new(Arc::<Recorder>::clone(&signals));
    let master = terminals.open_master().unwrap();
    master.unlock();
    let leader = FakeCaller::new();
    let slave = master.pty().open_slave(OpenFlags::RDWR, &leader).unwrap();
    Bed { signals, terminals, master: Some(master), slave, leader }
}

impl Bed {
    fn master(&self) -> &PtyMaster {
        self.master.as_ref().unwrap()
    }
    fn raised(&self) -> Vec<(i32, Signal)> {
        std::mem::take(&mut *self.signals.raised.lock())
    }
    /// A member of session 10 in the background group 11.
    fn background(&self) -> FakeCaller {
        FakeCaller::with_ids(11, 11, 10)
    }
}

fn int_ioctl(file: &dyn FileOps, who: &FakeCaller, cmd: u32, value: i32) -> SysResult<i64> {
    who.platform.memory.lock()[..4].copy_from_slice(&value.to_ne_bytes());
    file.ioctl(who, cmd, 0)
}

#[test]
fn opening_gives_a_leader_its_terminal() {
    let bed = bed();
    assert_eq!(bed.terminals.controlling(10).map(|pty| pty.index()), Some(0));
    assert_eq!(bed.slave.ioctl(&bed.leader, TIOCGSID, 0), Ok(0));
    assert_eq!(bed.leader.word_at_zero(), 10);
    let stranger = FakeCaller::with_ids(20, 20, 20);
    let again = bed.master().pty().open_slave(OpenFlags::RDWR, &stranger).unwrap();
    assert!(bed.terminals.controlling(20).is_none());
    assert_eq!(again.ioctl(&stranger, TIOCGPGRP, 0), Err(Errno::ENOTTY));
    assert_eq!(again.ioctl(&stranger, TIOCSCTTY, 0), Err(Errno::EPERM));
}

#[test]
fn foreground_group_is_of_the_session() {
    let bed = bed();
    assert_eq!(int_ioctl(&*bed.slave, &bed.leader, TIOCSPGRP, 12), Ok(0));
    assert_eq!(bed.master().foreground_group(), 12);
    bed.leader.pgid.store(12, Ordering::SeqCst);
    assert_eq!(int_ioctl(&*bed.slave, &bed.leader, TIOCSPGRP, -1), Err(Errno::EINVAL));
    assert_eq!(int_ioctl(&*bed.slave, &bed.leader, TIOCSPGRP, 99), Err(Errno::ESRCH));
    assert_eq!(int_ioctl(&*bed.slave, &bed.leader, TIOCSPGRP, 20), Err(Errno::EPERM));
}

#[test]
fn typed_signals_go_to_the_foreground_group() {
    let bed = bed();
    bed.master().input(b"\x03\x1a\x1c");
    let expected = [Signal::SIGINT, Signal::SIGTSTP, Signal::SIGQUIT].map(|signal| (-10, signal));
    assert_eq!(bed.raised(), expected);
}

#[test]
fn background_read_stops_the_group() {
    let bed = bed();
    let who = bed.background();
    bed.master().input(b"line\n");
    let mut buf = [0; 9];
    assert_eq!(bed.slave.read(who.io(), &mut buf), Err(Errno::EAGAIN));
    assert_eq!(*who.raised.lock(), [(-11, Signal::SIGTTIN)]);
    assert!(job_control_blocks(&*bed.slave, &who, Operation::Read));
    assert!(!job_control_blocks(&*bed.slave, &bed.leader, Operation::Read));
    who.ignores_job_signals.store(true, Ordering::SeqCst);
    assert_eq!(bed.slave.read(who.io(), &mut buf), Err(Errno::EIO));
    assert_eq!(bed.slave.read(bed.leader.io(), &mut buf), Ok(5));
}

#[test]
fn background_change_stops_the_group_and_write_does_under_tostop() {
    let bed = bed();
    let who = bed.background();
    assert_eq!(bed.slave.write(who.io(), b"x"), Ok((1, 0)));
    let mut termios = Termios::default();
    termios.c_lflag |= TOSTOP;
    bed.master().set_termios(&termios);
    assert_eq!(bed.slave.write(who.io(), b"x"), Err(Errno::EAGAIN));
    assert_eq!(bed.slave.ioctl(&who, TCGETS, 0), Ok(0));
    assert_eq!(bed.slave.ioctl(&who, TCSETS, 0), Err(Errno::EAGAIN));
    assert_eq!(int_ioctl(&*bed.slave, &who, TIOCSPGRP, 11), Err(Errno::EAGAIN));
    assert_eq!(*who.raised.lock(), [(-11, Signal::SIGTTOU); 3]);
    who.ignores_job_signals.store(true, Ordering::SeqCst);
    assert_eq!(int_ioctl(&*bed.slave, &who, TIOCSPGRP, 11), Ok(0), "a shell that ignores SIGTTOU may");
    assert_eq!(bed.slave.write(who.io(), b"x"), Ok((1, 0)));
}

#[test]
fn window_change_signals_once() {
    let bed = bed();
    let window = WindowSize { rows: 24, columns: 80, ..WindowSize::default() };
    bed.master().set_window_size(window);
    bed.master().set_window_size(window);
    assert_eq!(bed.raised(), [(-10, Signal::SIGWINCH)]);
    assert_eq!(bed.slave.ioctl(&bed.leader, TIOCSWINSZ, 0), Ok(0));
    assert_eq!(bed.raised(), [(-10, Signal::SIGWINCH)], "the caller's memory holds another size");
    assert_eq!(bed.slave.ioctl(&bed.leader, TIOCSTI, 0), Err(Errno::EIO));
}

#[test]
fn master_close_hangs_up() {
    let mut bed = bed();
    bed.master().input(b"lost\n");
    bed.master = None;
    assert_eq!(bed.raised(), [(10, Signal::SIGHUP), (10, Signal::SIGCONT)]);
    assert_eq!(bed.slave.read(bed.leader.io(), &mut [0; 9]), Ok(0));
    assert_eq!(bed.slave.write(bed.leader.io(), b"x"), Err(Errno::EIO));
    assert_eq!(bed.slave.ioctl(&bed.leader, TCGETS, 0), Err(Errno::EIO));
    assert_eq!(bed.slave.ioctl(&bed.leader, TIOCSPGRP, 0), Err(Errno::ENOTTY));
    assert_eq!(bed.slave.poll().bits(), 0x15d);
    assert!(bed.terminals.pty(0).is_none() && bed.terminals.controlling(10).is_none());
    bed.terminals.leader_exited(10);
    assert_eq!(bed.raised(), [(-10, Signal::SIGHUP), (-10, Signal::SIGCONT)]);
}

#[test]
fn leaders_exit_and_tiocnotty_free_the_terminal() {
    let bed = bed();
    bed.terminals.leader_exited(10);
    assert_eq!(bed.raised(), [(-10, Signal::SIGHUP)]);
    assert_eq!(bed.slave.ioctl(&bed.leader, TIOCSCTTY, 0), Ok(0));
    assert_eq!(bed.slave.ioctl(&bed.leader, TIOCNOTTY, 0), Ok(0));
    assert_eq!(bed.raised(), [(-10, Signal::SIGHUP), (-10, Signal::SIGCONT)]);
    assert_eq!(bed.slave.ioctl(&bed.leader, TIOCNOTTY, 0), Err(Errno::ENOTTY));
}

#[test]
fn slave_close_ends_the_master_after_the_rest() {
    let bed = bed();
    bed.slave.write(bed.leader.io(), b"rest").unwrap();
    let pty = Arc::clone(bed.master().pty());
    drop(bed.slave);
    let master = MasterFile::new(bed.master.unwrap());
    let who = &bed.leader;
    assert_eq!(master.poll().bits(), 0x155);
    assert_eq!(master.read(who.io(), &mut [0; 9]), Ok(4));
    assert_eq!(master.read(who.io(), &mut [0; 9]), Err(Errno::EIO));
    let _again = pty.open_slave(OpenFlags::RDWR, who).unwrap();
    assert_eq!(master.read(who.io(), &mut [0; 9]), Err(Errno::EAGAIN));
}

#[test]
fn ptmx_is_locked_numbered_and_speaks_packets() {
    let who = FakeCaller::new();
    let terminals = Terminals::new(Arc::new(NoSignals));
    let first = MasterFile::new(terminals.open_master().unwrap());
    let second = MasterFile::new(terminals.open_master().unwrap());
    assert_eq!(second.ioctl(&who, TIOCGPTN, 0), Ok(0));
    assert_eq!(who.word_at_zero(), 1);
    drop(first);
    let first = MasterFile::new(terminals.open_master().unwrap());
    assert_eq!(first.pty().index(), 0, "the lowest free number");
    assert!(matches!(first.pty().open_slave(OpenFlags::RDWR, &who), Err(Errno::EIO)));
    assert_eq!(int_ioctl(&*first, &who, TIOCSPTLCK, 0), Ok(0));
    let slave = first.pty().open_slave(OpenFlags::RDWR, &who).unwrap();
    assert_eq!(int_ioctl(&*first, &who, TIOCPKT, 1), Ok(0));
    slave.write(who.io(), b"data").unwrap();
    let mut buf = [9; 9];
    assert_eq!(first.read(who.io(), &mut buf), Ok(5));
    assert_eq!(&buf[..5], b"\0data");
    first.write(who.io(), b"\x13").unwrap();
    assert!(first.poll().contains(Events::PRI));
    assert_eq!(first.read(who.io(), &mut buf), Ok(1));
    assert_eq!(buf[0], 4, "TIOCPKT_STOP");
}

/// Polls a future once.
fn poll_once(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
}

#[test]
fn timed_reads_wait_for_the_time_or_the_bytes() {
    let bed = bed();
    let platform = Arc::clone(&bed.leader.platform);
    let timers = kernel_base::timer::Timers::new(Arc::<crate::io_test::FakePlatform>::clone(&platform));
    let tenth = 100_000_000;
    let pass = |ns| {
        platform.now_ns.fetch_add(ns, Ordering::SeqCst);
        timers.run_due();
    };
    let mut termios = Termios { c_lflag: 0, ..Termios::default() };
    (termios.c_cc[super::termios::VMIN], termios.c_cc[super::termios::VTIME]) = (0, 2);
    bed.master().set_termios(&termios);
    assert!(bed.slave.is_read_timed());
    {
        let mut total = std::pin::pin!(bed.slave.wait_timed(64, &timers));
        assert!(!poll_once(total.as_mut()));
        pass(tenth);
        assert!(!poll_once(total.as_mut()));
        pass(tenth);
        assert!(poll_once(total.as_mut()), "MIN = 0: the time is over");
    }
    termios.c_cc[super::termios::VMIN] = 3;
    bed.master().set_termios(&termios);
    let mut between = std::pin::pin!(bed.slave.wait_timed(64, &timers));
    assert!(!poll_once(between.as_mut()));
    pass(10 * tenth);
    assert!(!poll_once(between.as_mut()), "no limit before the first byte");
    bed.master().input(b"a");
    assert!(!poll_once(between.as_mut()));
    pass(tenth);
    bed.master().input(b"b");
    assert!(!poll_once(between.as_mut()));
    pass(2 * tenth);
    assert!(poll_once(between.as_mut()));
    let nonblocking = bed.leader.io_with(OpenFlags::NONBLOCK);
    assert_eq!(bed.slave.read(nonblocking, &mut [0; 9]), Ok(2));
}

#[test]
fn vain_write_wakes_no_writer() {
    let bed = bed();
    let line = [b'x'; 1000];
    while bed.slave.write(bed.leader.io(), &line).is_ok_and(|(done, _)| done == line.len()) {}
    // Room for one byte, where a newline needs two.
    bed.master().take_output(&mut [0]);
    let woken = Arc::new(Count(Mutex::new(0)));
    let queue = bed.slave.wait_queue().unwrap();
    queue.add_listener(Events::OUT, Arc::<Count>::clone(&woken));
    assert_eq!(bed.slave.write(bed.leader.io(), b"\n"), Err(Errno::EAGAIN));
    assert_eq!(*woken.0.lock(), 0);
    bed.master().take_output(&mut [0]);
    assert_eq!(*woken.0.lock(), 1);
    assert_eq!(bed.slave.write(bed.leader.io(), b"\n"), Ok((1, 0)));
}

#[test]
fn demand_is_told_and_output_passes_unprocessed() {
    let bed = bed();
    let told = Arc::new(Count(Mutex::new(0)));
    bed.master().on_demand(Arc::<Count>::clone(&told));
    assert!(bed.master().pass_output(true));
    bed.slave.write(bed.leader.io(), b"a\n").unwrap();
    assert_eq!(*told.0.lock(), 0, "output wants nothing");
    assert!(!bed.master().pass_output(false), "what was written must leave first");
    let mut buf = [0; 9];
    assert_eq!(bed.master().take_output(&mut buf), 2);
    assert!(bed.master().pass_output(false));
    bed.slave.write(bed.leader.io(), b"b\n").unwrap();
    assert_eq!(bed.master().take_output(&mut buf), 3);
    assert_eq!(&buf[..3], b"b\r\n");
    assert_eq!(bed.slave.read(bed.leader.io(), &mut buf), Err(Errno::EAGAIN));
    assert_eq!(*told.0.lock(), 1);
    bed.slave.poll();
    assert_eq!(*told.0.lock(), 2);
    bed.slave.ioctl(&bed.leader, TCGETS, 0).unwrap();
    assert_eq!(*told.0.lock(), 2, "looking changes nothing");
    bed.slave.ioctl(&bed.leader, TCSETS, 0).unwrap();
    assert_eq!(*told.0.lock(), 3);
}
