//! Attributes and window of a terminal through ioctl(2), in all the structures that there have been
//! (drivers/tty/tty_ioctl.c, Linux v6.18).

use std::sync::Arc;

use abi_linux::raw::ioctl::{
    TCGETA, TCGETS, TCGETS2, TCSETA, TCSETAF, TCSETAW, TCSETS, TCSETS2, TCSETSF, TCSETSF2, TCSETSW, TCSETSW2,
    TIOCGLCKTRMIOS, TIOCGWINSZ, TIOCSLCKTRMIOS, TIOCSWINSZ,
};
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_base::user::UserRef;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::ioctl::Side;
use super::pty::{Pty, TIOCPKT_FLUSHREAD};
use super::termios::{TERMIOS_LEN, Termios, WindowSize};

/// Characters of [`Termio`].
const NCC: usize = 8;

/// `struct termio`, System V's: half the flags, and the first characters (asm-generic/termios.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Termio {
    c_iflag: u16,
    c_oflag: u16,
    c_cflag: u16,
    c_lflag: u16,
    c_line: u8,
    c_cc: [u8; NCC],
    padding: u8,
}

impl Termio {
    fn of(termios: &Termios) -> Self {
        let mut c_cc = [0; NCC];
        c_cc.copy_from_slice(&termios.c_cc[..NCC]);
        Self {
            c_iflag: termios.c_iflag as u16,
            c_oflag: termios.c_oflag as u16,
            c_cflag: termios.c_cflag as u16,
            c_lflag: termios.c_lflag as u16,
            c_line: termios.c_line,
            c_cc,
            padding: 0,
        }
    }

    /// `old` with what this structure has room for.
    fn over(&self, old: &Termios) -> Termios {
        let low = |old: u32, new: u16| old & !0xffff | u32::from(new);
        let mut termios = *old;
        termios.c_iflag = low(old.c_iflag, self.c_iflag);
        termios.c_oflag = low(old.c_oflag, self.c_oflag);
        termios.c_cflag = low(old.c_cflag, self.c_cflag);
        termios.c_lflag = low(old.c_lflag, self.c_lflag);
        termios.c_line = self.c_line;
        termios.c_cc[..NCC].copy_from_slice(&self.c_cc);
        termios
    }
}

/// Whether `cmd` is one of these.
pub(super) const fn is_one(cmd: u32) -> bool {
    matches!(
        cmd,
        TCGETA
            | TCGETS
            | TCGETS2
            | TCSETA
            | TCSETAF
            | TCSETAW
            | TCSETS
            | TCSETS2
            | TCSETSF
            | TCSETSF2
            | TCSETSW
            | TCSETSW2
            | TIOCGLCKTRMIOS
            | TIOCSLCKTRMIOS
            | TIOCGWINSZ
            | TIOCSWINSZ
    )
}

pub(super) fn perform(pty: &Arc<Pty>, side: Side, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
    let old = pty.state.lock().termios;
    match cmd {
        TCGETS => who.mem().write_bytes(arg, &old.as_bytes()[..TERMIOS_LEN])?,
        TCGETS2 => who.mem().write(UserRef::new(arg), &old)?,
        TCGETA => who.mem().write(UserRef::new(arg), &Termio::of(&old))?,
        TIOCGLCKTRMIOS => {
            let locked = pty.state.lock().locked_attributes;
            who.mem().write_bytes(arg, &locked.as_bytes()[..TERMIOS_LEN])?;
        }
        TIOCSLCKTRMIOS => lock(pty, who, arg)?,
        TIOCGWINSZ => {
            let window = pty.state.lock().window;
            who.mem().write(UserRef::new(arg), &window)?;
        }
        TIOCSWINSZ => {
            let window: WindowSize = who.mem().read(UserRef::new(arg))?;
            pty.resize(window);
        }
        _ => {
            if side == Side::Slave {
                pty.check_change(who, Signal::SIGTTOU)?;
            }
            let wanted = read_wanted(who, cmd, arg, &old)?;
            change(pty, &wanted, matches!(cmd, TCSETSF | TCSETSF2 | TCSETAF));
        }
    }
    Ok(0)
}

fn read_wanted(who: &dyn Caller, cmd: u32, arg: u64, old: &Termios) -> SysResult<Termios> {
    if matches!(cmd, TCSETA | TCSETAW | TCSETAF) {
        let termio: Termio = who.mem().read(UserRef::new(arg))?;
        return Ok(termio.over(old));
    }
    let mut wanted = *old;
    let whole = matches!(cmd, TCSETS2 | TCSETSW2 | TCSETSF2);
    let len = if whole { size_of::<Termios>() } else { TERMIOS_LEN };
    who.mem().read_bytes(arg, &mut wanted.as_mut_bytes()[..len])?;
    Ok(wanted)
}

fn change(pty: &Arc<Pty>, wanted: &Termios, flushes: bool) {
    pty.with(|state| {
        if flushes {
            state.input.flush();
            state.note(TIOCPKT_FLUSHREAD);
        }
        let allowed = wanted.without_locked(&state.termios, &state.locked_attributes);
        state.set_termios(&allowed);
    });
    pty.demand();
}

/// TIOCSLCKTRMIOS: bits that nobody changes from now on.
fn lock(pty: &Arc<Pty>, who: &dyn Caller, arg: u64) -> SysResult<()> {
    if !who.credentials().has(Cap::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let mut locked = Termios::NONE;
    who.mem().read_bytes(arg, &mut locked.as_mut_bytes()[..TERMIOS_LEN])?;
    pty.state.lock().locked_attributes = locked;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Termio, Termios};

    #[test]
    fn termio_keeps_what_it_has_no_room_for() {
        let mut old = Termios::default();
        old.c_lflag |= 0x10000;
        old.c_cc[10] = 7;
        let mut termio = Termio::of(&old);
        assert_eq!(termio.over(&old), old);
        termio.c_lflag = 0;
        termio.c_cc[0] = 9;
        let new = termio.over(&old);
        assert_eq!((new.c_lflag, new.c_cc[0], new.c_cc[10]), (0x10000, 9, 7));
    }

    #[test]
    fn locked_bits_stay() {
        let old = Termios::default();
        let mut locked = Termios::NONE;
        (locked.c_lflag, locked.c_cc[3]) = (0x8, 1);
        let mut wanted = Termios::NONE;
        wanted.c_cc = [5; 19];
        let new = wanted.without_locked(&old, &locked);
        assert_eq!((new.c_lflag, new.c_cc[3], new.c_cc[4]), (0x8, old.c_cc[3], 5));
    }
}
