//! How Linux's structures lie in memory, for printing.
//!
//! One [`Layout`] for each structure that `syscall-table/syscalls.tbl` mentions. Offsets come from the
//! kernel's headers where `linux-raw-sys` has the structure; handlers use the typed structures of this
//! crate instead.

mod structs;
#[cfg(test)]
mod tests;

/// A structure.
#[derive(Debug)]
pub struct Layout {
    /// The name that the table uses.
    pub name: &'static str,
    /// Bytes.
    pub size: usize,
    /// Fields worth printing. A single field without a name is a bare value, such as an `int *`.
    pub fields: &'static [Field],
}

/// A field.
#[derive(Debug)]
pub struct Field {
    /// As in the header; empty for a bare value or an element of an array.
    pub name: &'static str,
    /// Bytes from the structure's start.
    pub offset: usize,
    /// What it holds.
    pub kind: Kind,
}

/// What a field holds. The first number is its width in bytes: 1, 2, 4 or 8.
#[derive(Debug)]
pub enum Kind {
    /// A signed number.
    Int(u8),
    /// An unsigned number.
    Uint(u8),
    /// An unsigned number better read in hexadecimal, pointers among them.
    Hex(u8),
    /// A mode.
    Octal(u8),
    /// Flags of that set of [`names`](crate::names).
    Flags(u8, &'static str),
    /// A value of that set.
    Enum(u8, &'static str),
    /// A resource limit: a number, RLIM64_INFINITY by name.
    Limit,
    /// A signal set of eight bytes.
    Signals,
    /// Text that ends at its first NUL, at most this long.
    Text(u16),
    /// A wait status.
    WaitStatus,
    /// A descriptor of such a thing; any where the kind is empty.
    Fd(&'static str),
    /// A number of four bytes that names such a thing.
    Id(&'static str),
    /// A port of INET, in network order.
    Port,
    /// A pointer to bytes, of which the next field has the number.
    Bytes,
    /// A pointer to as many of those structures as the next field says.
    Array(&'static Layout),
    /// A pointer to an address of a socket, of which the next field has the length.
    Sockaddr,
    /// Another structure.
    Struct(&'static Layout),
}

/// The layout of that name.
pub fn find(name: &str) -> Option<&'static Layout> {
    structs::ALL.iter().copied().find(|layout| layout.name == name)
}
