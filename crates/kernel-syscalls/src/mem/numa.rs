//! Memory policies of a machine with one node (mm/mempolicy.c, Linux v6.18): set_mempolicy(2), get_mempolicy(2),
//! mbind(2), migrate_pages(2). What is asked for is checked, a thread's policy is kept for it to read back, and nothing
//! else is to be done: all memory is on node 0.

use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::user::UserRef;
use kernel_task::task::MemoryPolicy;

use crate::cx::{Cx, Outcome};
use crate::process::check_pointer;

const MPOL_DEFAULT: i32 = 0;
const MPOL_PREFERRED: i32 = 1;
const MPOL_BIND: i32 = 2;
const MPOL_LOCAL: i32 = 4;
const MPOL_PREFERRED_MANY: i32 = 5;
const MPOL_MAX: i32 = 7;
const MPOL_F_STATIC_NODES: i32 = 1 << 15;
const MPOL_F_RELATIVE_NODES: i32 = 1 << 14;
const MPOL_F_NUMA_BALANCING: i32 = 1 << 13;
const MODE_FLAGS: i32 = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES | MPOL_F_NUMA_BALANCING;

const MPOL_F_NODE: u64 = 1;
const MPOL_F_ADDR: u64 = 2;
const MPOL_F_MEMS_ALLOWED: u64 = 4;
const MPOL_MF_VALID: u32 = 7;
const MPOL_MF_MOVE_ALL: u32 = 4;

const PAGE: u64 = 4096;
/// Bits of the longest mask that is looked at.
const MAX_MASK: u64 = PAGE * 8;
/// Nodes that a kernel may know (CONFIG_NODES_SHIFT 10); bits above must be clear.
const MAX_NUMNODES: u64 = 1024;
/// The machine's nodes.
const NODES: u64 = 1;

/// The nodes of a mask: the first 64, and EINVAL for bits that no kernel knows (get_nodes).
fn nodes(cx: &Cx, mask: u64, maxnode: u64) -> SysResult<u64> {
    let bits = maxnode.wrapping_sub(1);
    if bits == 0 || mask == 0 {
        return Ok(0);
    }
    if bits > MAX_MASK {
        return Err(Errno::EINVAL);
    }
    let count = usize::try_from(bits.div_ceil(64)).map_err(|_| Errno::EINVAL)?;
    let mut words = cx.mem().read_array(UserRef::<u64>::new(mask), count)?;
    if let Some(last) = words.last_mut().filter(|_| !bits.is_multiple_of(64)) {
        *last &= (1 << (bits % 64)) - 1;
    }
    let known = (MAX_NUMNODES / 64) as usize;
    if words.iter().skip(known).any(|&word| word != 0) {
        return Err(Errno::EINVAL);
    }
    // Those that the machine does not have count as one that it does not have.
    let beyond = words.iter().skip(1).any(|&word| word != 0);
    Ok(words.first().copied().unwrap_or(0) | if beyond { 1 << 63 } else { 0 })
}

/// Checks a policy (sanitize_mpol_flags, mpol_new, mpol_set_nodemask).
fn policy(mode: i32, nodes: u64) -> SysResult<MemoryPolicy> {
    let flags = mode & MODE_FLAGS;
    let mode = mode & !MODE_FLAGS;
    let relations = flags & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES);
    let balances = flags & MPOL_F_NUMA_BALANCING != 0;
    if !(0..MPOL_MAX).contains(&mode)
        || relations == MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES
        || balances && !matches!(mode, MPOL_BIND | MPOL_PREFERRED_MANY)
    {
        return Err(Errno::EINVAL);
    }
    match mode {
        MPOL_DEFAULT if nodes != 0 => Err(Errno::EINVAL),
        MPOL_DEFAULT => Ok(MemoryPolicy::default()),
        MPOL_PREFERRED | MPOL_LOCAL if nodes == 0 && relations == 0 => {
            Ok(MemoryPolicy { mode: MPOL_LOCAL | flags, nodes: 0 })
        }
        MPOL_LOCAL => Err(Errno::EINVAL),
        _ if nodes & NODES == 0 && flags & MPOL_F_RELATIVE_NODES == 0 || nodes == 0 => Err(Errno::EINVAL),
        _ => Ok(MemoryPolicy { mode: mode | flags, nodes: NODES }),
    }
}

/// set_mempolicy(2).
pub(crate) fn sys_set_mempolicy(cx: &Cx, mode: i32, nodemask: u64, maxnode: u64) -> SysResult<()> {
    // An unknown mode is seen before the mask.
    policy_mode(mode)?;
    let wanted = nodes(cx, nodemask, maxnode)?;
    cx.set_memory_policy(policy(mode, wanted)?);
    Ok(())
}

fn policy_mode(mode: i32) -> SysResult<()> {
    if (0..MPOL_MAX).contains(&(mode & !MODE_FLAGS)) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// mbind(2).
pub(crate) fn sys_mbind(
    cx: &Cx,
    addr: u64,
    len: u64,
    mode: i32,
    nodemask: u64,
    maxnode: u64,
    flags: u32,
) -> SysResult<()> {
    policy_mode(mode)?;
    let wanted = nodes(cx, nodemask, maxnode)?;
    if flags & !MPOL_MF_VALID != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & MPOL_MF_MOVE_ALL != 0 && !cx.credentials().has(Cap::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    check_range(addr, len)?;
    if len == 0 {
        return Ok(());
    }
    policy(mode, wanted)?;
    let mut byte = [0];
    // (A hole behind the first page is not noticed.)
    cx.mem().read_bytes(addr, &mut byte)
}

/// EINVAL for an address that is no page's, or an end before it.
fn check_range(addr: u64, len: u64) -> SysResult<()> {
    let len = len.checked_add(PAGE - 1).ok_or(Errno::EINVAL)? & !(PAGE - 1);
    let is_valid = addr.is_multiple_of(PAGE) && addr.checked_add(len).is_some();
    if is_valid { Ok(()) } else { Err(Errno::EINVAL) }
}

/// get_mempolicy(2).
pub(crate) fn sys_get_mempolicy(
    cx: &Cx,
    mode: u64,
    nodemask: u64,
    maxnode: u64,
    addr: u64,
    flags: u64,
) -> SysResult<()> {
    if nodemask != 0 && maxnode < NODES.count_ones().into() {
        return Err(Errno::EINVAL);
    }
    let (value, mask) = asked(cx, addr, flags)?;
    if mode != 0 {
        cx.mem().write(UserRef::new(mode), &value)?;
    }
    if nodemask == 0 {
        return Ok(());
    }
    // copy_nodes_to_user: the rest of a longer mask is cleared.
    let words = maxnode.saturating_sub(1).div_ceil(64);
    if words * 8 > PAGE {
        return Err(Errno::EINVAL);
    }
    let mut out = vec![0u64; usize::try_from(words).map_err(|_| Errno::EINVAL)?];
    if let Some(first) = out.first_mut() {
        *first = mask;
    }
    cx.mem().write_array(UserRef::new(nodemask), &out)
}

/// The mode, or the node, and the mask.
fn asked(cx: &Cx, addr: u64, flags: u64) -> SysResult<(i32, u64)> {
    if flags & !(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & MPOL_F_MEMS_ALLOWED != 0 {
        return if flags == MPOL_F_MEMS_ALLOWED { Ok((0, NODES)) } else { Err(Errno::EINVAL) };
    }
    if flags & MPOL_F_ADDR != 0 {
        // The page is there, on the only node, or faulted in.
        cx.mem().read_bytes(addr, &mut [0])?;
    } else if addr != 0 {
        return Err(Errno::EINVAL);
    }
    let own = cx.memory_policy();
    match flags & (MPOL_F_NODE | MPOL_F_ADDR) {
        0 | MPOL_F_ADDR => Ok((own.mode, own.nodes)),
        MPOL_F_NODE if !matches!(own.mode & !MODE_FLAGS, 3 | 6) => Err(Errno::EINVAL),
        // The node, or the next one of an interleaving policy.
        _ => Ok((0, own.nodes)),
    }
}

/// migrate_pages(2): there is no other node to come from.
pub(crate) fn sys_migrate_pages(
    cx: &Cx,
    pid: i32,
    maxnode: u64,
    old_nodes: u64,
    new_nodes: u64,
) -> SysResult<i32> {
    nodes(cx, old_nodes, maxnode)?;
    let to = nodes(cx, new_nodes, maxnode)?;
    if pid != 0 {
        let task = cx.kernel().task_by_guest_tid(pid).ok_or(Errno::ESRCH)?;
        if !crate::process::pidfd::may_attach(cx, &task.process) {
            return Err(Errno::EPERM);
        }
    }
    if to & NODES == 0 { Err(Errno::EINVAL) } else { Ok(0) }
}

/// move_pages(2) of the caller, whom the host knows by another id; EPERM of others.
pub(crate) fn sys_move_pages(
    cx: &Cx,
    pid: i32,
    count: u64,
    pages: u64,
    nodes: u64,
    status: u64,
    flags: u32,
) -> SysResult<Outcome> {
    const MOVE_PAGES: i32 = 279;
    for pointer in [pages, nodes, status] {
        check_pointer(pointer)?;
    }
    if pid == 0 {
        return Ok(Outcome::Continue);
    }
    if pid != cx.process.pid {
        return Err(if cx.kernel().task_by_guest_tid(pid).is_some() { Errno::EPERM } else { Errno::ESRCH });
    }
    Ok(Outcome::Substitute { nr: MOVE_PAGES, args: [0, count, pages, nodes, status, flags.into()] })
}

/// set_mempolicy_home_node(2): no range has a policy of its own to add a home to.
pub(crate) fn sys_set_mempolicy_home_node(
    _cx: &Cx,
    start: u64,
    len: u64,
    home_node: u64,
    flags: u64,
) -> SysResult<()> {
    check_range(start, len)?;
    if flags != 0 || home_node >= NODES.count_ones().into() {
        return Err(Errno::EINVAL);
    }
    if len == 0 { Ok(()) } else { Err(Errno::ENOENT) }
}
