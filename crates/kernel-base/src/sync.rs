//! The kernel's locks: parking_lot's, which do not poison, with a checker of lock order in debug builds.

pub use tracing_mutex::parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
