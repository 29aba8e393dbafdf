//! Terminal attributes (termios(3), ioctl_tty(2); include/uapi/asm-generic/termbits.h).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Input flags.
pub const ISTRIP: u32 = 0x20;
pub const INLCR: u32 = 0x40;
pub const IGNCR: u32 = 0x80;
pub const ICRNL: u32 = 0x100;
pub const IUCLC: u32 = 0x200;
pub const IXON: u32 = 0x400;
pub const IXANY: u32 = 0x800;
pub const PARMRK: u32 = 0x8;
pub const IMAXBEL: u32 = 0x2000;
pub const IUTF8: u32 = 0x4000;
/// Output flags.
pub const OPOST: u32 = 0x1;
pub const OLCUC: u32 = 0x2;
pub const ONLCR: u32 = 0x4;
pub const OCRNL: u32 = 0x8;
pub const ONOCR: u32 = 0x10;
pub const ONLRET: u32 = 0x20;
/// Both bits of TABDLY: tabs become spaces.
pub const XTABS: u32 = 0x1800;
/// Local flags.
pub const ISIG: u32 = 0x1;
pub const ICANON: u32 = 0x2;
pub const ECHO: u32 = 0x8;
pub const ECHOE: u32 = 0x10;
pub const ECHOK: u32 = 0x20;
pub const ECHONL: u32 = 0x40;
pub const NOFLSH: u32 = 0x80;
pub const TOSTOP: u32 = 0x100;
pub const ECHOCTL: u32 = 0x200;
pub const ECHOPRT: u32 = 0x400;
pub const ECHOKE: u32 = 0x800;
pub const IEXTEN: u32 = 0x8000;
pub const EXTPROC: u32 = 0x10000;
/// Control flags.
const CBAUD: u32 = 0x100f;
const BOTHER: u32 = 0x1000;
const CSIZE_PARENB: u32 = 0x130;
const CS8_CREAD: u32 = 0xb0;

/// Indices into `c_cc`.
pub const VINTR: usize = 0;
pub const VQUIT: usize = 1;
pub const VERASE: usize = 2;
pub const VKILL: usize = 3;
pub const VEOF: usize = 4;
pub const VTIME: usize = 5;
pub const VMIN: usize = 6;
pub const VSTART: usize = 8;
pub const VSTOP: usize = 9;
pub const VSUSP: usize = 10;
pub const VEOL: usize = 11;
pub const VREPRINT: usize = 12;
pub const VWERASE: usize = 14;
pub const VLNEXT: usize = 15;
pub const VEOL2: usize = 16;

/// `struct termios2`; its first 36 bytes are `struct termios`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Termios {
    pub c_iflag: u32,
    pub c_oflag: u32,
    pub c_cflag: u32,
    pub c_lflag: u32,
    pub c_line: u8,
    pub c_cc: [u8; 19],
    pub c_ispeed: u32,
    pub c_ospeed: u32,
}

/// Bytes of the old `struct termios`, which ends before the speeds.
pub const TERMIOS_LEN: usize = 36;

/// `struct winsize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
    pub x_pixels: u16,
    pub y_pixels: u16,
}

/// What a new pty has (measured on Linux v6.18; drivers/tty/tty_io.c tty_std_termios and pty.c).
impl Default for Termios {
    fn default() -> Self {
        let mut c_cc = [0; 19];
        c_cc[..17].copy_from_slice(b"\x03\x1c\x7f\x15\x04\0\x01\0\x11\x13\x1a\0\x12\x0f\x17\x16\0");
        Self {
            c_iflag: ICRNL | IXON,
            c_oflag: OPOST | ONLCR,
            c_cflag: 0xbf,
            c_lflag: 0x8a3b,
            c_line: 0,
            c_cc,
            c_ispeed: 38400,
            c_ospeed: 38400,
        }
    }
}

impl Termios {
    /// No bit and no character at all.
    pub const NONE: Self = Self {
        c_iflag: 0,
        c_oflag: 0,
        c_cflag: 0,
        c_lflag: 0,
        c_line: 0,
        c_cc: [0; 19],
        c_ispeed: 0,
        c_ospeed: 0,
    };

    /// These attributes, but for what `locked` keeps as it is in `old` (unset_locked_termios).
    #[must_use]
    pub fn without_locked(&self, old: &Self, locked: &Self) -> Self {
        let keep = |new: u32, old: u32, locked: u32| new & !locked | old & locked;
        let mut result = *self;
        result.c_iflag = keep(self.c_iflag, old.c_iflag, locked.c_iflag);
        result.c_oflag = keep(self.c_oflag, old.c_oflag, locked.c_oflag);
        result.c_cflag = keep(self.c_cflag, old.c_cflag, locked.c_cflag);
        result.c_lflag = keep(self.c_lflag, old.c_lflag, locked.c_lflag);
        if locked.c_line != 0 {
            result.c_line = old.c_line;
        }
        for (index, character) in
            result.c_cc.iter_mut().enumerate().filter(|(index, _)| locked.c_cc[*index] != 0)
        {
            *character = old.c_cc[index];
        }
        result
    }

    /// Whether an input flag is set.
    #[must_use]
    pub const fn input(&self, flag: u32) -> bool {
        self.c_iflag & flag != 0
    }
    /// Whether an output flag is set.
    #[must_use]
    pub const fn output(&self, flag: u32) -> bool {
        self.c_oflag & flag != 0
    }
    /// Whether a local flag is set.
    #[must_use]
    pub const fn local(&self, flag: u32) -> bool {
        self.c_lflag & flag != 0
    }
    /// Whether `c` is the special character `index`; 0 disables one.
    #[must_use]
    pub const fn is_char(&self, c: u8, index: usize) -> bool {
        c != 0 && self.c_cc[index] == c
    }

    /// What a pty makes of wanted attributes: always eight bits without parity, and the line discipline
    /// stays (pty_set_termios, tty_termios_baud_rate).
    #[must_use]
    pub fn for_pty(mut self, old: &Self) -> Self {
        self.c_cflag = self.c_cflag & !CSIZE_PARENB | CS8_CREAD;
        self.c_line = old.c_line;
        if self.c_cflag & CBAUD != BOTHER {
            let speed = speed_of(self.c_cflag & CBAUD);
            (self.c_ispeed, self.c_ospeed) = (speed, speed);
        }
        self
    }
}

/// Baud rate of a CBAUD code.
fn speed_of(code: u32) -> u32 {
    const LOW: [u32; 16] =
        [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400];
    const HIGH: [u32; 16] = [
        0, 57600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000,
        2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
    ];
    let table = if code & BOTHER == 0 { &LOW } else { &HIGH };
    table[(code & 0xf) as usize]
}
