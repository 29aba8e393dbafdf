//! What a guest may know of a host terminal behind a standard descriptor: attributes and size, read-only.

use rustix::termios::{SpecialCodeIndex as Code, tcgetattr, tcgetwinsize};

use abi_linux::SysResult;

use crate::errno;
use crate::stream::Stream;

/// `struct termios` of the host, as plain numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalAttributes {
    /// c_iflag, c_oflag, c_cflag, c_lflag.
    pub modes: [u32; 4],
    pub line_discipline: u8,
    /// c_cc in the kernel's order.
    pub special: [u8; 19],
    pub speed: u32,
}

/// The kernel's order of special characters; 7 is VSWTC.
const CODES: [Code; 17] = [
    Code::VINTR,
    Code::VQUIT,
    Code::VERASE,
    Code::VKILL,
    Code::VEOF,
    Code::VTIME,
    Code::VMIN,
    Code::VSWTC,
    Code::VSTART,
    Code::VSTOP,
    Code::VSUSP,
    Code::VEOL,
    Code::VREPRINT,
    Code::VDISCARD,
    Code::VWERASE,
    Code::VLNEXT,
    Code::VEOL2,
];

impl Stream {
    /// The terminal's attributes; ENOTTY when it is none.
    pub fn terminal_attributes(&self) -> SysResult<TerminalAttributes> {
        let host = tcgetattr(self).map_err(errno)?;
        let mut special = [0; 19];
        for (slot, code) in special.iter_mut().zip(CODES) {
            *slot = host.special_codes[code];
        }
        let modes = [
            host.input_modes.bits(),
            host.output_modes.bits(),
            host.control_modes.bits(),
            host.local_modes.bits(),
        ];
        let speed = host.output_speed();
        Ok(TerminalAttributes { modes, line_discipline: host.line_discipline, special, speed })
    }

    /// Rows, columns, and pixels across and down.
    pub fn terminal_size(&self) -> SysResult<[u16; 4]> {
        let size = tcgetwinsize(self).map_err(errno)?;
        Ok([size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel])
    }

    /// Bytes that a read finds (FIONREAD).
    pub fn readable_len(&self) -> SysResult<u64> {
        rustix::io::ioctl_fionread(self).map_err(errno)
    }
}
