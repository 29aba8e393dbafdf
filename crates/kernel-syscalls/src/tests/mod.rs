//! Calls from number and registers to answer, on a guest made of bytes with a tmpfs for its root.

mod any_bytes;
mod descriptors;
mod files;
mod memory;
mod rig;
mod signals;
mod sockets;
mod streams;
mod waiting;
