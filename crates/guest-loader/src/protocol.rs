//! What the loader program and the supervisor say to each other.
//!
//! This file is compiled twice: as a module of this library and, by `#[path]`, into the `no_std` loader
//! program. It therefore holds numbers and `#[repr(C)]` layouts only; the supervisor's safe encoder is
//! `plan.rs`, the loader's reader is `program/load.rs`.
//!
//! # The private calls
//!
//! | nr | name | arguments | result |
//! |---|---|---|---|
//! | 1024 | [`LOADER_INFO`] | buf, len, role (`ROLE_*`), signal page or 0 | bytes of the plan written to buf, or −errno |
//! | 1025 | [`LOADER_DONE`] | 0 ([`OUTCOME_OK`]), final sp, vDSO base, exe bias, arg start, arg end | 0 |
//! | 1025 | [`LOADER_DONE`] | `FAILED_*`, errno, index of the segment or object | the process is killed |
//! | 1026 | [`INIT_EVENT`] | `EVENT_*`, pid, raw wait status | 0 |
//!
//! # An exec, step by step
//!
//! 1. The supervisor resolves and checks the image, keeps a plan, substitutes
//!    `execveat(loader, "", argv, envp, AT_EMPTY_PATH)` and puts the process in the *Loading* state.
//! 2. The loader maps [`SIGNAL_PAGE_LEN`] bytes: a page with the stub through which the host calls signal
//!    handlers that have no SA_RESTART (`program/trampoline.rs`), and a page with the stub's table of handlers (at
//!    [`SIGNAL_PAGE_TABLE`], a word for each signal) and a `struct kernel_sigaction` for each signal, from 1, at
//!    [`SIGNAL_PAGE_ACTIONS`]. Both are the supervisor's to fill.
//! 3. It calls `LOADER_INFO(buf, MAX_PLAN_LEN, ROLE_EXEC, page)`. The supervisor writes one plan:
//!    [`PlanHeader`], then `segment_count` [`SegmentRecord`]s, then NUL-terminated strings.
//! 4. With mode [`MODE_EXEC`] the loader maps the segments. In the Loading state, and only there, an
//!    mmap with fd [`FD_EXE`] or [`FD_INTERP`] means the file of that object, never the guest's fd.
//! 5. It rebuilds the stack, then calls `LOADER_DONE`: the image runs, the fds 0 and 1 mean the guest's
//!    own again, and `LOADER_INFO` is refused from now on.
//! 6. It clears the registers and jumps.
//!
//! A failure after step 3 is past the point of no return: the loader reports it through `LOADER_DONE` and
//! the supervisor answers with SIGKILL, as Linux v6.12 fs/binfmt_elf.c:load_elf_binary does. If the
//! report itself returns, the loader calls exit_group(127).
//!
//! # Init
//!
//! With mode [`MODE_INIT`] (pid 1 of `palisade do`) the loader stays: it forks once with clone(SIGCHLD),
//! and reaps. The child calls setpgid(0, 0), `INIT_EVENT(EVENT_ATTACH, own pid or 0, 0)` (the supervisor
//! makes it the foreground group), then `LOADER_INFO(…, ROLE_INIT_CHILD)`, and continues at step 4 with
//! the argv and envp that the init was started with. So the child needs no execve of its own. Of the
//! main child's changes (and no other's) the init reports [`EVENT_STOPPED`], [`EVENT_CONTINUED`] and
//! [`EVENT_EXITED`], and after the last it exits with the child's code, or 128 + signal number.

/// Private call: fetch the plan. See the table above.
pub const LOADER_INFO: u64 = 1024;
/// Private call: the image runs, or failed to load.
pub const LOADER_DONE: u64 = 1025;
/// Private call: what happened to the main child of an init.
pub const INIT_EVENT: u64 = 1026;

/// Bytes of the signal page and its data.
pub const SIGNAL_PAGE_LEN: u64 = 8192;
/// Offset of the table of handlers.
pub const SIGNAL_PAGE_TABLE: u64 = 4096;
/// Offset of the 64 `struct kernel_sigaction`s, of 32 bytes each.
pub const SIGNAL_PAGE_ACTIONS: u64 = 4096 + 2048;

/// `LOADER_INFO` by a process that has just been exec'd.
pub const ROLE_EXEC: u64 = 0;
/// `LOADER_INFO` by the main child of an init, which was forked and not exec'd.
pub const ROLE_INIT_CHILD: u64 = 1;

/// Size of the loader's plan buffer; no plan is longer.
pub const MAX_PLAN_LEN: usize = 64 * 1024;
/// Most segments of both objects together. (Linux reads at most 64 KiB of program headers.)
pub const MAX_SEGMENTS: usize = 1024;
/// Most strings before the guest's argv[1]: an interpreter, an argument and a path for each of Linux's
/// five levels of `#!` (BINPRM_BUF_SIZE lines, fs/exec.c:exec_binprm).
pub const MAX_PREFIX: usize = 16;

/// First word of a plan: "PLSD", little endian.
pub const PLAN_MAGIC: u32 = 0x4453_4c50;
/// Second word of a plan; program and library are always built together, so a mismatch is a bug.
pub const PLAN_VERSION: u32 = 1;

/// Load the objects and jump.
pub const MODE_EXEC: u32 = 1;
/// Fork, and become the reaper.
pub const MODE_INIT: u32 = 2;

/// The fd number by which the loader maps the executable.
pub const FD_EXE: i32 = 0;
/// The fd number by which the loader maps the ELF interpreter.
pub const FD_INTERP: i32 = 1;

/// Index of the executable in `PlanHeader::objects`; equal to its fd number.
pub const OBJECT_EXE: u32 = 0;
/// Index of the ELF interpreter in `PlanHeader::objects`; equal to its fd number.
pub const OBJECT_INTERP: u32 = 1;

/// There is no such object (a program without PT_INTERP).
pub const PLACE_ABSENT: u32 = 0;
/// ET_EXEC: at its own addresses, never over an existing mapping.
pub const PLACE_FIXED: u32 = 1;
/// ET_DYN: anywhere; the loader reserves the whole span and the host kernel picks the base.
pub const PLACE_RELOCATABLE: u32 = 2;

/// PT_GNU_STACK asks for an executable stack.
pub const FLAG_EXEC_STACK: u32 = 1;

/// `LOADER_DONE`: the image is complete.
pub const OUTCOME_OK: u64 = 0;
/// `LOADER_DONE`: the plan could not be fetched or is malformed.
pub const FAILED_PLAN: u64 = 1;
/// `LOADER_DONE`: no room for an ET_DYN object; third argument: the object.
pub const FAILED_RESERVE: u64 = 2;
/// `LOADER_DONE`: the file part of a segment cannot be mapped; third argument: the segment's index.
pub const FAILED_MAP: u64 = 3;
/// `LOADER_DONE`: the zero-filled part of a segment cannot be mapped; third argument: its index.
pub const FAILED_BSS: u64 = 4;
/// `LOADER_DONE`: the stack cannot be made executable.
pub const FAILED_STACK: u64 = 5;
/// `LOADER_DONE`: the init could not fork.
pub const FAILED_FORK: u64 = 6;

/// `INIT_EVENT` from the main child: it leads a process group of its own now.
pub const EVENT_ATTACH: u64 = 0;
/// `INIT_EVENT` from the init: the main child has stopped.
pub const EVENT_STOPPED: u64 = 1;
/// `INIT_EVENT` from the init: the main child goes on.
pub const EVENT_CONTINUED: u64 = 2;
/// `INIT_EVENT` from the init: the main child is dead; the init exits next.
pub const EVENT_EXITED: u64 = 3;

/// Where one ELF object goes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectRecord {
    /// A `PLACE_*` value.
    pub place: u32,
    /// Zero.
    pub reserved: u32,
    /// Lowest page-aligned vaddr of a segment.
    pub span_start: u64,
    /// Bytes from `span_start` to the page-aligned end of the last segment.
    pub span_len: u64,
    /// Largest p_align, a power of two of at least a page: the base's alignment.
    pub align: u64,
    /// e_entry as in the file (before the bias).
    pub entry: u64,
}

/// One PT_LOAD: program-header values as in the file. The loader rounds to pages.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRecord {
    /// `OBJECT_EXE` or `OBJECT_INTERP`.
    pub object: u32,
    /// PROT_READ, PROT_WRITE, PROT_EXEC.
    pub prot: u32,
    /// p_vaddr, before the bias.
    pub vaddr: u64,
    /// p_memsz; not less than `file_len`.
    pub mem_len: u64,
    /// p_offset; congruent to `vaddr` modulo the page size.
    pub file_off: u64,
    /// p_filesz; 0: nothing of the file is mapped.
    pub file_len: u64,
}

/// The head of a plan. Offsets count from the head's first byte.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanHeader {
    /// `PLAN_MAGIC`.
    pub magic: u32,
    /// `PLAN_VERSION`.
    pub version: u32,
    /// `MODE_EXEC` or `MODE_INIT`; for the latter everything below is zero.
    pub mode: u32,
    /// Bytes of the whole plan; what `LOADER_INFO` returned.
    pub total_len: u32,
    /// The executable and the ELF interpreter. The interpreter's entry is jumped to where there is one.
    pub objects: [ObjectRecord; 2],
    /// AT_PHDR before the executable's bias, or 0 if no segment holds the program headers.
    pub phdr: u64,
    /// AT_PHENT.
    pub phent: u32,
    /// AT_PHNUM.
    pub phnum: u32,
    /// AT_UID.
    pub uid: u32,
    /// AT_EUID.
    pub euid: u32,
    /// AT_GID.
    pub gid: u32,
    /// AT_EGID.
    pub egid: u32,
    /// AT_SECURE: 0 or 1.
    pub secure: u32,
    /// `FLAG_*`.
    pub flags: u32,
    /// Number of segment records; ascending vaddr within an object.
    pub segment_count: u32,
    /// Offset of the first segment record; a multiple of 8.
    pub segments_off: u32,
    /// Offset of the AT_EXECFN string.
    pub execfn_off: u32,
    /// Number of strings that take the place of the guest's argv[0]; 0: argv stays.
    pub prefix_count: u32,
    /// Offset of the first of them; they follow each other.
    pub prefix_off: u32,
    /// Bytes of all of them with their NULs.
    pub prefix_len: u32,
}
