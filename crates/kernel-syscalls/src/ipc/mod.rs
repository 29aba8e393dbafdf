//! System V IPC and POSIX message queues (ipc/, Linux v6.18).

mod layout;
pub(crate) mod mqueue;
pub(crate) mod msg;
pub(crate) mod sem;
pub(crate) mod shm;

/// Commands that the three *ctl calls share (include/uapi/linux/ipc.h).
const IPC_RMID: i32 = 0;
const IPC_SET: i32 = 1;
const IPC_STAT: i32 = 2;
const IPC_INFO: i32 = 3;
const IPC_NOWAIT: u32 = 0o4000;

/// Index into a table, from an argument that the call has found not to be negative.
fn not_negative(id: i32) -> abi_linux::SysResult<()> {
    if id < 0 { Err(abi_linux::Errno::EINVAL) } else { Ok(()) }
}
