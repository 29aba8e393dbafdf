//! The stub through which the host calls those handlers of the guest that have no SA_RESTART.
//!
//! The host believes that they have it, so that a call which a signal aborts before the supervisor has received
//! it begins again unseen. The calls that the host itself performs, and that a signal has to interrupt, are made
//! to fail here: when the frame says that the thread is about to execute a wait4, waitid or futex wait again, the
//! stub has it return EINTR instead. (If the thread had not executed it yet, that is as if the signal had come
//! a moment later.) Linux v6.18 arch/x86/kernel/signal.c:handle_signal decides the same, without a look at code.
//!
//! The stub is entered as a handler is: rdi the signal, rsi its siginfo, rdx the ucontext. It uses no stack and
//! nothing but call-clobbered registers, and jumps to the handler from its table.

use core::arch::{asm, global_asm};

use crate::protocol::{SIGNAL_PAGE_LEN, SIGNAL_PAGE_TABLE};
use crate::sys::{MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE};
use crate::{mem, sys};

global_asm!(
    ".section .text.trampoline,\"ax\",@progbits",
    ".globl palisade_trampoline",
    ".globl palisade_trampoline_end",
    ".balign 16",
    "palisade_trampoline:",
    "mov rax, [rdx + {rax}]",
    "cmp rax, 61", // wait4
    "je 2f",
    "cmp rax, 247", // waitid
    "je 3f",
    "cmp rax, 202", // futex
    "je 4f",
    "cmp rax, 449", // futex_waitv
    "je 5f",
    "cmp rax, 455", // futex_wait
    "je 5f",
    "9:",
    "mov eax, edi",
    "lea rcx, [rip + palisade_trampoline + {table}]",
    "mov rcx, [rcx + rax*8]",
    "xor eax, eax", // as the host leaves it: no vector registers in a call with variable arguments
    "jmp rcx",
    "2:",
    "test byte ptr [rdx + {rdx}], 1", // options & WNOHANG
    "jnz 9b",
    "jmp 5f",
    "3:",
    "test byte ptr [rdx + {r10}], 1", // options & WNOHANG
    "jnz 9b",
    "jmp 5f",
    "4:",
    "mov ecx, [rdx + {rsi}]",
    "and ecx, 0x7f", // FUTEX_CMD_MASK but for the modifiers
    "jz 5f", // FUTEX_WAIT
    "cmp ecx, 9", // FUTEX_WAIT_BITSET
    "jne 9b",
    "5:",
    // A fault is not about a call, and its rip may point to nothing.
    "cmp edi, 11", // SIGSEGV
    "je 6f",
    "cmp edi, 7", // SIGBUS
    "jne 7f",
    "6:",
    "cmp dword ptr [rsi + 8], 0", // si_code: positive from the kernel
    "jg 9b",
    "7:",
    "mov rcx, [rdx + {rip}]",
    "cmp word ptr [rcx], 0x050f", // syscall
    "jne 9b",
    "mov qword ptr [rdx + {rax}], -4", // EINTR
    "add qword ptr [rdx + {rip}], 2",
    "jmp 9b",
    "palisade_trampoline_end:",
    // Offsets in struct ucontext (arch/x86/include/uapi/asm/sigcontext.h; 40 bytes come before the registers).
    rax = const 144,
    rdx = const 136,
    rsi = const 112,
    r10 = const 56,
    rip = const 168,
    table = const SIGNAL_PAGE_TABLE,
);

/// Makes the signal page: its address, or 0. Without one, handlers are called as they are.
pub(crate) fn install() -> u64 {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS;
    // SAFETY: not a fixed mapping.
    let Ok(page) = (unsafe { sys::mmap(0, SIGNAL_PAGE_LEN, PROT_READ | PROT_WRITE, flags, -1, 0) }) else {
        return 0;
    };
    let (start, end): (u64, u64);
    // SAFETY: takes two addresses.
    unsafe {
        asm!("lea {}, [rip + palisade_trampoline]", "lea {}, [rip + palisade_trampoline_end]",
             out(reg) start, out(reg) end, options(nomem, nostack, preserves_flags));
    }
    // SAFETY: the stub is shorter than its page, which was just mapped.
    unsafe { mem::copy(page, start, end.wrapping_sub(start)) };
    // SAFETY: nothing writes to the code any more.
    let sealed = unsafe { sys::protect(page, SIGNAL_PAGE_TABLE, PROT_READ | PROT_EXEC) };
    if sealed.is_ok() { page } else { 0 }
}
