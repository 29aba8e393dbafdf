//! The ground floor of the userspace kernel: locks, wait queues, parked calls, credentials, guest
//! pointers, timers. Knows nothing of files or processes.
//!
//! Lock order (outer first): executor::Parked.state → wait::WaitQueue.waiters → executor::Ready.queue.
#![forbid(unsafe_code)]

pub mod caller;
pub mod cred;
pub mod executor;
pub mod reg;
pub mod sized;
pub mod sync;
pub mod timer;
pub mod tunable;
pub mod user;
pub mod user_ns;
pub mod wait;

pub use abi_linux::{Errno, SysResult};
