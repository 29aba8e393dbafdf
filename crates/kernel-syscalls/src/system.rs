//! The machine and the container as a whole: uname, sysinfo, host names, random bytes.

pub(crate) mod filesystems;
pub(crate) mod security;

use std::sync::atomic::Ordering;

use abi_linux::process::{Sysinfo, UTS_LEN, Utsname};
use abi_linux::raw::general::{GRND_INSECURE, GRND_NONBLOCK, GRND_RANDOM};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::user::UserRef;
use kernel_task::kernel::{RELEASE, VERSION};

use crate::cx::{Cx, SCRATCH_LEN, with_scratch};

/// Most bytes that one getrandom(2) gives (drivers/char/random.c via import_ubuf: MAX_RW_COUNT; ours is
/// what a worker does without pausing, and readers loop).
const RANDOM_MAX: usize = 32 << 20;

fn name(text: &[u8]) -> [u8; UTS_LEN] {
    let mut field = [0; UTS_LEN];
    let len = text.len().min(UTS_LEN - 1);
    field[..len].copy_from_slice(&text[..len]);
    field
}

/// uname(2).
pub(crate) fn sys_uname(cx: &Cx, buf: UserRef<Utsname>) -> SysResult<()> {
    let uts = cx.process.namespaces().uts.names.read().clone();
    let names = Utsname {
        sysname: name(b"Linux"),
        nodename: name(&uts.hostname),
        release: name(RELEASE.as_bytes()),
        version: name(VERSION.as_bytes()),
        machine: name(machine(cx.process.personality.load(Ordering::Relaxed))),
        domainname: name(&uts.domainname),
    };
    cx.mem().write(buf, &names)
}

/// What uname(2) calls the machine (override_architecture, COMPAT_UTS_MACHINE).
fn machine(persona: u32) -> &'static [u8] {
    const PER_MASK: u32 = 0xff;
    const PER_LINUX32: u32 = 8;
    if persona & PER_MASK == PER_LINUX32 { b"i686" } else { b"x86_64" }
}

fn new_name(cx: &Cx, addr: u64, len: i32) -> SysResult<Vec<u8>> {
    if !cx.credentials().has_in(cx.process.namespaces().uts.base().user_ns(), Cap::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let len = usize::try_from(len).ok().filter(|&len| len < UTS_LEN).ok_or(Errno::EINVAL)?;
    let mut bytes = vec![0; len];
    cx.mem().read_bytes(addr, &mut bytes)?;
    Ok(bytes)
}

/// sethostname(2).
pub(crate) fn sys_sethostname(cx: &Cx, addr: u64, len: i32) -> SysResult<()> {
    let new = new_name(cx, addr, len)?;
    cx.process.namespaces().uts.names.write().hostname = new;
    Ok(())
}

/// setdomainname(2).
pub(crate) fn sys_setdomainname(cx: &Cx, addr: u64, len: i32) -> SysResult<()> {
    let new = new_name(cx, addr, len)?;
    cx.process.namespaces().uts.names.write().domainname = new;
    Ok(())
}

/// sysinfo(2).
pub(crate) fn sys_sysinfo(cx: &Cx, info: UserRef<Sysinfo>) -> SysResult<()> {
    let machine = cx.kernel().machine_state();
    let processes = cx.kernel().processes();
    let threads: usize = processes.iter().map(|process| process.tasks().len()).sum();
    let filled = Sysinfo {
        uptime: i64::try_from(machine.uptime_s).unwrap_or(i64::MAX),
        loads: machine.loads,
        totalram: machine.total_bytes,
        freeram: machine.free_bytes,
        sharedram: machine.shared_bytes,
        bufferram: machine.buffer_bytes,
        totalswap: machine.swap_total_bytes,
        freeswap: machine.swap_free_bytes,
        procs: u16::try_from(threads).unwrap_or(u16::MAX),
        mem_unit: 1,
        ..Sysinfo::default()
    };
    cx.mem().write(info, &filled)
}

/// personality(2): 0xffffffff only asks.
pub(crate) fn sys_personality(cx: &Cx, persona: u32) -> SysResult<u32> {
    let books = &cx.process.personality;
    if persona == u32::MAX {
        return Ok(books.load(Ordering::Relaxed));
    }
    Ok(books.swap(persona, Ordering::Relaxed))
}

/// getrandom(2).
pub(crate) fn sys_getrandom(cx: &Cx, buf: u64, buflen: usize, flags: u32) -> SysResult<usize> {
    let exclusive = GRND_RANDOM | GRND_INSECURE;
    if flags & !(GRND_NONBLOCK | exclusive) != 0 || flags & exclusive == exclusive {
        return Err(Errno::EINVAL);
    }
    let pieces = cx.buffer(buf, buflen.min(RANDOM_MAX))?;
    let mut done = 0;
    while done < pieces.total() {
        let len = (pieces.total() - done).min(SCRATCH_LEN);
        let copied = with_scratch(len, |scratch| {
            cx.kernel().platform.random(scratch)?;
            cx.mem().scatter(&pieces, done, scratch)
        });
        match copied {
            Ok(n) if n == len => done += n,
            // Reached the end of what is mapped.
            Ok(n) if done + n > 0 => return Ok(done + n),
            Err(_) if done > 0 => return Ok(done),
            Ok(_) => return Err(Errno::EFAULT),
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}
