//! The first and the last instructions.
//!
//! At exec the stack pointer is at argc. The final stack is built right below it, where the loader's own
//! frames would be; so `_start` moves to a mapping of its own, whose lower part is the plan's buffer.

use core::arch::{asm, global_asm};

use crate::protocol::MAX_PLAN_LEN;

/// Bytes for the loader's frames; it needs less than one page.
const STACK_LEN: usize = 16 * 1024;
const WORK_LEN: usize = MAX_PLAN_LEN + STACK_LEN;

/// The values of the last jump.
pub(crate) struct Jump {
    pub(crate) sp: u64,
    pub(crate) entry: u64,
    pub(crate) work: *mut u8,
}

global_asm!(
    ".section .text._start,\"ax\",@progbits",
    ".globl _start",
    "_start:",
    "mov rbx, rsp",
    "xor ebp, ebp",
    "mov eax, 9", // mmap(0, WORK_LEN, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
    "xor edi, edi",
    "mov esi, {len}",
    "mov edx, 3",
    "mov r10d, 0x22",
    "mov r8, -1",
    "xor r9d, r9d",
    "syscall",
    "cmp rax, -4096",
    "ja 2f",
    "lea rsp, [rax + {len}]",
    "mov rdi, rbx",
    "mov rsi, rax",
    "call {main}",
    "2:",
    "mov eax, 231", // exit_group(127)
    "mov edi, 127",
    "syscall",
    "ud2",
    len = const WORK_LEN,
    main = sym main,
);

extern "C" fn main(initial: *const u64, work: *mut u8) -> ! {
    crate::run(initial, work)
}

/// Unmaps the work area, clears the registers as Linux does (v6.12 arch/x86/include/asm/elf.h:
/// ELF_PLAT_INIT; rdx is the function that libc hands to atexit), and goes to the entry. The x87 and MXCSR
/// state is that of exec: the loader has no floating-point code; SSE registers may hold copied words.
pub(crate) fn enter(jump: Jump) -> ! {
    // SAFETY: nothing of the loader is used again; the two words below `sp` are free stack, and `entry`
    // was mapped for this purpose.
    unsafe {
        asm!(
            "mov rsp, rdx",
            "push rcx",     // taken by ret
            "push 0x202",   // taken by popfq
            "mov eax, 11",  // munmap
            "syscall",
            "xor eax, eax", "xor ebx, ebx", "xor ecx, ecx", "xor edx, edx",
            "xor esi, esi", "xor edi, edi", "xor ebp, ebp", "xor r8d, r8d",
            "xor r9d, r9d", "xor r10d, r10d", "xor r11d, r11d", "xor r12d, r12d",
            "xor r13d, r13d", "xor r14d, r14d", "xor r15d, r15d",
            "xorps xmm0, xmm0", "xorps xmm1, xmm1", "xorps xmm2, xmm2", "xorps xmm3, xmm3",
            "xorps xmm4, xmm4", "xorps xmm5, xmm5", "xorps xmm6, xmm6", "xorps xmm7, xmm7",
            "xorps xmm8, xmm8", "xorps xmm9, xmm9", "xorps xmm10, xmm10", "xorps xmm11, xmm11",
            "xorps xmm12, xmm12", "xorps xmm13, xmm13", "xorps xmm14, xmm14", "xorps xmm15, xmm15",
            "popfq",
            "ret",
            in("rdi") jump.work,
            in("rsi") WORK_LEN,
            in("rdx") jump.sp,
            in("rcx") jump.entry,
            options(noreturn),
        )
    }
}
