//! Figures beside those of `figures`: writes, directories, epoll, the clock, signals, threads.

use std::os::fd::AsRawFd;
use std::time::Instant;

use crate::figures::data_file;
use crate::sample::{Summary, measure};
use crate::sys;

pub(crate) fn pwrite(size: usize) -> Summary {
    let (file, buffer) = (data_file(), vec![1_u8; size]);
    let fd = file.as_raw_fd();
    measure(8, || {
        // SAFETY: the buffer is readable for its length.
        let count = unsafe { sys::pwrite(fd, buffer.as_ptr().cast(), size, 0) };
        assert_eq!(count.unsigned_abs(), size);
    })
}

/// A directory of some hundred names, read whole.
pub(crate) fn getdents() -> Summary {
    // SAFETY: a C string.
    let fd = unsafe { sys::open(c"/bin".as_ptr(), sys::O_RDONLY | sys::O_DIRECTORY | sys::O_CLOEXEC) };
    assert!(fd >= 0);
    let mut buffer = vec![0_u8; 32 << 10];
    measure(1, || {
        // SAFETY: no pointer.
        assert_eq!(unsafe { sys::lseek(fd, 0, sys::SEEK_SET) }, 0);
        // SAFETY: the buffer is writable for its length.
        while unsafe { sys::syscall(sys::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()) } > 0 {}
    })
}

/// epoll_wait of a descriptor that is ready.
pub(crate) fn epoll() -> Summary {
    // SAFETY: no pointer.
    let ready = unsafe { sys::eventfd(1, sys::EFD_NONBLOCK) };
    // SAFETY: no pointer.
    let epoll = unsafe { sys::epoll_create1(0) };
    let mut event = sys::epoll_event { events: sys::EPOLLIN, data: 0 };
    // SAFETY: the event outlives the call.
    assert_eq!(unsafe { sys::epoll_ctl(epoll, sys::EPOLL_CTL_ADD, ready, &mut event) }, 0);
    measure(8, || {
        // SAFETY: one event is writable.
        assert_eq!(unsafe { sys::epoll_wait(epoll, &mut event, 1, 0) }, 1);
    })
}

/// The clock, by the vDSO where there is one.
pub(crate) fn clock() -> Summary {
    measure(64, || {
        std::hint::black_box(Instant::now());
    })
}

extern "C" fn ignore(_: sys::c_int) {}

/// A signal to oneself, its handler, and the way back.
pub(crate) fn signal() -> Summary {
    let action = sys::sigaction { sa_sigaction: ignore as *const () as usize, sa_mask: [0; 16], sa_flags: 0, sa_restorer: 0 };
    // SAFETY: the handler does nothing.
    assert_eq!(unsafe { sys::set_action(sys::SIGUSR1, &action, std::ptr::null_mut()) }, 0);
    // SAFETY: no pointer.
    let own = unsafe { sys::getpid() };
    measure(4, || {
        // SAFETY: no pointer.
        assert_eq!(unsafe { sys::kill(own, sys::SIGUSR1) }, 0);
    })
}

/// A thread that does nothing, made and joined.
pub(crate) fn thread() -> Summary {
    measure(1, || std::thread::spawn(|| {}).join().expect("it does nothing"))
}
