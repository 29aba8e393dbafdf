//! ioctl(2) on the supervisor's standard streams. Where one is a host terminal that the container's own
//! terminal does not replace (only the output is one, say), programs learn its attributes and size, so that
//! isatty(3) and `ls` behave, and can change nothing.

use abi_linux::raw::ioctl::{FIONREAD, TCGETS, TCGETS2, TIOCGWINSZ};
use abi_linux::{Errno, SysResult};
use host_files::{Stream, StreamKind, TerminalAttributes};
use kernel_base::caller::Caller;
use kernel_base::user::UserRef;
use zerocopy::IntoBytes;

use crate::tty::termios::TERMIOS_LEN;
use crate::tty::{Termios, WindowSize};

fn termios(host: &TerminalAttributes) -> Termios {
    let [c_iflag, c_oflag, c_cflag, c_lflag] = host.modes;
    Termios {
        c_iflag,
        c_oflag,
        c_cflag,
        c_lflag,
        c_line: host.line_discipline,
        c_cc: host.special,
        c_ispeed: host.speed,
        c_ospeed: host.speed,
    }
}

/// Performs the few commands that only look; ENOTTY for all others.
pub(crate) fn ioctl(stream: &Stream, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
    let is_terminal = stream.kind() == StreamKind::Terminal;
    match cmd {
        FIONREAD => {
            let len = i32::try_from(stream.readable_len()?).unwrap_or(i32::MAX);
            who.mem().write(UserRef::new(arg), &len)?;
        }
        TCGETS | TCGETS2 if is_terminal => {
            let attributes = termios(&stream.terminal_attributes()?);
            let len = if cmd == TCGETS { TERMIOS_LEN } else { size_of::<Termios>() };
            who.mem().write_bytes(arg, &attributes.as_bytes()[..len])?;
        }
        TIOCGWINSZ if is_terminal => {
            let [rows, columns, x_pixels, y_pixels] = stream.terminal_size()?;
            who.mem().write(UserRef::new(arg), &WindowSize { rows, columns, x_pixels, y_pixels })?;
        }
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::ioctl;
    use crate::io_test::FakeCaller;
    use abi_linux::Errno;
    use abi_linux::raw::ioctl::{FIONREAD, TCGETS, TCSETS, TIOCGWINSZ, TIOCSTI};
    use host_files::Stream;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};

    #[test]
    fn host_terminal_can_be_looked_at_only() {
        let who = FakeCaller::new();
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let slave = rustix::fs::open(&*name, flags, rustix::fs::Mode::empty()).unwrap();
        tcsetwinsize(&slave, Winsize { ws_row: 7, ws_col: 9, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let stream = Stream::new(slave).unwrap();
        assert_eq!(ioctl(&stream, &who, TIOCGWINSZ, 0), Ok(0));
        assert_eq!(who.word_at_zero(), 7 | 9 << 16);
        assert_eq!(ioctl(&stream, &who, TCGETS, 0), Ok(0));
        assert_eq!(who.word_at_zero(), 0x500, "ICRNL | IXON");
        assert_eq!(ioctl(&stream, &who, FIONREAD, 0), Ok(0));
        for command in [TCSETS, TIOCSTI] {
            assert_eq!(ioctl(&stream, &who, command, 0), Err(Errno::ENOTTY));
        }
    }
}
