//! Pipes: waiting, partial progress, the end.

use super::rig::{Ended, Rig};
use abi_linux::Errno;
use abi_linux::raw::general as nr;
use abi_linux::signal::Signal;
use kernel_base::caller::Caller;
use platform_api::SignalState;
use platform_api::fake::BASE;

const BUF: u64 = BASE + 4096;

fn pipe() -> Rig {
    let mut rig = Rig::new();
    rig.value(nr::__NR_pipe, &[BASE]);
    rig
}

/// The pipe's other user.
fn file(rig: &Rig, fd: i32) -> std::sync::Arc<kernel_vfs::file::File> {
    rig.task().process.files.get(kernel_base::reg::Fd(fd)).unwrap()
}

#[test]
fn read_waits_for_a_writer() {
    let mut rig = pipe();
    let writer = file(&rig, 1);
    let call = rig.start(nr::__NR_read, &[0, BUF, 10]);
    assert_eq!(rig.ended(call), Ended::Waiting);
    let task = rig.task();
    writer.ops.write(writer.io(&*task, 0), b"late").unwrap();
    rig.drain();
    assert_eq!(rig.ended(call), Ended::Value(4));
    assert_eq!(rig.host.peek(BUF, 4), b"late");
}

#[test]
fn nonblocking_read_does_not_wait() {
    let mut rig = pipe();
    rig.value(nr::__NR_fcntl, &[0, 4, 0o4000]);
    assert_eq!(rig.error(nr::__NR_read, &[0, BUF, 10]), Errno::EAGAIN);
    assert_eq!(rig.error(nr::__NR_pread64, &[0, BUF, 10, 0]), Errno::ESPIPE);
    assert_eq!(rig.error(nr::__NR_lseek, &[0, 0, 0]), Errno::ESPIPE);
    assert_eq!(rig.error(nr::__NR_read, &[1, BUF, 10]), Errno::EBADF);
}

#[test]
fn large_write_waits_until_all_is_taken() {
    let mut rig = pipe();
    let reader = file(&rig, 0);
    let call = rig.start(nr::__NR_write, &[1, BUF, 100_000]);
    assert_eq!(rig.ended(call), Ended::Waiting);
    let task = rig.task();
    let mut taken = vec![0; 60_000];
    assert_eq!(reader.ops.read(reader.io(&*task, 0), &mut taken), Ok(60_000));
    rig.drain();
    assert_eq!(rig.ended(call), Ended::Value(100_000));
}

#[test]
fn interrupted_write_returns_what_was_written() {
    let mut rig = pipe();
    let call = rig.start(nr::__NR_write, &[1, BUF, 100_000]);
    assert_eq!(rig.ended(call), Ended::Waiting);
    let usr1 = Signal::SIGUSR1.bit();
    rig.host.set_signal_state(
        super::rig::HOST,
        SignalState { pending: usr1, caught: usr1, ..SignalState::default() },
    );
    let task = rig.task();
    rig.kernel.check_signals(&task.process);
    assert_eq!(rig.ended(call), Ended::Value(65536));
}

#[test]
fn write_without_reader_raises_sigpipe() {
    let mut rig = pipe();
    rig.value(nr::__NR_close, &[0]);
    let _ = rig.host.take_events();
    let call = rig.start(nr::__NR_write, &[1, BUF, 1]);
    let raised = rig.host.take_events();
    assert!(format!("{raised:?}").contains("Signalled"), "{raised:?}");
    assert!(format!("{raised:?}").contains(&format!("{:?}", Errno::EPIPE)), "{call:?} {raised:?}");
    let _ = rig.task().tid();
}

#[test]
fn sendfile_moves_bytes_and_the_offset() {
    let mut rig = pipe();
    let fd = rig.open("/file", 0o102);
    rig.host.poke(BUF, b"0123456789");
    rig.value(nr::__NR_write, &[fd, BUF, 10]);
    rig.host.poke(BUF, &3u64.to_ne_bytes());
    assert_eq!(rig.value(nr::__NR_sendfile, &[1, fd, BUF, 100]), 7);
    assert_eq!(rig.peek_i32(BUF), 10);
    assert_eq!(rig.value(nr::__NR_read, &[0, BUF, 100]), 7);
    assert_eq!(rig.host.peek(BUF, 7), b"3456789");
    assert_eq!(rig.error(nr::__NR_sendfile, &[fd, 0, 0, 100]), Errno::EINVAL);
}
