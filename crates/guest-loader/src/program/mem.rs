//! The memory functions that the compiler may call for copies and fills; there is no libc to bring them.

use core::arch::asm;

/// memcpy(3).
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller gives two valid ranges of `len` bytes; the direction flag is clear.
    unsafe {
        asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") len => _,
             options(nostack, preserves_flags));
    }
    to
}

/// memset(3).
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // SAFETY: the caller gives a valid range of `len` bytes; the direction flag is clear.
    unsafe {
        asm!("rep stosb", inout("rdi") to => _, in("eax") byte, inout("rcx") len => _,
             options(nostack, preserves_flags));
    }
    to
}

/// Copies bytes.
///
/// # Safety
/// `len` bytes are readable at `from` and writable at `to`, and the ranges do not overlap.
pub(crate) unsafe fn copy(to: u64, from: u64, len: u64) {
    // SAFETY: the caller's promise is the same.
    unsafe { memcpy(to as *mut u8, from as *const u8, len as usize) };
}

/// Fills with zeros.
///
/// # Safety
/// `len` bytes are writable at `to`.
pub(crate) unsafe fn zero(to: u64, len: u64) {
    // SAFETY: the caller's promise is the same.
    unsafe { memset(to as *mut u8, 0, len as usize) };
}

/// strlen(3) plus one.
///
/// # Safety
/// A NUL-terminated string is readable at `at`.
pub(crate) unsafe fn string_len(at: u64) -> u64 {
    let mut end = at as *const u8;
    // SAFETY: `end` has not passed the NUL yet.
    while unsafe { end.read_volatile() } != 0 {
        end = end.wrapping_add(1);
    }
    (end as u64).wrapping_sub(at).wrapping_add(1)
}
