//! System calls by number: those that libc lacks, or does more than (set*id in all threads).

/// `raw!(SYS_setresuid, 1, 2, 3)`: what this call answers. Pointers among the arguments must be live.
#[macro_export]
macro_rules! raw {
    ($name:ident $(, $argument:expr)* $(,)?) => {
        // SAFETY: the checks pass pointers to live memory of the size that the call wants, or ones it has to refuse.
        ::nix::errno::Errno::result(unsafe { ::libc::syscall($crate::guest::raw::numbers::$name $(, $argument)*) })
    };
}

/// The numbers: libc's, and those that it does not have yet.
#[expect(non_upper_case_globals, reason = "libc spells them so")]
pub mod numbers {
    pub use libc::*;

    macro_rules! calls {
        ($($name:ident = $number:literal;)*) => { $(pub const $name: c_long = $number;)* };
    }
    calls! {
        SYS_futex_wake = 454;
        SYS_futex_wait = 455;
        SYS_futex_requeue = 456;
        SYS_lsm_get_self_attr = 459;
        SYS_lsm_set_self_attr = 460;
        SYS_lsm_list_modules = 461;
    }
}
