//! The loader program: a static position-independent ELF file that needs no relocation.
//!
//! It runs in a guest process in place of the image that the guest asked for, with the guest's rights;
//! `../protocol.rs` says what it does. Nothing protects the supervisor here: whatever this program could
//! do, the guest could do too. It has no writable data; its stack and the plan's buffer are one
//! anonymous mapping, made by [`start`] and given back by the last jump.
//!
//! Nothing may panic: a panic's location would need a relocation, and the build refuses those. So: no
//! indexing, no unwrap, no formatted text; iterators, `get`, wrapping arithmetic.
#![no_std]
#![no_main]
#![no_builtins]

#[path = "../protocol.rs"]
#[expect(dead_code, reason = "the library uses the rest")]
mod protocol;

mod image;
mod init;
mod mem;
mod plan;
mod stack;
mod start;
mod sys;
mod trampoline;

use plan::Plan;
use protocol::{FAILED_PLAN, MODE_EXEC, MODE_INIT, ROLE_EXEC, ROLE_INIT_CHILD};

/// A load that failed: the first three arguments of the last `LOADER_DONE`.
pub(crate) struct Failure {
    pub(crate) step: u64,
    pub(crate) errno: u64,
    pub(crate) index: u64,
}

/// Entered by [`start`] on the loader's own stack; `initial` is the stack pointer at exec and `work` the
/// start of the mapping.
pub(crate) fn run(initial: *const u64, work: *mut u8) -> ! {
    let signal_page = trampoline::install();
    match load(initial, work, ROLE_EXEC, signal_page) {
        Ok(jump) => start::enter(jump),
        Err(failure) => sys::fail(&failure),
    }
}

fn load(
    initial: *const u64,
    work: *mut u8,
    role: u64,
    signal_page: u64,
) -> Result<start::Jump, Failure> {
    let plan = Plan::fetch(work, role, signal_page)?;
    match plan.header().mode {
        MODE_EXEC => {
            let bases = image::map(&plan)?;
            let image = stack::build(initial, &plan, &bases)?;
            sys::done(&image, bases.exe);
            Ok(start::Jump { sp: image.sp, entry: bases.start, work })
        }
        MODE_INIT if role == ROLE_EXEC => {
            init::fork_and_reap()?;
            load(initial, work, ROLE_INIT_CHILD, signal_page)
        }
        _ => Err(Failure { step: FAILED_PLAN, errno: sys::EINVAL, index: 0 }),
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit_group(127)
}
