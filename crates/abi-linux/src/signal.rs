//! Signals (signal(7); arch/x86/include/uapi/asm/signal.h).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A set of signals, bit `n - 1` for signal `n`: the kernel's `sigset_t` on x86_64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SigSet(pub u64);

/// A signal number, 1 to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident = $value:literal;)*) => {
        impl Signal {
            $(#[doc = concat!("signal ", $value)] pub const $name: Self = Self($value);)*

            /// The symbolic name, `None` for real-time signals.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($value => Some(stringify!($name)),)* _ => None }
            }
        }
    };
}

signals! {
    SIGHUP = 1; SIGINT = 2; SIGQUIT = 3; SIGILL = 4; SIGTRAP = 5; SIGABRT = 6; SIGBUS = 7; SIGFPE = 8;
    SIGKILL = 9; SIGUSR1 = 10; SIGSEGV = 11; SIGUSR2 = 12; SIGPIPE = 13; SIGALRM = 14; SIGTERM = 15;
    SIGSTKFLT = 16; SIGCHLD = 17; SIGCONT = 18; SIGSTOP = 19; SIGTSTP = 20; SIGTTIN = 21; SIGTTOU = 22;
    SIGURG = 23; SIGXCPU = 24; SIGXFSZ = 25; SIGVTALRM = 26; SIGPROF = 27; SIGWINCH = 28; SIGIO = 29;
    SIGPWR = 30; SIGSYS = 31;
}

/// Highest signal number.
pub const NSIG: u8 = 64;

impl Signal {
    /// A signal from a guest's number; `None` outside 1..=64.
    #[must_use]
    pub const fn new(number: i32) -> Option<Self> {
        if number >= 1 && number <= NSIG as i32 { Some(Self(number as u8)) } else { None }
    }

    /// The number, 1 to 64.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0 as i32
    }

    /// The set of just this signal.
    #[must_use]
    pub const fn bit(self) -> SigSet {
        SigSet(1 << (self.0 - 1))
    }

    /// Whether the default action is to do nothing (signal(7): Ign, and SIGCONT for a running process).
    #[must_use]
    pub const fn default_ignored(self) -> bool {
        matches!(self, Self::SIGCHLD | Self::SIGURG | Self::SIGWINCH | Self::SIGCONT)
    }
}

impl SigSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);

    /// Whether the signal is in the set.
    #[must_use]
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & signal.bit().0 != 0
    }

    /// Signals whose default action is to do nothing.
    pub const DEFAULT_IGNORED: Self = Self(
        Signal::SIGCHLD.bit().0 | Signal::SIGURG.bit().0 | Signal::SIGWINCH.bit().0 | Signal::SIGCONT.bit().0,
    );
}

/// `struct kernel_sigaction` of x86_64 (include/linux/signal_types.h), which rt_sigaction(2) takes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Action {
    /// Address of the handler, or [`Action::DEFAULT`] or [`Action::IGNORE`].
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Where a handler returns to.
    pub restorer: u64,
    /// Blocked while the handler runs: a [`SigSet`].
    pub mask: u64,
}

impl Action {
    /// SIG_DFL.
    pub const DEFAULT: u64 = 0;
    /// SIG_IGN.
    pub const IGNORE: u64 = 1;
    /// SA_RESTART: calls that the handler interrupts restart.
    pub const RESTART: u64 = 0x1000_0000;
    /// SA_RESETHAND: back to SIG_DFL when the handler is called.
    pub const RESET_HAND: u64 = 0x8000_0000;
    /// UAPI_SA_FLAGS of x86 (include/linux/signal_types.h): the kernel forgets other bits.
    const KNOWN_FLAGS: u64 = 0xdc00_0807;

    /// As the kernel keeps it (kernel/signal.c:do_sigaction).
    #[must_use]
    pub const fn kept(self) -> Self {
        let unblockable = Signal::SIGKILL.bit().0 | Signal::SIGSTOP.bit().0;
        Self { flags: self.flags & Self::KNOWN_FLAGS, mask: self.mask & !unblockable, ..self }
    }

    /// Whether calls that this handler interrupts fail with EINTR: a handler without SA_RESTART.
    #[must_use]
    pub const fn interrupts(&self) -> bool {
        self.handler > Self::IGNORE && self.flags & Self::RESTART == 0
    }
}
