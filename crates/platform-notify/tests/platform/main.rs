//! The platform on real guests: a freestanding C program in a container of its own for each test. Needs user
//! namespaces or root.

mod calls;
mod common;
mod containment;
