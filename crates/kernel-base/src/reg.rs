//! From a register to a typed argument. Linux takes the low half for `int` arguments and ignores the rest.

/// A type that a system call argument register decodes to; total, so decoding cannot fail.
pub trait FromReg {
    /// Decodes one register.
    fn from_reg(reg: u64) -> Self;
}

macro_rules! from_reg_by_cast {
    ($($ty:ty),*) => {$(
        impl FromReg for $ty {
            fn from_reg(reg: u64) -> Self {
                reg as $ty
            }
        }
    )*};
}
from_reg_by_cast!(i32, u32, i64, u64, usize, u16);

/// A file descriptor number as a guest wrote it; may be AT_FDCWD or nonsense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fd(pub i32);

impl FromReg for Fd {
    fn from_reg(reg: u64) -> Self {
        Self(reg as i32)
    }
}
