//! Pseudoterminals through the system calls: packets, hang-up, who controls what, and who is told (ioctl_tty(2)).

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use integration::guest::{self, error_of, fd, fork_child, in_child, signal, wait_raw};
use integration::{checks, raw};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{SaFlags, SigHandler, Signal};
use nix::sys::stat::{Mode, fstat};
use nix::sys::termios::{self, InputFlags, LocalFlags, SetArg, SpecialCharacterIndices};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{getpgid, getpgrp, getpid, getsid, setpgid, setsid};

fn main() -> ExitCode {
    guest::main(checks![
        packets_mark_data_and_tell_of_flushes,
        packets_tell_of_flow_control,
        packets_tell_of_attributes_under_extproc,
        closed_master_hangs_the_session_up,
        closed_slave_ends_the_master_until_it_is_opened_again,
        locked_slave_cannot_be_opened,
        peer_is_the_slave,
        leader_takes_its_terminal_once,
        terminal_given_up_is_gone,
        follower_gives_up_its_terminal_alone,
        groups_of_other_sessions_are_refused,
        group_of_zombies_is_a_group,
        background_change_of_the_foreground_stops,
        window_change_tells_the_foreground,
        typed_signals_reach_the_foreground,
        master_sends_signals,
        typing_for_others_is_refused,
        exclusive_terminal_is_busy,
        attributes_in_the_old_structure,
        bytes_are_counted,
        timed_read_gives_up,
        node_belongs_to_its_maker,
        vhangup_ends_the_slaves,
    ])
}

struct Pair {
    master: PtyMaster,
    slave: OwnedFd,
}

fn master() -> PtyMaster {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).expect("posix_openpt");
    grantpt(&master).expect("grantpt");
    master
}

fn open_slave(master: &PtyMaster, flags: OFlag) -> Result<OwnedFd, Errno> {
    open(ptsname_r(master).expect("ptsname").as_str(), OFlag::O_RDWR | flags, Mode::empty())
}

fn pair() -> Pair {
    let master = master();
    unlockpt(&master).expect("unlockpt");
    let slave = open_slave(&master, OFlag::O_NOCTTY).expect("the slave");
    Pair { master, slave }
}

/// An ioctl whose argument is a number, or a pointer to one.
fn ioctl(fd: RawFd, request: libc::Ioctl, argument: usize) -> Result<i64, Errno> {
    raw!(SYS_ioctl, fd, request, argument)
}

fn get(fd: RawFd, request: libc::Ioctl) -> Result<i32, Errno> {
    let mut value = 0;
    ioctl(fd, request, std::ptr::from_mut(&mut value).addr())?;
    Ok(value)
}

fn set(fd: RawFd, request: libc::Ioctl, value: i32) -> Result<i64, Errno> {
    ioctl(fd, request, std::ptr::from_ref(&value).addr())
}

fn read(fd: RawFd) -> Result<Vec<u8>, Errno> {
    let mut buf = [0; 256];
    let len = fd::read(fd, &mut buf)?;
    Ok(buf[..len].to_vec())
}

/// Waits until a descriptor is ready for something, at most a second.
fn ready(file: &impl std::os::fd::AsFd, events: PollFlags) -> PollFlags {
    let mut fds = [PollFd::new(file.as_fd(), events)];
    poll(&mut fds, PollTimeout::from(1000_u16)).expect("poll");
    fds[0].revents().expect("known events")
}

/// Waits until a condition holds, at most five seconds.
#[track_caller]
fn eventually(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(Instant::now() < end, "it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn change(fd: &OwnedFd, how: impl FnOnce(&mut termios::Termios)) {
    let mut attributes = termios::tcgetattr(fd).expect("tcgetattr");
    how(&mut attributes);
    termios::tcsetattr(fd, SetArg::TCSANOW, &attributes).expect("tcsetattr");
}

/// Runs `body` in a child that leads a session whose terminal is a new pty; the child's status.
fn in_session(body: impl FnOnce(&Pair) -> i32) -> i32 {
    in_child(|| {
        setsid().expect("setsid");
        let master = master();
        unlockpt(&master).expect("unlockpt");
        let slave = open_slave(&master, OFlag::empty()).expect("the slave");
        let pair = Pair { master, slave };
        let status = body(&pair);
        // The end of the master is the end of the session.
        signal::plain(Signal::SIGHUP, SigHandler::SigIgn);
        status
    })
}

fn open_tty() -> Result<OwnedFd, Errno> {
    open("/dev/tty", OFlag::O_RDWR, Mode::empty())
}

fn packets_mark_data_and_tell_of_flushes() {
    let pair = pair();
    let (master, slave) = (pair.master.as_raw_fd(), pair.slave.as_raw_fd());
    assert_eq!(get(master, libc::TIOCGPKT), Ok(0));
    set(master, libc::TIOCPKT, 1).expect("TIOCPKT");
    assert_eq!(get(master, libc::TIOCGPKT), Ok(1));
    fd::write(slave, b"data").expect("write");
    assert_eq!(read(master), Ok(b"\0data".to_vec()));
    for (queue, news) in [(libc::TCIFLUSH, 1), (libc::TCOFLUSH, 2), (libc::TCIOFLUSH, 3)] {
        ioctl(slave, libc::TCFLSH, queue as usize).expect("TCFLSH");
        assert!(ready(&pair.master, PollFlags::POLLIN | PollFlags::POLLPRI).contains(PollFlags::POLLPRI));
        assert_eq!(read(master), Ok(vec![news]));
    }
    set(master, libc::TIOCPKT, 0).expect("TIOCPKT");
    fd::write(slave, b"plain").expect("write");
    assert_eq!(read(master), Ok(b"plain".to_vec()));
    assert_eq!(error_of(set(slave, libc::TIOCPKT, 1)), Errno::ENOTTY);
}

fn packets_tell_of_flow_control() {
    let pair = pair();
    let (master, slave) = (pair.master.as_raw_fd(), pair.slave.as_raw_fd());
    set(master, libc::TIOCPKT, 1).expect("TIOCPKT");
    ioctl(slave, libc::TCXONC, libc::TCOOFF as usize).expect("TCOOFF");
    assert_eq!(read(master), Ok(vec![4]));
    ioctl(slave, libc::TCXONC, libc::TCOON as usize).expect("TCOON");
    assert_eq!(read(master), Ok(vec![8]));
    change(&pair.slave, |attributes| attributes.input_flags.remove(InputFlags::IXON));
    assert_eq!(read(master), Ok(vec![16]));
    change(&pair.slave, |attributes| attributes.input_flags.insert(InputFlags::IXON));
    assert_eq!(read(master), Ok(vec![32]));
}

fn packets_tell_of_attributes_under_extproc() {
    let pair = pair();
    let master = pair.master.as_raw_fd();
    set(master, libc::TIOCPKT, 1).expect("TIOCPKT");
    change(&pair.slave, |attributes| attributes.local_flags.insert(LocalFlags::EXTPROC));
    assert_eq!(read(master), Ok(vec![64]));
    change(&pair.slave, |attributes| attributes.local_flags.remove(LocalFlags::ECHO));
    assert_eq!(read(master), Ok(vec![64]));
}

fn closed_master_hangs_the_session_up() {
    let status = in_session(|pair| {
        signal::note(Signal::SIGHUP, SaFlags::empty());
        let slave = pair.slave.as_raw_fd();
        fd::close(pair.master.as_raw_fd()).expect("close");
        eventually(|| signal::LAST.load(std::sync::atomic::Ordering::SeqCst) == libc::SIGHUP);
        assert_eq!(read(slave), Ok(Vec::new()));
        assert_eq!(error_of(fd::write(slave, b"x")), Errno::EIO);
        assert_eq!(error_of(termios::tcgetattr(&pair.slave)), Errno::EIO);
        let events = ready(&pair.slave, PollFlags::POLLIN | PollFlags::POLLOUT);
        assert!(events.contains(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLIN), "{events:?}");
        assert_eq!(error_of(open_tty()), Errno::ENXIO);
        // The master must not be closed twice.
        std::process::exit(9)
    });
    assert_eq!(status, 9);
}

fn closed_slave_ends_the_master_until_it_is_opened_again() {
    let Pair { master, slave } = pair();
    fd::write(slave.as_raw_fd(), b"last words").expect("write");
    drop(slave);
    assert_eq!(read(master.as_raw_fd()), Ok(b"last words".to_vec()));
    assert_eq!(read(master.as_raw_fd()), Err(Errno::EIO));
    assert!(ready(&master, PollFlags::POLLIN).contains(PollFlags::POLLHUP));
    let again = open_slave(&master, OFlag::O_NOCTTY).expect("the slave again");
    assert!(!ready(&master, PollFlags::POLLOUT).contains(PollFlags::POLLHUP));
    fd::write(again.as_raw_fd(), b"more").expect("write");
    assert_eq!(read(master.as_raw_fd()), Ok(b"more".to_vec()));
}

fn locked_slave_cannot_be_opened() {
    let master = master();
    assert_eq!(get(master.as_raw_fd(), libc::TIOCGPTLCK), Ok(1));
    assert_eq!(error_of(open_slave(&master, OFlag::O_NOCTTY)), Errno::EIO);
    unlockpt(&master).expect("unlockpt");
    open_slave(&master, OFlag::O_NOCTTY).expect("the slave");
}

fn peer_is_the_slave() {
    let pair = pair();
    let flags = (libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) as usize;
    let peer = ioctl(pair.master.as_raw_fd(), libc::TIOCGPTPEER, flags).expect("TIOCGPTPEER");
    let peer = fd::own(i32::try_from(peer).expect("a descriptor"));
    let (known, found) = (fstat(&pair.slave).expect("fstat"), fstat(&peer).expect("fstat"));
    assert_eq!((known.st_ino, known.st_rdev), (found.st_ino, found.st_rdev));
    assert_eq!(error_of(ioctl(pair.slave.as_raw_fd(), libc::TIOCGPTPEER, flags)), Errno::EIO);
}

fn leader_takes_its_terminal_once() {
    let status = in_child(|| {
        setsid().expect("setsid");
        assert_eq!(error_of(open_tty()), Errno::ENXIO);
        let (first, second) = (pair(), pair());
        assert_eq!(error_of(open_tty()), Errno::ENXIO);
        assert_eq!(error_of(get(first.slave.as_raw_fd(), libc::TIOCGSID)), Errno::ENOTTY);
        ioctl(first.slave.as_raw_fd(), libc::TIOCSCTTY, 0).expect("TIOCSCTTY");
        ioctl(first.slave.as_raw_fd(), libc::TIOCSCTTY, 0).expect("once more is no change");
        open_tty().expect("/dev/tty");
        assert_eq!(get(first.slave.as_raw_fd(), libc::TIOCGSID), Ok(getpid().as_raw()));
        assert_eq!(get(first.slave.as_raw_fd(), libc::TIOCGPGRP), Ok(getpgrp().as_raw()));
        assert_eq!(error_of(ioctl(second.slave.as_raw_fd(), libc::TIOCSCTTY, 0)), Errno::EPERM);
        assert_eq!(error_of(get(second.slave.as_raw_fd(), libc::TIOCGPGRP)), Errno::ENOTTY);
        // The child is in the session, but not its leader.
        let status = in_child(|| {
            open_tty().expect("/dev/tty of the child");
            assert_eq!(error_of(ioctl(second.slave.as_raw_fd(), libc::TIOCSCTTY, 0)), Errno::EPERM);
            0
        });
        signal::plain(Signal::SIGHUP, SigHandler::SigIgn);
        status
    });
    assert_eq!(status, 0);
}

fn terminal_given_up_is_gone() {
    let status = in_session(|pair| {
        signal::note(Signal::SIGHUP, SaFlags::empty());
        let slave = pair.slave.as_raw_fd();
        assert_eq!(get(slave, libc::TIOCGSID), Ok(getsid(None).expect("getsid").as_raw()));
        ioctl(slave, libc::TIOCNOTTY, 0).expect("TIOCNOTTY");
        eventually(|| signal::count() > 0);
        assert_eq!(error_of(open_tty()), Errno::ENXIO);
        assert_eq!(error_of(ioctl(slave, libc::TIOCNOTTY, 0)), Errno::ENOTTY);
        // The terminal itself goes on.
        fd::write(slave, b"x").expect("write");
        0
    });
    assert_eq!(status, 0);
}

fn follower_gives_up_its_terminal_alone() {
    let status = in_session(|pair| {
        let slave = pair.slave.as_raw_fd();
        let shown = || {
            let text = fs::read_to_string("/proc/self/stat").expect("stat");
            let fields = text.rsplit_once(") ").expect("a name").1.to_owned();
            fields
                .split(' ')
                .skip(4)
                .take(2)
                .map(|word| word.parse().expect("a number"))
                .collect::<Vec<i64>>()
        };
        let before = shown();
        assert!(before[0] != 0 && before[1] == i64::from(getpgrp().as_raw()), "{before:?}");
        let child = in_child(|| {
            ioctl(slave, libc::TIOCNOTTY, 0).expect("TIOCNOTTY");
            assert_eq!(error_of(open_tty()), Errno::ENXIO);
            assert_eq!(error_of(get(slave, libc::TIOCGPGRP)), Errno::ENOTTY);
            assert_eq!(shown(), [0, -1]);
            in_child(|| {
                assert_eq!(error_of(open_tty()), Errno::ENXIO);
                setsid().expect("setsid");
                let own = self::pair();
                ioctl(own.slave.as_raw_fd(), libc::TIOCSCTTY, 0).expect("TIOCSCTTY");
                open_tty().expect("/dev/tty of the new session");
                signal::plain(Signal::SIGHUP, SigHandler::SigIgn);
                0
            })
        });
        assert_eq!(shown(), before);
        open_tty().expect("/dev/tty of the leader");
        child
    });
    assert_eq!(status, 0);
}

fn groups_of_other_sessions_are_refused() {
    let status = in_session(|pair| {
        let slave = pair.slave.as_raw_fd();
        assert_eq!(error_of(set(slave, libc::TIOCSPGRP, 1)), Errno::EPERM);
        assert_eq!(error_of(set(slave, libc::TIOCSPGRP, 0x3fff_0000)), Errno::ESRCH);
        assert_eq!(error_of(set(slave, libc::TIOCSPGRP, -1)), Errno::EINVAL);
        0
    });
    assert_eq!(status, 0);
}

fn group_of_zombies_is_a_group() {
    let status = in_session(|pair| {
        signal::plain(Signal::SIGTTOU, SigHandler::SigIgn);
        let child = fork_child(|| 0);
        setpgid(child, child).expect("setpgid");
        // It is dead when it can be waited for, and stays.
        waitid(Id::Pid(child), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).expect("waitid");
        assert_eq!(getpgid(Some(child)), Ok(child));
        assert_eq!(getsid(Some(child)), Ok(getpid()));
        set(pair.slave.as_raw_fd(), libc::TIOCSPGRP, child.as_raw()).expect("TIOCSPGRP");
        let other = fork_child(|| setpgid(getpid(), child).map_or(1, |()| 0));
        assert_eq!(wait_raw(other.as_raw()), 0);
        wait_raw(child.as_raw());
        assert_eq!(set(pair.slave.as_raw_fd(), libc::TIOCSPGRP, child.as_raw()), Err(Errno::ESRCH));
        0
    });
    assert_eq!(status, 0);
}

fn background_change_of_the_foreground_stops() {
    let status = in_session(|pair| {
        let slave = pair.slave.as_raw_fd();
        let child = fork_child(|| {
            setpgid(getpid(), getpid()).expect("setpgid");
            let _ = set(slave, libc::TIOCSPGRP, getpid().as_raw());
            7
        });
        let status = nix::sys::wait::waitpid(child, Some(nix::sys::wait::WaitPidFlag::WUNTRACED));
        assert_eq!(status, Ok(nix::sys::wait::WaitStatus::Stopped(child, Signal::SIGTTOU)));
        assert_eq!(get(slave, libc::TIOCGPGRP), Ok(getpgrp().as_raw()));
        nix::sys::signal::kill(child, Signal::SIGKILL).expect("kill");
        wait_raw(child.as_raw());
        // Who ignores the signal may.
        let child = fork_child(|| {
            setpgid(getpid(), getpid()).expect("setpgid");
            signal::plain(Signal::SIGTTOU, SigHandler::SigIgn);
            set(slave, libc::TIOCSPGRP, getpid().as_raw()).expect("TIOCSPGRP");
            0
        });
        wait_raw(child.as_raw())
    });
    assert_eq!(status, 0);
}

fn window_change_tells_the_foreground() {
    let status = in_session(|pair| {
        signal::note(Signal::SIGWINCH, SaFlags::empty());
        let size = |rows| libc::winsize { ws_row: rows, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let resize = |rows| {
            let window = size(rows);
            ioctl(pair.master.as_raw_fd(), libc::TIOCSWINSZ, std::ptr::from_ref(&window).addr())
                .expect("TIOCSWINSZ");
        };
        resize(24);
        eventually(|| signal::count() == 1);
        // The same size again is no news.
        resize(24);
        let mut seen = size(0);
        ioctl(pair.slave.as_raw_fd(), libc::TIOCGWINSZ, std::ptr::from_mut(&mut seen).addr())
            .expect("TIOCGWINSZ");
        assert_eq!((seen.ws_row, seen.ws_col, signal::count()), (24, 80, 1));
        0
    });
    assert_eq!(status, 0);
}

fn typed_signals_reach_the_foreground() {
    let status = in_session(|pair| {
        for (key, signal) in
            [(b"\x03", Signal::SIGINT), (b"\x1c", Signal::SIGQUIT), (b"\x1a", Signal::SIGTSTP)]
        {
            signal::note(signal, SaFlags::empty());
            fd::write(pair.master.as_raw_fd(), key).expect("write");
            eventually(|| signal::LAST.load(std::sync::atomic::Ordering::SeqCst) == signal as i32);
        }
        0
    });
    assert_eq!(status, 0);
}

fn master_sends_signals() {
    let status = in_session(|pair| {
        signal::note(Signal::SIGINT, SaFlags::empty());
        let master = pair.master.as_raw_fd();
        ioctl(master, libc::TIOCSIG as libc::Ioctl, libc::SIGINT as usize).expect("TIOCSIG");
        eventually(|| signal::count() == 1);
        assert_eq!(
            error_of(ioctl(master, libc::TIOCSIG as libc::Ioctl, libc::SIGTERM as usize)),
            Errno::EINVAL
        );
        0
    });
    assert_eq!(status, 0);
}

/// Where dev.tty.legacy_tiocsti is 0, only CAP_SYS_ADMIN may.
fn typing_for_others_is_refused() {
    if fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").is_ok_and(|text| text != "0\n") {
        return;
    }
    let status = in_session(|pair| {
        nix::unistd::setuid(nix::unistd::Uid::from_raw(12345)).expect("setuid");
        let refused = ioctl(pair.slave.as_raw_fd(), libc::TIOCSTI, b"x".as_ptr().addr());
        assert_eq!(error_of(refused), Errno::EIO);
        0
    });
    assert_eq!(status, 0);
}

fn exclusive_terminal_is_busy() {
    let pair = pair();
    fs::set_permissions(
        ptsname_r(&pair.master).expect("ptsname"),
        std::os::unix::fs::PermissionsExt::from_mode(0o666),
    )
    .expect("chmod");
    ioctl(pair.slave.as_raw_fd(), libc::TIOCEXCL, 0).expect("TIOCEXCL");
    assert_eq!(get(pair.slave.as_raw_fd(), libc::TIOCGEXCL as libc::Ioctl), Ok(1));
    let status = in_child(|| {
        nix::unistd::setuid(nix::unistd::Uid::from_raw(12345)).expect("setuid");
        assert_eq!(error_of(open_slave(&pair.master, OFlag::O_NOCTTY)), Errno::EBUSY);
        0
    });
    assert_eq!(status, 0);
    ioctl(pair.slave.as_raw_fd(), libc::TIOCNXCL, 0).expect("TIOCNXCL");
}

/// `struct termio`: four halves of flags, the discipline, eight characters.
fn attributes_in_the_old_structure() {
    let pair = pair();
    let slave = pair.slave.as_raw_fd();
    let mut old = [0_u8; 18];
    ioctl(slave, libc::TCGETA as libc::Ioctl, old.as_mut_ptr().addr()).expect("TCGETA");
    let attributes = termios::tcgetattr(&pair.slave).expect("tcgetattr");
    assert_eq!(u16::from_ne_bytes([old[6], old[7]]), attributes.local_flags.bits() as u16);
    assert_eq!(old[9..17], attributes.control_chars[..8]);
    old[6] &= !(libc::ECHO as u8);
    old[9] = 5;
    ioctl(slave, libc::TCSETAF as libc::Ioctl, old.as_ptr().addr()).expect("TCSETAF");
    let attributes = termios::tcgetattr(&pair.slave).expect("tcgetattr");
    assert!(!attributes.local_flags.contains(LocalFlags::ECHO));
    assert_eq!(attributes.control_chars[libc::VINTR], 5);
    let mut locked = [1_u8; 36];
    ioctl(slave, libc::TIOCGLCKTRMIOS as libc::Ioctl, locked.as_mut_ptr().addr()).expect("TIOCGLCKTRMIOS");
    assert_eq!(locked, [0; 36]);
}

fn bytes_are_counted() {
    let pair = pair();
    let (master, slave) = (pair.master.as_raw_fd(), pair.slave.as_raw_fd());
    change(&pair.slave, |attributes| attributes.local_flags.remove(LocalFlags::ECHO));
    fd::write(master, b"a line\nhalf").expect("write");
    eventually(|| get(slave, libc::FIONREAD) == Ok(7));
    change(&pair.slave, |attributes| attributes.local_flags.remove(LocalFlags::ICANON));
    eventually(|| get(slave, libc::FIONREAD) == Ok(11));
    fd::write(slave, b"out").expect("write");
    assert_eq!(read(master), Ok(b"out".to_vec()));
    assert_eq!(get(slave, libc::TIOCOUTQ), Ok(0));
}

fn timed_read_gives_up() {
    let pair = pair();
    change(&pair.slave, |attributes| {
        attributes.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        attributes.control_chars[SpecialCharacterIndices::VMIN as usize] = 0;
        attributes.control_chars[SpecialCharacterIndices::VTIME as usize] = 2;
    });
    let begin = Instant::now();
    assert_eq!(read(pair.slave.as_raw_fd()), Ok(Vec::new()));
    assert!(begin.elapsed() >= Duration::from_millis(150), "{:?}", begin.elapsed());
}

fn node_belongs_to_its_maker() {
    let pair = pair();
    let node = fstat(&pair.slave).expect("fstat");
    assert_eq!((node.st_uid, node.st_mode & 0o707), (nix::unistd::geteuid().as_raw(), 0o600));
    let number = get(pair.master.as_raw_fd(), libc::TIOCGPTN as libc::Ioctl).expect("TIOCGPTN");
    assert_eq!(node.st_rdev, libc::makedev(136, u32::try_from(number).expect("a number")));
    assert_eq!(ptsname_r(&pair.master).expect("ptsname"), format!("/dev/pts/{number}"));
    drop(pair.master);
    assert!(!fs::exists(format!("/dev/pts/{number}")).expect("stat"));
}

/// vhangup(2) of the session's leader: the slaves that are open are dead, the next opening is not.
fn vhangup_ends_the_slaves() {
    let status = in_session(|pair| {
        signal::plain(Signal::SIGHUP, SigHandler::SigIgn);
        if let Err(error) = raw!(SYS_vhangup) {
            // Without CAP_SYS_TTY_CONFIG.
            assert_eq!(error, Errno::EPERM);
            return 0;
        }
        assert_eq!(read(pair.slave.as_raw_fd()), Ok(Vec::new()));
        assert_eq!(error_of(fd::write(pair.slave.as_raw_fd(), b"x")), Errno::EIO);
        let again = open_slave(&pair.master, OFlag::O_NOCTTY).expect("the slave again");
        fd::write(again.as_raw_fd(), b"new").expect("write");
        0
    });
    assert_eq!(status, 0);
}
