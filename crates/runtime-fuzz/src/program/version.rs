//! Which table a program was written for.

use syscall_table::SYSCALLS;

/// A number that changes when the names or the types of arguments of any call do.
pub fn table_version() -> u32 {
    // FNV-1a.
    let mut hash = 0x811c_9dc5_u32;
    let mut mix = |text: &str| {
        for byte in text.bytes() {
            hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    };
    for row in SYSCALLS {
        mix(row.name);
        row.args.iter().for_each(|arg| mix(&format!("{:?}", arg.ty)));
    }
    hash
}
