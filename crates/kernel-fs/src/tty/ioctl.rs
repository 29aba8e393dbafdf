//! ioctl_tty(2), after Linux v6.18 drivers/tty/{tty_io,tty_ioctl,tty_jobctrl,pty}.c. Attributes, window
//! ([`attributes`]) and groups are the terminal's, whichever side asks.

use std::sync::Arc;

use abi_linux::raw::ioctl::{
    FIONREAD, TCFLSH, TCSBRK, TCSBRKP, TCXONC, TIOCCONS, TIOCEXCL, TIOCGDEV, TIOCGETD, TIOCGEXCL, TIOCGPGRP,
    TIOCGPKT, TIOCGPTLCK, TIOCGPTN, TIOCGSID, TIOCNOTTY, TIOCNXCL, TIOCOUTQ, TIOCPKT, TIOCSCTTY, TIOCSETD,
    TIOCSIG, TIOCSPGRP, TIOCSPTLCK, TIOCSTI, TIOCVHANGUP,
};
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_base::user::UserRef;

use super::attributes;
use super::pty::{Pty, TIOCPKT_FLUSHREAD, TIOCPKT_FLUSHWRITE};
use super::termios::{VSTART, VSTOP};

/// Which side an ioctl came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Master,
    Slave,
}

/// Performs one command.
pub(super) fn perform(pty: &Arc<Pty>, side: Side, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
    match cmd {
        _ if attributes::is_one(cmd) => attributes::perform(pty, side, who, cmd, arg),
        TIOCSCTTY | TIOCNOTTY | TIOCGPGRP | TIOCSPGRP | TIOCGSID => sessions(pty, side, who, cmd, arg),
        FIONREAD | TIOCOUTQ | TCFLSH | TCXONC | TCSBRK | TCSBRKP => flow(pty, side, who, cmd, arg),
        TIOCGPTN | TIOCPKT | TIOCGPKT | TIOCSPTLCK | TIOCGPTLCK | TIOCSIG if side == Side::Master => {
            masters(pty, who, cmd, arg)
        }
        _ => others(pty, who, cmd, arg),
    }
}

fn put_int(who: &dyn Caller, arg: u64, value: i32) -> SysResult<i64> {
    who.mem().write(UserRef::new(arg), &value)?;
    Ok(0)
}

fn get_int(who: &dyn Caller, arg: u64) -> SysResult<i32> {
    who.mem().read(UserRef::new(arg))
}

/// Whether it is the caller's controlling terminal.
fn is_controlling(pty: &Pty, who: &dyn Caller) -> bool {
    let sid = who.terminal_session();
    let session = pty.state.lock().session;
    session != 0 && session == sid
}

fn sessions(pty: &Arc<Pty>, side: Side, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
    let foreign = side == Side::Slave && !is_controlling(pty, who);
    match cmd {
        TIOCSCTTY => set_controlling(pty, who, arg),
        TIOCNOTTY => give_up(pty, who),
        TIOCGPGRP if foreign => Err(Errno::ENOTTY),
        TIOCGPGRP => {
            let pgrp = pty.state.lock().pgrp;
            put_int(who, arg, pgrp)
        }
        TIOCGSID => {
            let session = pty.state.lock().session;
            if foreign || session == 0 { Err(Errno::ENOTTY) } else { put_int(who, arg, session) }
        }
        _ => set_foreground(pty, who, arg),
    }
}

/// TIOCSCTTY (tiocsctty). Stealing another session's terminal needs `arg` 1 and CAP_SYS_ADMIN.
fn set_controlling(pty: &Arc<Pty>, who: &dyn Caller, arg: u64) -> SysResult<i64> {
    let leader = who.pid() == who.sid();
    if leader && is_controlling(pty, who) {
        return Ok(0);
    }
    let terminals = pty.terminals.upgrade().ok_or(Errno::EIO)?;
    if !leader || terminals.controlling(who.sid()).is_some() {
        return Err(Errno::EPERM);
    }
    let owner = pty.state.lock().session;
    if owner != 0 {
        if arg != 1 || !who.credentials().has(Cap::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let _old_group = pty.release_session(owner);
        terminals.forget(owner);
    }
    pty.acquire(who)?;
    Ok(0)
}

/// TIOCNOTTY (disassociate_ctty): the leader's whole session loses the terminal, another process gives it up for
/// itself alone.
fn give_up(pty: &Arc<Pty>, who: &dyn Caller) -> SysResult<i64> {
    if !is_controlling(pty, who) {
        return Err(Errno::ENOTTY);
    }
    if who.pid() != who.sid() {
        who.give_up_terminal();
        return Ok(0);
    }
    let pgrp = pty.release_session(who.sid());
    if let Some(terminals) = pty.terminals.upgrade() {
        terminals.forget(who.sid());
    }
    if let Some(pgrp) = pgrp {
        pty.signals.signal_group(pgrp, Signal::SIGHUP);
        pty.signals.signal_group(pgrp, Signal::SIGCONT);
    }
    Ok(0)
}

/// TIOCSPGRP (tiocspgrp), errors in Linux's order.
fn set_foreground(pty: &Arc<Pty>, who: &dyn Caller, arg: u64) -> SysResult<i64> {
    match pty.check_change(who, Signal::SIGTTOU) {
        Err(Errno::EIO) => return Err(Errno::ENOTTY),
        other => other?,
    }
    if !is_controlling(pty, who) {
        return Err(Errno::ENOTTY);
    }
    let pgrp = get_int(who, arg)?;
    if pgrp < 0 {
        return Err(Errno::EINVAL);
    }
    let session = pty.signals.session_of_group(pgrp).ok_or(Errno::ESRCH)?;
    if session != who.sid() {
        return Err(Errno::EPERM);
    }
    pty.state.lock().pgrp = pgrp;
    Ok(0)
}

fn flow(pty: &Arc<Pty>, side: Side, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
    match (cmd, side) {
        (FIONREAD, Side::Slave) => {
            let len = {
                let state = pty.state.lock();
                state.input.readable_len(&state.termios)
            };
            return put_int(who, arg, i32::try_from(len).unwrap_or(i32::MAX));
        }
        (FIONREAD, Side::Master) => {
            let len = pty.state.lock().output.len();
            return put_int(who, arg, i32::try_from(len).unwrap_or(i32::MAX));
        }
        // A pty's driver has no buffer of its own: what was written is the master's already.
        (TIOCOUTQ, _) => return put_int(who, arg, 0),
        _ => {}
    }
    if side == Side::Slave {
        pty.check_change(who, Signal::SIGTTOU)?;
    }
    match (cmd, arg) {
        (TCFLSH, 0..=2) => pty.with(|state| {
            if arg != 1 {
                state.input.flush();
                state.note(TIOCPKT_FLUSHREAD);
            }
            if arg != 0 {
                state.output.flush();
                state.note(TIOCPKT_FLUSHWRITE);
            }
        }),
        (TCXONC, 0..=3) => pty.with(|state| match arg {
            0 | 1 => {
                state.output.stopped = arg == 0;
                state.output.stopped_by_call = arg == 0;
                state.output.release();
                state.note_flow();
            }
            _ => {
                let index = if arg == 2 { VSTOP } else { VSTART };
                state.output.send_flow_char(state.termios.c_cc[index]);
            }
        }),
        // Output has always left already, and a pty sends no break.
        (TCSBRK | TCSBRKP, _) => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// Commands of the master alone.
fn masters(pty: &Arc<Pty>, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
    match cmd {
        TIOCGPTN => put_int(who, arg, pty.index() as i32),
        TIOCPKT => {
            let on = get_int(who, arg)? != 0;
            let mut state = pty.state.lock();
            if on && !state.packet_mode {
                state.packet_news = 0;
            }
            state.packet_mode = on;
            Ok(0)
        }
        TIOCGPKT => {
            let on = pty.state.lock().packet_mode;
            put_int(who, arg, i32::from(on))
        }
        TIOCSPTLCK => {
            let locked = get_int(who, arg)? != 0;
            pty.state.lock().locked = locked;
            Ok(0)
        }
        TIOCGPTLCK => {
            let locked = pty.state.lock().locked;
            put_int(who, arg, i32::from(locked))
        }
        // TIOCSIG, the last of them.
        _ => {
            let signal = i32::try_from(arg).ok().and_then(Signal::new).ok_or(Errno::EINVAL)?;
            if !matches!(signal, Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTSTP) {
                return Err(Errno::EINVAL);
            }
            let pgrp = pty.state.lock().pgrp;
            if pgrp != 0 {
                pty.signals.signal_group(pgrp, signal);
            }
            Ok(0)
        }
    }
}

fn others(pty: &Arc<Pty>, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
    match cmd {
        TIOCEXCL | TIOCNXCL => {
            pty.state.lock().exclusive = cmd == TIOCEXCL;
            Ok(0)
        }
        TIOCGEXCL => {
            let exclusive = pty.state.lock().exclusive;
            put_int(who, arg, i32::from(exclusive))
        }
        // N_TTY, the only line discipline.
        TIOCGETD => put_int(who, arg, 0),
        TIOCSETD => {
            if get_int(who, arg)? == 0 {
                Ok(0)
            } else {
                Err(Errno::EINVAL)
            }
        }
        TIOCGDEV => put_int(who, arg, super::device_number(pty.index()) as i32),
        // dev.tty.legacy_tiocsti is 0: typing for others is refused.
        TIOCSTI => Err(Errno::EIO),
        TIOCCONS => Err(Errno::EPERM),
        TIOCVHANGUP => {
            if !who.credentials().has(Cap::SYS_ADMIN) {
                return Err(Errno::EPERM);
            }
            pty.hang_up();
            Ok(0)
        }
        _ => Err(Errno::ENOTTY),
    }
}
