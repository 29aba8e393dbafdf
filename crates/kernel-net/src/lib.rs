//! Sockets: what a family implements, the one kind of open file over it, and AF_UNIX; AF_INET and AF_INET6 over
//! loopback; AF_NETLINK.
//!
//! [`socket::Socket`] is a non-blocking object like every open file: an operation answers EAGAIN where Linux
//! would wait, and wakes its wait queue. A family is entered in a [`namespace::NetNamespace`]; what AF_INET and AF_INET6
//! are is a [`stack::InetStack`]'s business.
//!
//! Lock order (outer first): `unix::garbage::Passing.passing` → `unix::names::Names.bound` →
//! `unix::UnixSocket.state` → `unix::garbage::Passing.registry`. Two sockets are never locked together. Wait
//! queues are woken, and files dropped, with none of these held.
#![forbid(unsafe_code)]

pub mod control;
pub mod file;
pub mod host;
pub mod inet;
mod memory;
pub mod namespace;
pub mod netlink;
pub mod options;
mod rare;
pub mod socket;
pub mod stack;
pub mod unix;

pub use file::SocketFile;
pub use namespace::NetNamespace;
pub use socket::{MessageFlags, Socket, SocketKind};
pub use stack::InetStack;
