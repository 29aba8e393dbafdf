//! Signal frames that a program has forged: the kernel takes what a user may have, and nothing more.

use std::arch::asm;
use std::sync::atomic::{AtomicUsize, Ordering};

use integration::checks;
use integration::guest::{Check, in_child};
use libc::{REG_CSGSFS, REG_EFL, REG_RIP, REG_RSP, c_int, c_void, siginfo_t, ucontext_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

pub(super) const PORTABLE: &[Check] = checks![
    frame_that_returns_into_the_kernel_faults,
    frame_with_a_kernels_segments_faults_or_is_corrected,
    frame_does_not_give_io_privilege,
    frame_with_a_foreign_register_area_gives_nothing,
    sigreturn_without_a_frame_faults,
];

const KERNEL: i64 = 0xffff_ffff_8100_0000_u64.cast_signed();
const IOPL: i64 = 0x3000;

/// Which forgery the handler makes.
static FORGERY: AtomicUsize = AtomicUsize::new(0);

extern "C" fn forge(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes the frame's context to a handler with SA_SIGINFO.
    let context = unsafe { &mut *context.cast::<ucontext_t>() };
    let registers = &mut context.uc_mcontext.gregs;
    let mut set = |register: c_int, value: i64| registers[register as usize] = value;
    match FORGERY.load(Ordering::SeqCst) {
        0 => set(REG_RIP, KERNEL),
        1 => set(REG_RIP, 1 << 47),
        2 => set(REG_CSGSFS, 0x10),
        3 => set(REG_CSGSFS, 0x18 << 48 | 0x33),
        4 => set(REG_RSP, KERNEL),
        5 => set(REG_EFL, 0x202 | IOPL | 0x4000 | 0x2_0000),
        6 => context.uc_mcontext.fpregs = 0xffff_8880_0000_0000_u64 as *mut _,
        _ => context.uc_mcontext.fpregs = 0x7fff_ffff_f000_u64 as *mut _,
    }
}

/// How a child ends that returns from a handler with this forgery; its flags' IO privilege if it goes on.
fn end_of(forgery: usize) -> i32 {
    FORGERY.store(forgery, Ordering::SeqCst);
    in_child(|| {
        let action = SigAction::new(SigHandler::SigAction(forge), SaFlags::SA_SIGINFO, SigSet::empty());
        // SAFETY: the handler writes to its own frame only.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.expect("sigaction");
        nix::sys::signal::raise(Signal::SIGUSR1).expect("raise");
        let flags: i64;
        // SAFETY: reads the flags.
        unsafe { asm!("pushfq", "pop {}", out(reg) flags) };
        i32::from(flags & IOPL != 0)
    })
}

const FAULTS: [i32; 3] = [128 + libc::SIGSEGV, 128 + libc::SIGBUS, 128 + libc::SIGILL];

fn frame_that_returns_into_the_kernel_faults() {
    for forgery in [0, 1] {
        assert!(FAULTS.contains(&end_of(forgery)), "{forgery}");
    }
}

fn frame_with_a_kernels_segments_faults_or_is_corrected() {
    for forgery in [2, 3, 4] {
        let end = end_of(forgery);
        assert!(end == 0 || FAULTS.contains(&end), "{forgery}: {end}");
    }
}

fn frame_does_not_give_io_privilege() {
    let end = end_of(5);
    assert!(end == 0 || FAULTS.contains(&end), "{end}");
}

fn frame_with_a_foreign_register_area_gives_nothing() {
    // Some kernels start with fresh registers instead.
    for forgery in [6, 7] {
        let end = end_of(forgery);
        assert!(end == 0 || FAULTS.contains(&end), "{forgery}: {end}");
    }
}

fn sigreturn_without_a_frame_faults() {
    for stack in [0u64, 8, 0xffff_8880_0000_0000, 0x7fff_ffff_f000] {
        let status = in_child(|| {
            // SAFETY: the child has no use for its stack any more.
            unsafe { asm!("mov rsp, {}", "mov eax, 15", "syscall", "ud2", in(reg) stack, options(noreturn)) }
        });
        assert!(FAULTS.contains(&status), "{stack:#x}: {status}");
    }
}
