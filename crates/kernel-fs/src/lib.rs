//! What lies behind open files: one folder for each filesystem, and pipes, terminals, eventfds, timerfds
//! and epoll. They implement the traits of kernel-vfs and know processes through `Caller` alone.
#![forbid(unsafe_code)]

pub mod dev;
pub mod devpts;
pub mod epoll;
pub mod eventfd;
pub mod hostfs;
mod hoststream;
pub mod inotify;
pub mod mqueue;
pub mod nsfs;
pub mod overlay;
pub mod pidfd;
pub mod pipe;
pub mod proc;
mod pseudo;
pub mod signalfd;
pub mod sys;
pub mod timerfd;
pub mod tmpfs;
pub mod tty;

#[cfg(test)]
mod fs_test;
#[cfg(test)]
mod io_test;
