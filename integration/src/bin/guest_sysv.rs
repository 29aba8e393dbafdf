//! System V IPC (sysvipc(7)): shared memory, semaphores, message queues.

use std::fs;
use std::mem::zeroed;
use std::process::ExitCode;
use std::ptr::{null, null_mut};
use std::thread;
use std::time::{Duration, Instant};

use integration::checks;
use integration::guest::{self, error_of, fork_child, in_child, signal, wait_raw};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, Signal, kill};
use nix::unistd::Pid;

fn main() -> ExitCode {
    guest::main(checks![
        ids_are_found_by_key,
        permissions_are_those_of_euid,
        segment_is_shared_after_fork,
        segment_is_zero_and_keeps_its_content,
        attachments_are_counted,
        attachments_end_with_exec,
        removed_segment_lives_until_detached,
        addresses_are_checked_and_rounded,
        read_only_attachment_faults_on_writes,
        attached_memory_is_in_maps,
        shmctl_tells_and_changes,
        registers_survive_shmat,
        semaphores_count,
        operations_are_all_or_none,
        semop_waits_for_its_turn,
        semop_waits_for_zero,
        semtimedop_times_out,
        semop_is_interrupted_by_any_handler,
        removal_wakes_waiters,
        undo_happens_at_exit,
        setval_clears_undo,
        semctl_tells_and_changes,
        semop_checks_its_arguments,
        messages_keep_order_and_type,
        message_room_is_checked,
        full_queue_makes_senders_wait,
        receivers_are_served_past_the_queue,
        messages_of_two_processes_meet,
        queue_removal_wakes_both_sides,
        msgctl_tells_and_changes,
        proc_sysvipc_lists_objects,
        limits_are_readable_and_enforced,
    ])
}

const IPC_PRIVATE: i32 = libc::IPC_PRIVATE;
const CREATE: i32 = libc::IPC_CREAT | 0o600;

/// A key that no other check uses.
fn key() -> i32 {
    // SAFETY: the call takes no pointer.
    let pid = unsafe { libc::getpid() };
    0x5041_0000 | pid & 0xffff
}

fn shmget(key: i32, size: usize, flags: i32) -> nix::Result<i32> {
    // SAFETY: the call takes no pointer.
    Errno::result(unsafe { libc::shmget(key, size, flags) })
}

fn shmat(id: i32, addr: usize, flags: i32) -> nix::Result<*mut u8> {
    // SAFETY: the check that maps over something wants that.
    let at = unsafe { libc::shmat(id, addr as *const libc::c_void, flags) };
    if at as isize == -1 { Err(Errno::last()) } else { Ok(at.cast()) }
}

fn shmdt(at: *mut u8) -> nix::Result<()> {
    // SAFETY: nothing in what is unmapped is used afterwards.
    Errno::result(unsafe { libc::shmdt(at.cast()) }).map(drop)
}

fn shm_stat(id: i32) -> nix::Result<libc::shmid_ds> {
    // SAFETY: plain data.
    let mut stat: libc::shmid_ds = unsafe { zeroed() };
    // SAFETY: the structure is writable.
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_STAT, &mut stat) }).map(|_| stat)
}

fn shm_remove(id: i32) -> nix::Result<()> {
    // SAFETY: the command takes no structure.
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_RMID, null_mut()) }).map(drop)
}

fn peek(at: *mut u8, offset: usize) -> u8 {
    // SAFETY: callers stay in what they have attached.
    unsafe { at.wrapping_add(offset).read_volatile() }
}

fn poke(at: *mut u8, offset: usize, value: u8) {
    // SAFETY: callers stay in what they have attached.
    unsafe { at.wrapping_add(offset).write_volatile(value) }
}

/// A semaphore set, removed with the value.
struct Sem(i32);

impl Sem {
    fn new(count: i32) -> Self {
        // SAFETY: the call takes no pointer.
        Self(Errno::result(unsafe { libc::semget(IPC_PRIVATE, count, CREATE) }).expect("semget"))
    }

    fn ctl(&self, number: i32, op: i32, arg: usize) -> nix::Result<i32> {
        // SAFETY: callers pass what the command takes.
        Errno::result(unsafe { libc::semctl(self.0, number, op, arg) })
    }

    fn op(&self, ops: &[(u16, i16, i32)]) -> nix::Result<()> {
        let mut ops = sembufs(ops);
        // SAFETY: as many operations as said.
        Errno::result(unsafe { libc::semop(self.0, ops.as_mut_ptr(), ops.len()) }).map(drop)
    }

    fn timed(&self, ops: &[(u16, i16, i32)], ms: i64) -> nix::Result<()> {
        let mut ops = sembufs(ops);
        let limit = libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
        // SAFETY: as many operations as said.
        let done =
            unsafe { libc::syscall(libc::SYS_semtimedop, self.0, ops.as_mut_ptr(), ops.len(), &limit) };
        Errno::result(done).map(drop)
    }

    fn value(&self, number: i32) -> i32 {
        self.ctl(number, libc::GETVAL, 0).expect("GETVAL")
    }

    /// Waits until `count` calls wait in the way that `op` asks about.
    #[track_caller]
    fn await_waiters(&self, op: i32, count: i32) {
        let begun = Instant::now();
        while self.ctl(0, op, 0).expect("semctl") != count {
            assert!(begun.elapsed() < Duration::from_secs(10), "they never came");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Sem {
    fn drop(&mut self) {
        let _ = self.ctl(0, libc::IPC_RMID, 0);
    }
}

fn sembufs(ops: &[(u16, i16, i32)]) -> Vec<libc::sembuf> {
    let buf =
        |&(sem_num, sem_op, flags): &(u16, i16, i32)| libc::sembuf { sem_num, sem_op, sem_flg: flags as i16 };
    ops.iter().map(buf).collect()
}

/// A message queue, removed with the value.
struct Queue(i32);

impl Queue {
    fn new() -> Self {
        // SAFETY: the call takes no pointer.
        Self(Errno::result(unsafe { libc::msgget(IPC_PRIVATE, CREATE) }).expect("msgget"))
    }

    fn send(&self, mtype: i64, text: &[u8], flags: i32) -> nix::Result<()> {
        let message = [mtype.to_ne_bytes().as_slice(), text].concat();
        // SAFETY: type and text are in the buffer.
        Errno::result(unsafe { libc::msgsnd(self.0, message.as_ptr().cast(), text.len(), flags) }).map(drop)
    }

    fn receive(&self, mtype: i64, room: usize, flags: i32) -> nix::Result<(i64, Vec<u8>)> {
        let mut buffer = vec![0; 8 + room];
        // SAFETY: type and text fit the buffer.
        let count = unsafe { libc::msgrcv(self.0, buffer.as_mut_ptr().cast(), room, mtype, flags) };
        let count = Errno::result(count)?.unsigned_abs();
        let (mtype, text) = buffer.split_first_chunk::<8>().expect("a type");
        Ok((i64::from_ne_bytes(*mtype), text[..count].to_vec()))
    }

    fn stat(&self) -> nix::Result<libc::msqid_ds> {
        // SAFETY: plain data.
        let mut stat: libc::msqid_ds = unsafe { zeroed() };
        // SAFETY: the structure is writable.
        Errno::result(unsafe { libc::msgctl(self.0, libc::IPC_STAT, &mut stat) }).map(|_| stat)
    }

    fn set(&self, stat: &mut libc::msqid_ds) -> nix::Result<()> {
        // SAFETY: the structure is readable.
        Errno::result(unsafe { libc::msgctl(self.0, libc::IPC_SET, stat) }).map(drop)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the command takes no structure.
        unsafe { libc::msgctl(self.0, libc::IPC_RMID, null_mut()) };
    }
}

fn ids_are_found_by_key() {
    let key = key();
    assert_eq!(shmget(key, 4096, 0), Err(Errno::ENOENT));
    let id = shmget(key, 5000, CREATE).expect("shmget");
    assert_eq!(shmget(key, 0, 0), Ok(id));
    assert_eq!(shmget(key, 5000, CREATE), Ok(id));
    assert_eq!(shmget(key, 5001, 0), Err(Errno::EINVAL), "larger than it is");
    assert_eq!(shmget(key, 5000, CREATE | libc::IPC_EXCL), Err(Errno::EEXIST));
    assert_eq!(shmget(IPC_PRIVATE, 0, CREATE), Err(Errno::EINVAL));
    shm_remove(id).expect("IPC_RMID");
    assert_eq!(shmget(key, 4096, 0), Err(Errno::ENOENT));
    assert_eq!(shm_stat(id).err(), Some(Errno::EINVAL), "a stale id");
    let private = [0; 2].map(|_| shmget(IPC_PRIVATE, 1, CREATE).expect("shmget"));
    assert_ne!(private[0], private[1]);
    for id in private {
        shm_remove(id).expect("IPC_RMID");
    }
    assert_eq!(shm_stat(-1).err(), Some(Errno::EINVAL));
}

fn permissions_are_those_of_euid() {
    // SAFETY: the call takes no pointer.
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    let id = shmget(key(), 4096, libc::IPC_CREAT | 0o644).expect("shmget");
    let queue = Queue::new();
    let code = in_child(|| {
        // SAFETY: the call takes no pointer.
        assert_eq!(unsafe { libc::setresuid(1234, 1234, 1234) }, 0);
        assert_eq!(shmget(key_of_parent(), 4096, 0o600), Err(Errno::EACCES));
        assert_eq!(shmat(id, 0, 0), Err(Errno::EACCES));
        assert!(shmat(id, 0, libc::SHM_RDONLY).is_ok());
        assert_eq!(shm_remove(id), Err(Errno::EPERM));
        assert_eq!(queue.send(1, b"x", 0), Err(Errno::EACCES));
        assert_eq!(queue.stat().err(), Some(Errno::EACCES));
        0
    });
    shm_remove(id).expect("IPC_RMID");
    assert_eq!(code, 0);
}

fn key_of_parent() -> i32 {
    // SAFETY: the call takes no pointer.
    0x5041_0000 | unsafe { libc::getppid() } & 0xffff
}

fn segment_is_shared_after_fork() {
    let id = shmget(IPC_PRIVATE, 8192, CREATE).expect("shmget");
    let at = shmat(id, 0, 0).expect("shmat");
    poke(at, 0, 1);
    let code = in_child(|| {
        poke(at, 4096, peek(at, 0) + 1);
        // One of its own shows the same bytes.
        let other = shmat(id, 0, 0).expect("shmat");
        i32::from(other == at || peek(other, 4096) != 2)
    });
    assert_eq!((code, peek(at, 4096)), (0, 2));
    shm_remove(id).expect("IPC_RMID");
}

fn segment_is_zero_and_keeps_its_content() {
    let id = shmget(IPC_PRIVATE, 3 * 4096 - 5, CREATE).expect("shmget");
    let at = shmat(id, 0, 0).expect("shmat");
    assert!((0..3 * 4096).all(|offset| peek(at, offset) == 0), "whole pages");
    poke(at, 12_000, 9);
    shmdt(at).expect("shmdt");
    assert_eq!(shmdt(at), Err(Errno::EINVAL), "no longer attached");
    let again = shmat(id, 0, 0).expect("shmat");
    assert_eq!(peek(again, 12_000), 9);
    shm_remove(id).expect("IPC_RMID");
}

fn attachments_are_counted() {
    let id = shmget(IPC_PRIVATE, 4096, CREATE).expect("shmget");
    let count = || shm_stat(id).expect("IPC_STAT").shm_nattch;
    assert_eq!(count(), 0);
    let a = shmat(id, 0, 0).expect("shmat");
    let b = shmat(id, 0, libc::SHM_RDONLY).expect("shmat");
    assert_eq!(count(), 2);
    let code = in_child(|| {
        let inherited = count();
        shmdt(a).expect("shmdt");
        i32::from((inherited, count()) != (4, 3))
    });
    assert_eq!((code, count()), (0, 2), "a child's end detaches");
    shmdt(a).expect("shmdt");
    shmdt(b).expect("shmdt");
    let stat = shm_stat(id).expect("IPC_STAT");
    // SAFETY: the call takes no pointer.
    let pid = unsafe { libc::getpid() };
    assert_eq!((stat.shm_nattch, stat.shm_cpid, stat.shm_lpid), (0, pid, pid));
    assert!(stat.shm_atime > 0 && stat.shm_dtime >= stat.shm_atime);
    shm_remove(id).expect("IPC_RMID");
}

fn attachments_end_with_exec() {
    let id = shmget(IPC_PRIVATE, 4096, CREATE).expect("shmget");
    let at = shmat(id, 0, 0).expect("shmat");
    let child = fork_child(|| {
        let argv = [c"sleep".as_ptr(), c"5".as_ptr(), null()];
        // SAFETY: a terminated vector of strings.
        unsafe { libc::execvp(argv[0], argv.as_ptr()) };
        1
    });
    let begun = Instant::now();
    while shm_stat(id).expect("IPC_STAT").shm_nattch != 1 || begun.elapsed() < Duration::from_millis(50) {
        assert!(begun.elapsed() < Duration::from_secs(4), "the new image has it attached");
        thread::sleep(Duration::from_millis(2));
    }
    kill(child, Signal::SIGKILL).expect("kill");
    wait_raw(child.as_raw());
    shmdt(at).expect("shmdt");
    shm_remove(id).expect("IPC_RMID");
}

fn removed_segment_lives_until_detached() {
    let key = key();
    let id = shmget(key, 4096, CREATE).expect("shmget");
    let at = shmat(id, 0, 0).expect("shmat");
    shm_remove(id).expect("IPC_RMID");
    assert_eq!(shmget(key, 4096, 0), Err(Errno::ENOENT), "its key is free");
    let stat = shm_stat(id).expect("it is still there");
    assert_eq!(i32::from(stat.shm_perm.mode) & 0o1000, 0o1000, "SHM_DEST");
    assert_eq!(stat.shm_perm.__key, 0);
    poke(at, 0, 5);
    let second = shmat(id, 0, 0).expect("the id can still be attached");
    assert_eq!(peek(second, 0), 5);
    shmdt(at).expect("shmdt");
    shmdt(second).expect("shmdt");
    assert_eq!(shm_stat(id).err(), Some(Errno::EINVAL));
}

fn addresses_are_checked_and_rounded() {
    let id = shmget(IPC_PRIVATE, 8192, CREATE).expect("shmget");
    let at = shmat(id, 0, 0).expect("shmat");
    let page = at as usize;
    shmdt(at).expect("shmdt");
    assert_eq!(shmat(id, page + 1, 0), Err(Errno::EINVAL));
    assert_eq!(shmat(id, page + 5, libc::SHM_RND).map(|at| at as usize), Ok(page));
    assert_eq!(shmat(id, page, 0), Err(Errno::EINVAL), "something is there");
    poke(at, 0, 7);
    let over = shmat(id, page + 4096, libc::SHM_REMAP).expect("it replaces what is there");
    assert_eq!((over as usize, peek(over, 0)), (page + 4096, 7));
    assert_eq!(shmat(id, 0, libc::SHM_REMAP), Err(Errno::EINVAL));
    assert_eq!(shmat(-1, 0, 0), Err(Errno::EINVAL));
    assert_eq!(shmat(id, !4095, 0), Err(Errno::EINVAL));
    assert_eq!(shmdt(std::ptr::dangling_mut()), Err(Errno::EINVAL));
    shm_remove(id).expect("IPC_RMID");
}

fn read_only_attachment_faults_on_writes() {
    let id = shmget(IPC_PRIVATE, 4096, CREATE).expect("shmget");
    let at = shmat(id, 0, libc::SHM_RDONLY).expect("shmat");
    assert_eq!(peek(at, 0), 0);
    let code = in_child(|| {
        signal::plain(Signal::SIGSEGV, nix::sys::signal::SigHandler::SigDfl);
        poke(at, 0, 1);
        0
    });
    assert_eq!(code, 128 + libc::SIGSEGV);
    // SAFETY: what is attached read-only stays so.
    let done = unsafe { libc::mprotect(at.cast(), 4096, libc::PROT_READ | libc::PROT_WRITE) };
    assert_eq!(error_of(Errno::result(done)), Errno::EACCES);
    shm_remove(id).expect("IPC_RMID");
}

fn attached_memory_is_in_maps() {
    let id = shmget(IPC_PRIVATE, 4096, CREATE).expect("shmget");
    let at = shmat(id, 0, 0).expect("shmat");
    let maps = fs::read_to_string("/proc/self/maps").expect("maps");
    let line = maps.lines().find(|line| line.starts_with(&format!("{:x}-", at as usize))).expect("a line");
    assert!(line.contains("rw-s") && line.contains("/SYSV00000000"), "{line}");
    shm_remove(id).expect("IPC_RMID");
}

fn shmctl_tells_and_changes() {
    let id = shmget(IPC_PRIVATE, 1234, CREATE).expect("shmget");
    let mut stat = shm_stat(id).expect("IPC_STAT");
    assert_eq!((stat.shm_segsz, i32::from(stat.shm_perm.mode) & 0o777), (1234, 0o600));
    stat.shm_perm.mode = 0o640;
    // SAFETY: the structure is readable.
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_SET, &mut stat) }).expect("IPC_SET");
    assert_eq!(i32::from(shm_stat(id).expect("IPC_STAT").shm_perm.mode) & 0o777, 0o640);
    let mut info = [0u64; 9];
    // SAFETY: a shminfo64 is nine words.
    let highest = unsafe { libc::shmctl(id, libc::IPC_INFO, info.as_mut_ptr().cast()) };
    assert!(highest >= 0 && info[1] == 1 && info[2] == 4096);
    // SAFETY: a shm_info is six words.
    Errno::result(unsafe { libc::shmctl(0, 14, info.as_mut_ptr().cast()) }).expect("SHM_INFO");
    assert!(info[0] as u32 >= 1 && info[1] >= 1);
    // SAFETY: the structure is writable. SHM_STAT takes an index.
    let found = unsafe { libc::shmctl(id & 0x7fff, 13, &mut stat) };
    assert_eq!(Errno::result(found), Ok(id));
    // SAFETY: the command is unknown.
    assert_eq!(error_of(Errno::result(unsafe { libc::shmctl(id, 999, null_mut()) })), Errno::EINVAL);
    // SAFETY: nothing can be written there.
    let bad = unsafe { libc::shmctl(id, libc::IPC_STAT, std::ptr::dangling_mut()) };
    assert_eq!(error_of(Errno::result(bad)), Errno::EFAULT);
    shm_remove(id).expect("IPC_RMID");
}

/// A compiler expects a system call to keep every register but rax, rcx and r11.
fn registers_survive_shmat() {
    let id = shmget(IPC_PRIVATE, 4096, CREATE).expect("shmget");
    let (mut rdi, mut rsi, mut rdx) = (id as u64, 0u64, 0u64);
    let (mut r10, mut r8, mut r9) = (0x1111u64, 0x2222u64, 0x3333u64);
    let mut rax = libc::SYS_shmat as u64;
    // SAFETY: shmat at an address of the kernel's choice.
    unsafe {
        std::arch::asm!("syscall", inout("rax") rax, inout("rdi") rdi, inout("rsi") rsi, inout("rdx") rdx,
            inout("r10") r10, inout("r8") r8, inout("r9") r9, out("rcx") _, out("r11") _);
    }
    assert!((rax as i64) > 0);
    assert_eq!([rdi, rsi, rdx, r10, r8, r9], [id as u64, 0, 0, 0x1111, 0x2222, 0x3333]);
    shm_remove(id).expect("IPC_RMID");
}

fn semaphores_count() {
    let sem = Sem::new(3);
    assert_eq!(sem.value(0), 0, "new ones are zero");
    sem.op(&[(1, 5, 0)]).expect("semop");
    sem.op(&[(1, -2, 0)]).expect("semop");
    assert_eq!(sem.value(1), 3);
    // SAFETY: the call takes no pointer.
    assert_eq!(sem.ctl(1, libc::GETPID, 0), Ok(unsafe { libc::getpid() }));
    assert_eq!(sem.op(&[(1, -4, libc::IPC_NOWAIT)]), Err(Errno::EAGAIN));
    assert_eq!(sem.op(&[(1, 0, libc::IPC_NOWAIT)]), Err(Errno::EAGAIN));
    sem.op(&[(0, 0, 0)]).expect("zero is zero");
    sem.ctl(2, libc::SETVAL, 32767).expect("SETVAL");
    assert_eq!(sem.op(&[(2, 1, 0)]), Err(Errno::ERANGE));
    assert_eq!(sem.ctl(2, libc::SETVAL, 32768), Err(Errno::ERANGE));
    assert_eq!(sem.ctl(3, libc::GETVAL, 0), Err(Errno::EINVAL));
}

fn operations_are_all_or_none() {
    let sem = Sem::new(2);
    sem.ctl(0, libc::SETVAL, 1).expect("SETVAL");
    let both = [(0, -1, libc::IPC_NOWAIT), (1, -1, libc::IPC_NOWAIT)];
    assert_eq!(sem.op(&both), Err(Errno::EAGAIN));
    assert_eq!(sem.value(0), 1, "the first was not done");
    sem.op(&[(0, -1, 0), (0, 0, 0), (1, 2, 0)]).expect("each sees what those before it did");
    assert_eq!((sem.value(0), sem.value(1)), (0, 2));
}

fn semop_waits_for_its_turn() {
    let sem = Sem::new(2);
    let mut children = Vec::new();
    for turn in 1..=3 {
        let id = sem.0;
        children.push(fork_child(|| {
            let sem = std::mem::ManuallyDrop::new(Sem(id));
            sem.op(&[(0, -1, 0)]).map_or(1, |()| 0)
        }));
        sem.await_waiters(libc::GETNCNT, turn);
    }
    // First come, first served; a wish that cannot be granted yet holds nobody up.
    for child in children {
        sem.op(&[(0, 1, 0)]).expect("semop");
        assert_eq!(wait_raw(child.as_raw()), 0);
        assert_eq!(sem.value(0), 0);
    }
}

fn semop_waits_for_zero() {
    let sem = Sem::new(1);
    sem.op(&[(0, 2, 0)]).expect("semop");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| sem.op(&[(0, 0, 0)]));
        sem.await_waiters(libc::GETZCNT, 1);
        assert_eq!(sem.ctl(0, libc::GETNCNT, 0), Ok(0));
        sem.op(&[(0, -2, 0)]).expect("semop");
        waiting.join().expect("thread").expect("semop");
    });
}

fn semtimedop_times_out() {
    let sem = Sem::new(1);
    let begun = Instant::now();
    assert_eq!(sem.timed(&[(0, -1, 0)], 30), Err(Errno::EAGAIN));
    assert!(begun.elapsed() >= Duration::from_millis(30));
    assert_eq!(sem.timed(&[(0, -1, 0)], 0), Err(Errno::EAGAIN));
    assert_eq!(sem.timed(&[(0, -1, 0)], -1000), Err(Errno::EINVAL));
    assert_eq!(sem.ctl(0, libc::GETNCNT, 0), Ok(0), "nobody waits any more");
    sem.timed(&[(0, 1, 0)], 30).expect("semtimedop");
}

fn semop_is_interrupted_by_any_handler() {
    signal::note(Signal::SIGUSR1, SaFlags::SA_RESTART);
    let sem = Sem::new(1);
    // SAFETY: the call takes no pointer.
    let parent = Pid::from_raw(unsafe { libc::getpid() });
    let child = fork_child(|| {
        thread::sleep(Duration::from_millis(100));
        kill(parent, Signal::SIGUSR1).map_or(1, |()| 0)
    });
    assert_eq!(sem.op(&[(0, -1, 0)]), Err(Errno::EINTR), "it is never restarted");
    assert_eq!(sem.ctl(0, libc::GETNCNT, 0), Ok(0));
    wait_raw(child.as_raw());
}

fn removal_wakes_waiters() {
    let sem = Sem::new(1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| sem.op(&[(0, -1, 0)]));
        sem.await_waiters(libc::GETNCNT, 1);
        sem.ctl(0, libc::IPC_RMID, 0).expect("IPC_RMID");
        assert_eq!(waiting.join().expect("thread"), Err(Errno::EIDRM));
    });
    assert_eq!(sem.op(&[(0, 1, 0)]), Err(Errno::EINVAL));
}

fn undo_happens_at_exit() {
    let sem = Sem::new(2);
    sem.ctl(0, libc::SETVAL, 5).expect("SETVAL");
    let id = sem.0;
    let code = in_child(|| {
        let sem = std::mem::ManuallyDrop::new(Sem(id));
        sem.op(&[(0, -3, libc::SEM_UNDO), (1, 2, libc::SEM_UNDO)]).expect("semop");
        sem.op(&[(0, -1, 0)]).expect("semop");
        // A child of it has nothing to undo.
        assert_eq!(in_child(|| 0), 0);
        i32::from((sem.value(0), sem.value(1)) != (1, 2))
    });
    assert_eq!(code, 0);
    assert_eq!((sem.value(0), sem.value(1)), (4, 0));
    let killed = fork_child(|| {
        let sem = std::mem::ManuallyDrop::new(Sem(id));
        sem.op(&[(0, -4, libc::SEM_UNDO)]).expect("semop");
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    });
    while sem.value(0) != 0 {
        thread::sleep(Duration::from_millis(1));
    }
    thread::scope(|scope| {
        let waiting = scope.spawn(|| sem.op(&[(0, -4, 0)]));
        sem.await_waiters(libc::GETNCNT, 1);
        kill(killed, Signal::SIGKILL).expect("kill");
        waiting.join().expect("thread").expect("the undo wakes it");
    });
    wait_raw(killed.as_raw());
}

fn setval_clears_undo() {
    let sem = Sem::new(1);
    let id = sem.0;
    let code = in_child(|| {
        let sem = std::mem::ManuallyDrop::new(Sem(id));
        sem.op(&[(0, 3, libc::SEM_UNDO)]).expect("semop");
        sem.ctl(0, libc::SETVAL, 7).expect("SETVAL");
        0
    });
    assert_eq!((code, sem.value(0)), (0, 7));
}

fn semctl_tells_and_changes() {
    let sem = Sem::new(3);
    let values = [4u16, 5, 6];
    sem.ctl(0, libc::SETALL, values.as_ptr() as usize).expect("SETALL");
    let mut read = [0u16; 3];
    sem.ctl(0, libc::GETALL, read.as_mut_ptr() as usize).expect("GETALL");
    assert_eq!(read, values);
    // SAFETY: plain data.
    let mut stat: libc::semid_ds = unsafe { zeroed() };
    sem.ctl(0, libc::IPC_STAT, &raw mut stat as usize).expect("IPC_STAT");
    assert_eq!((stat.sem_nsems, stat.sem_otime), (3, 0));
    sem.op(&[(0, 1, 0)]).expect("semop");
    sem.ctl(0, libc::IPC_STAT, &raw mut stat as usize).expect("IPC_STAT");
    assert!(stat.sem_otime > 0);
    stat.sem_perm.mode = 0o444;
    sem.ctl(0, libc::IPC_SET, &raw mut stat as usize).expect("IPC_SET");
    let mut info = [0i32; 10];
    assert!(sem.ctl(0, libc::IPC_INFO, info.as_mut_ptr() as usize).is_ok());
    assert_eq!((info[1], info[4], info[5], info[8]), (32000, 32000, 500, 32767));
    assert!(sem.ctl(0, 19, info.as_mut_ptr() as usize).is_ok(), "SEM_INFO");
    assert!(info[7] >= 1 && info[9] >= 3, "sets and semaphores in use");
    assert_eq!(sem.ctl(0, 99, 0), Err(Errno::EINVAL));
    assert_eq!(sem.ctl(0, libc::GETALL, 1), Err(Errno::EFAULT));
}

fn semop_checks_its_arguments() {
    let sem = Sem::new(2);
    assert_eq!(sem.op(&[]), Err(Errno::EINVAL));
    assert_eq!(sem.op(&[(2, 1, 0)]), Err(Errno::EFBIG));
    assert_eq!(sem.op(&vec![(0, 1, 0); 501]), Err(Errno::E2BIG));
    // SAFETY: nothing can be read there.
    let bad = unsafe { libc::semop(sem.0, std::ptr::dangling_mut(), 1) };
    assert_eq!(error_of(Errno::result(bad)), Errno::EFAULT);
    // SAFETY: the call takes no pointer.
    let get = |count: i32| Errno::result(unsafe { libc::semget(IPC_PRIVATE, count, CREATE) });
    assert_eq!(get(0), Err(Errno::EINVAL));
    assert_eq!(get(-1), Err(Errno::EINVAL));
    assert_eq!(get(32001), Err(Errno::EINVAL));
}

fn messages_keep_order_and_type() {
    let queue = Queue::new();
    for (mtype, text) in [(3, "c1"), (1, "a1"), (2, "b1"), (1, "a2")] {
        queue.send(mtype, text.as_bytes(), 0).expect("msgsnd");
    }
    let next = |mtype: i64, flags: i32| {
        let (mtype, text) = queue.receive(mtype, 64, flags | libc::IPC_NOWAIT)?;
        Ok::<_, Errno>((mtype, String::from_utf8(text).expect("UTF-8")))
    };
    assert_eq!(next(1, 0), Ok((1, "a1".into())), "the first of its type");
    assert_eq!(next(0, 0), Ok((3, "c1".into())), "the first of all");
    assert_eq!(next(-2, 0), Ok((1, "a2".into())), "the lowest type");
    assert_eq!(next(2, libc::MSG_EXCEPT), Err(Errno::ENOMSG));
    assert_eq!(next(7, libc::MSG_EXCEPT), Ok((2, "b1".into())));
    assert_eq!(next(0, 0), Err(Errno::ENOMSG));
    queue.send(5, b"", 0).expect("an empty message");
    assert_eq!(next(0, 0), Ok((5, String::new())));
}

fn message_room_is_checked() {
    let queue = Queue::new();
    queue.send(1, b"12345678", 0).expect("msgsnd");
    assert_eq!(queue.receive(0, 7, 0), Err(Errno::E2BIG));
    assert_eq!(queue.receive(0, 7, libc::MSG_NOERROR), Ok((1, b"1234567".to_vec())));
    assert_eq!(queue.receive(0, 7, libc::IPC_NOWAIT), Err(Errno::ENOMSG), "the rest is lost");
    assert_eq!(queue.send(0, b"x", 0), Err(Errno::EINVAL), "types are positive");
    assert_eq!(queue.send(-1, b"x", 0), Err(Errno::EINVAL));
    assert_eq!(queue.send(1, &[0; 8193], 0), Err(Errno::EINVAL), "more than kernel.msgmax");
    // SAFETY: nothing can be read there.
    let bad = unsafe { libc::msgsnd(queue.0, std::ptr::dangling(), 1, 0) };
    assert_eq!(error_of(Errno::result(bad)), Errno::EFAULT);
    let copy = 0o40000;
    assert_eq!(queue.receive(0, 8, copy), Err(Errno::EINVAL), "MSG_COPY wants IPC_NOWAIT");
    queue.send(4, b"copied", 0).expect("msgsnd");
    match queue.receive(0, 8, copy | libc::IPC_NOWAIT) {
        Ok(copied) => {
            assert_eq!(copied, (4, b"copied".to_vec()));
            assert_eq!(queue.receive(1, 8, copy | libc::IPC_NOWAIT), Err(Errno::ENOMSG));
        }
        // Not every kernel is built with it.
        Err(error) => assert_eq!(error, Errno::ENOSYS),
    }
    assert_eq!(queue.stat().expect("IPC_STAT").msg_qnum, 1);
}

fn full_queue_makes_senders_wait() {
    let queue = Queue::new();
    let mut stat = queue.stat().expect("IPC_STAT");
    stat.msg_qbytes = 16;
    queue.set(&mut stat).expect("IPC_SET");
    queue.send(1, &[0; 10], 0).expect("msgsnd");
    assert_eq!(queue.send(1, &[0; 7], libc::IPC_NOWAIT), Err(Errno::EAGAIN));
    thread::scope(|scope| {
        let sender = scope.spawn(|| queue.send(2, &[1; 7], 0));
        thread::sleep(Duration::from_millis(50));
        assert_eq!(queue.receive(0, 64, 0).expect("msgrcv").1.len(), 10);
        sender.join().expect("thread").expect("msgsnd");
    });
    assert_eq!(queue.receive(2, 64, 0), Ok((2, vec![1; 7])));
}

fn receivers_are_served_past_the_queue() {
    let queue = Queue::new();
    thread::scope(|scope| {
        let two = scope.spawn(|| queue.receive(2, 64, 0));
        let any = scope.spawn(|| {
            thread::sleep(Duration::from_millis(60));
            queue.receive(0, 2, 0)
        });
        thread::sleep(Duration::from_millis(120));
        queue.send(2, b"for two", 0).expect("msgsnd");
        assert_eq!(two.join().expect("thread"), Ok((2, b"for two".to_vec())));
        queue.send(1, b"long", 0).expect("msgsnd");
        assert_eq!(any.join().expect("thread"), Err(Errno::E2BIG), "too long for the one who waits");
    });
    assert_eq!(queue.receive(0, 64, libc::IPC_NOWAIT), Ok((1, b"long".to_vec())));
}

fn messages_of_two_processes_meet() {
    let (there, back) = (Queue::new(), Queue::new());
    let ids = (there.0, back.0);
    let child = fork_child(|| {
        let (there, back) =
            (std::mem::ManuallyDrop::new(Queue(ids.0)), std::mem::ManuallyDrop::new(Queue(ids.1)));
        for _ in 0..200 {
            let (mtype, text) = there.receive(0, 64, 0).expect("msgrcv");
            back.send(mtype, &text, 0).expect("msgsnd");
        }
        0
    });
    for round in 1..=200i64 {
        there.send(round, &round.to_ne_bytes(), 0).expect("msgsnd");
        assert_eq!(back.receive(0, 64, 0), Ok((round, round.to_ne_bytes().to_vec())));
    }
    assert_eq!(wait_raw(child.as_raw()), 0);
    let stat = there.stat().expect("IPC_STAT");
    assert_eq!((stat.msg_lrpid, stat.msg_qnum), (child.as_raw(), 0));
}

fn queue_removal_wakes_both_sides() {
    let (empty, full) = (Queue::new(), Queue::new());
    let mut stat = full.stat().expect("IPC_STAT");
    stat.msg_qbytes = 1;
    full.set(&mut stat).expect("IPC_SET");
    full.send(1, b"x", 0).expect("msgsnd");
    thread::scope(|scope| {
        let receiver = scope.spawn(|| empty.receive(0, 8, 0));
        let sender = scope.spawn(|| full.send(1, b"y", 0));
        thread::sleep(Duration::from_millis(60));
        for queue in [&empty, &full] {
            // SAFETY: the command takes no structure.
            Errno::result(unsafe { libc::msgctl(queue.0, libc::IPC_RMID, null_mut()) }).expect("IPC_RMID");
        }
        assert_eq!(receiver.join().expect("thread"), Err(Errno::EIDRM));
        assert_eq!(sender.join().expect("thread"), Err(Errno::EIDRM));
    });
}

fn msgctl_tells_and_changes() {
    let queue = Queue::new();
    let before = queue.stat().expect("IPC_STAT");
    assert_eq!((before.msg_qnum, before.msg_qbytes, before.msg_stime), (0, 16384, 0));
    queue.send(1, b"1234", 0).expect("msgsnd");
    let mut stat = queue.stat().expect("IPC_STAT");
    // SAFETY: the call takes no pointer.
    assert_eq!((stat.msg_qnum, stat.__msg_cbytes, stat.msg_lspid), (1, 4, unsafe { libc::getpid() }));
    assert!(stat.msg_stime > 0);
    stat.msg_perm.mode = 0o400;
    queue.set(&mut stat).expect("IPC_SET");
    assert_eq!(i32::from(queue.stat().expect("IPC_STAT").msg_perm.mode), 0o400);
    let mut info = [0i32; 8];
    // SAFETY: a msginfo is eight ints.
    Errno::result(unsafe { libc::msgctl(0, libc::IPC_INFO, info.as_mut_ptr().cast()) }).expect("IPC_INFO");
    assert_eq!((info[2], info[3]), (8192, 16384));
    // SAFETY: a msginfo is eight ints. MSG_INFO.
    Errno::result(unsafe { libc::msgctl(0, 12, info.as_mut_ptr().cast()) }).expect("MSG_INFO");
    assert!(info[0] >= 1 && info[1] >= 1 && info[6] >= 4);
}

fn proc_sysvipc_lists_objects() {
    let (sem, queue) = (Sem::new(2), Queue::new());
    let id = shmget(IPC_PRIVATE, 777, CREATE).expect("shmget");
    queue.send(1, b"abc", 0).expect("msgsnd");
    let fields = |file: &str, id: i32| {
        let text = fs::read_to_string(format!("/proc/sysvipc/{file}")).expect("sysvipc");
        let rows = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let mut rows = rows.filter(|row| row.get(1) == Some(&id.to_string()));
        rows.next().unwrap_or_else(|| panic!("{file} lacks {id}: {text}"))
    };
    assert_eq!(fields("shm", id)[2..4], ["600", "777"]);
    assert_eq!(fields("sem", sem.0)[2..4], ["600", "2"]);
    assert_eq!(fields("msg", queue.0)[2..5], ["600", "3", "1"]);
    let header = fs::read_to_string("/proc/sysvipc/shm").expect("sysvipc");
    assert!(header.starts_with("       key      shmid perms                  size  cpid"));
    shm_remove(id).expect("IPC_RMID");
}

fn limits_are_readable_and_enforced() {
    let number = |name: &str| fs::read_to_string(format!("/proc/sys/kernel/{name}")).expect(name);
    assert_eq!(number("msgmax").trim(), "8192");
    assert_eq!(number("msgmnb").trim(), "16384");
    assert_eq!(number("shmmni").trim(), "4096");
    assert_eq!(number("sem").split_whitespace().collect::<Vec<_>>(), ["32000", "1024000000", "500", "32000"]);
    assert_eq!(shmget(IPC_PRIVATE, usize::MAX, CREATE), Err(Errno::EINVAL), "more than kernel.shmmax");
}
