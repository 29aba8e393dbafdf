//! Other doors into the kernel than the syscall instruction in 64-bit mode.

use std::arch::asm;

use integration::guest::{Check, in_child};
use integration::{checks, raw};
use libc::{MAP_32BIT, MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE, c_void};
use nix::errno::Errno;

pub(super) const INSIDE: &[Check] = checks![
    int_0x80_kills,
    int_0x80_from_compatibility_mode_kills,
    x32_numbers_do_not_exist,
    vsyscalls_get_nothing_that_calls_do_not,
    every_number_without_a_row_is_refused,
];

const KILLED: i32 = 128 + libc::SIGSYS;

fn int_0x80_kills() {
    // getpid, open, execve, and a number that has no call.
    for number in [20u64, 5, 11, 0x7fff_ffff] {
        let status = in_child(|| {
            // SAFETY: the call is refused; nothing is read or written.
            unsafe { asm!("int 0x80", inout("rax") number => _, in("rcx") 0u64, in("rdx") 0u64) };
            0
        });
        assert_eq!(status, KILLED, "{number}");
    }
}

/// A page below 4 GB with some code in it.
fn low_page(code: &[u8]) -> *mut c_void {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT;
    let prot = PROT_READ | PROT_WRITE | PROT_EXEC;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, prot, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    // SAFETY: the code is shorter than the page, which is ours.
    unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), page.cast(), code.len()) };
    page
}

fn int_0x80_from_compatibility_mode_kills() {
    // mov eax, 20; int 0x80; ud2
    let page = low_page(&[0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0x0f, 0x0b]);
    let status = in_child(|| {
        // SAFETY: a far return into 32-bit code of our own, in a child that ends there.
        unsafe { asm!("push 0x23", "push {}", ".byte 0x48, 0xcb", in(reg) page, options(noreturn)) }
    });
    assert_eq!(status, KILLED);
}

fn x32_numbers_do_not_exist() {
    for number in (0..600).chain([0x3fff_ffff]) {
        // SAFETY: the call is refused.
        let result = Errno::result(unsafe { libc::syscall(0x4000_0000 | number, 0, 0, 0, 0, 0, 0) });
        assert_eq!(result, Err(Errno::ENOSYS), "{number:#x}");
    }
}

/// The three entries of the vsyscall page, each with pointers to the kernel's memory.
fn vsyscalls_get_nothing_that_calls_do_not() {
    for entry in [0xffff_ffff_ff60_0000u64, 0xffff_ffff_ff60_0400, 0xffff_ffff_ff60_0800] {
        for pointer in [0u64, 0xffff_8880_0000_0000, 0x8000_0000_0000, u64::MAX - 7] {
            let status = in_child(|| {
                let mut answer = entry;
                // SAFETY: the vsyscall page's code, or a fault where there is none; a child's own.
                unsafe {
                    asm!("call {}", in(reg) entry, in("rdi") pointer, in("rsi") pointer, in("rdx") 0,
                         inout("rax") answer, clobber_abi("C"));
                }
                // An error is an answer; a kernel address that was written is none.
                i32::from(pointer > 1 << 46 && (answer as i64) >= 0 && entry != 0xffff_ffff_ff60_0400)
            });
            assert!([0, 128 + libc::SIGSEGV, KILLED].contains(&status), "{entry:#x} {pointer:#x}: {status}");
        }
    }
}

fn every_number_without_a_row_is_refused() {
    for number in (470..1024).chain(1027..5000).chain([usize::MAX >> 1, 0x3fff_ffff]) {
        // SAFETY: the call is refused.
        let result = Errno::result(unsafe { libc::syscall(number as i64, 0, 0, 0, 0, 0, 0) });
        assert_eq!(result, Err(Errno::ENOSYS), "{number}");
    }
    // What guests have no business with is refused whatever its arguments.
    for result in [raw!(SYS_io_uring_setup, 8, 0), raw!(SYS_bpf, 0, 0, 0), raw!(SYS_userfaultfd, 0)] {
        assert!(result.is_err());
    }
    for result in
        [raw!(SYS_perf_event_open, 0, 0, -1, -1, 0), raw!(SYS_modify_ldt, 1, 0, 16), raw!(SYS_iopl, 3)]
    {
        assert!(result.is_err());
    }
    for result in
        [raw!(SYS_init_module, 0, 0, 0), raw!(SYS_kexec_load, 0, 0, 0, 0), raw!(SYS_add_key, 0, 0, 0, 0, 0)]
    {
        assert!(result.is_err());
    }
}
