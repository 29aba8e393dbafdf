//! From siginfo_t to signalfd_siginfo, which are of the same size (fs/signalfd.c signalfd_copyinfo).

/// Of both structures.
pub(super) const INFO_SIZE: usize = 128;

/// Which part of siginfo_t's union a signal uses (kernel/signal.c siginfo_layout).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Kill,
    Timer,
    Poll,
    Fault,
    Child,
    Queue,
    Syscall,
}

fn layout(signal: i32, code: i32) -> Layout {
    const SI_TIMER: i32 = -2;
    const SI_SIGIO: i32 = -5;
    const SI_KERNEL: i32 = 0x80;
    match code {
        SI_TIMER => Layout::Timer,
        SI_SIGIO => Layout::Poll,
        ..0 => Layout::Queue,
        0 | SI_KERNEL.. => Layout::Kill,
        _ => match signal {
            4 | 5 | 7 | 8 | 11 => Layout::Fault,
            17 => Layout::Child,
            31 => Layout::Syscall,
            _ if code <= 6 => Layout::Poll,
            _ => Layout::Kill,
        },
    }
}

impl Layout {
    /// From where to where, and how many bytes.
    fn moves(self) -> &'static [(usize, usize, usize)] {
        match self {
            // pid and uid
            Self::Kill => &[(16, 12, 8)],
            // id, overrun, the value as pointer and as int
            Self::Timer => &[(16, 24, 4), (20, 32, 4), (24, 48, 8), (24, 44, 4)],
            // band, descriptor
            Self::Poll => &[(16, 28, 4), (24, 20, 4)],
            // address
            Self::Fault => &[(16, 72, 8)],
            // pid and uid, status, both times
            Self::Child => &[(16, 12, 8), (24, 40, 4), (32, 56, 16)],
            // pid and uid, the value as pointer and as int
            Self::Queue => &[(16, 12, 8), (24, 48, 8), (24, 44, 4)],
            // address of the call, its number, architecture
            Self::Syscall => &[(16, 88, 8), (24, 84, 4), (28, 96, 4)],
        }
    }
}

/// The signalfd_siginfo of a siginfo_t.
pub(super) fn converted(info: &[u8; INFO_SIZE]) -> [u8; INFO_SIZE] {
    let mut out = [0; INFO_SIZE];
    let word =
        |at: usize| info.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, i32::from_ne_bytes);
    // signo, errno and code have the same places.
    let moves = layout(word(0), word(8)).moves();
    for &(from, to, len) in [(0, 0, 12)].iter().chain(moves) {
        if let (Some(source), Some(target)) = (info.get(from..from + len), out.get_mut(to..to + len)) {
            target.copy_from_slice(source);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Layout, converted, layout};

    #[test]
    fn layouts_follow_signal_and_code() {
        assert_eq!(layout(10, 0), Layout::Kill);
        assert_eq!(layout(10, -1), Layout::Queue);
        assert_eq!(layout(10, -2), Layout::Timer);
        assert_eq!(layout(17, 1), Layout::Child);
        assert_eq!(layout(11, 1), Layout::Fault);
        assert_eq!(layout(11, 0x80), Layout::Kill);
        assert_eq!(layout(29, 1), Layout::Poll);
    }

    #[test]
    fn timer_fields_move_to_their_places() {
        let mut info = [0; 128];
        info[0] = 34;
        info[8..12].copy_from_slice(&(-2i32).to_ne_bytes());
        info[16] = 3;
        info[20] = 4;
        info[24..32].copy_from_slice(&0x1_0000_0005u64.to_ne_bytes());
        let out = converted(&info);
        assert_eq!((out[0], out[24], out[32], out[44]), (34, 3, 4, 5));
        assert_eq!(out[48..56], 0x1_0000_0005u64.to_ne_bytes());
    }
}
