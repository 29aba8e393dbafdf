//! System calls by number: those that libc lacks, or does more than (set*id in all threads).

/// `raw!(SYS_setresuid, 1, 2, 3)`: what this call answers. Pointers among the arguments must be live.
#[macro_export]
macro_rules! raw {
    ($name:ident $(, $argument:expr)* $(,)?) => {
        // SAFETY: the checks pass pointers to live memory of the size that the call wants, or ones it has to refuse.
        ::nix::errno::Errno::result(unsafe { ::libc::syscall(::libc::$name $(, $argument)*) })
    };
}
