//! The line discipline against the host kernel's: the same bytes into a real pty and into ours, then the
//! same bytes out of both, after every step.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use abi_linux::Errno;
use abi_linux::fs::OpenFlags;
use kernel_vfs::file::FileOps;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, tcgetattr, tcsetattr,
};

use super::termios::{
    ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ECHOPRT, ICANON, ICRNL, IEXTEN, IGNCR, INLCR, ISIG, ISTRIP,
    IUCLC, IUTF8, IXANY, IXON, NOFLSH, OCRNL, OLCUC, ONLCR, ONLRET, ONOCR, OPOST, PARMRK, VEOL, VEOL2, VMIN,
    VQUIT, XTABS,
};
use super::tests::{NoSignals, ours};
use super::{PtyMaster, SlaveFile};
use crate::io_test::FakeCaller;

enum Step {
    Type(&'static [u8]),
    TypeMany(u8, usize),
    Write(&'static [u8]),
    Read(usize),
    Input(u32, u32),
    Output(u32, u32),
    Local(u32, u32),
    Char(usize, u8),
}
use Step::{Char, Input, Local, Output, Read, Type, TypeMany, Write};

const ALL: u32 = u32::MAX;

struct Pair {
    host_master: OwnedFd,
    host_slave: OwnedFd,
    master: PtyMaster,
    slave: Arc<SlaveFile>,
    who: FakeCaller,
    seen: Vec<u8>,
    host_seen: Vec<u8>,
}

fn pair() -> Pair {
    let host_master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&host_master).unwrap();
    unlockpt(&host_master).unwrap();
    let name = ptsname(&host_master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
    let host_slave = rustix::fs::open(&*name, flags, Mode::empty()).unwrap();
    rustix::io::ioctl_fionbio(&host_master, true).unwrap();
    let who = FakeCaller::new();
    let master = ours(Arc::new(NoSignals));
    let slave = master.pty().open_slave(OpenFlags::RDWR | OpenFlags::NOCTTY, &who).unwrap();
    Pair { host_master, host_slave, master, slave, who, seen: Vec::new(), host_seen: Vec::new() }
}

/// Tries until `done` for some seconds: the host hands bytes on in a worker thread.
fn eventually(mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > Duration::from_secs(10) {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

impl Pair {
    fn perform(&mut self, step: &Step) {
        match *step {
            Type(bytes) => self.type_in(bytes),
            TypeMany(byte, count) => self.type_in(&vec![byte; count]),
            Write(bytes) => {
                let io = self.who.io_with(OpenFlags::NONBLOCK);
                assert_eq!(self.slave.write(io, bytes).map(|(n, _)| n), Ok(bytes.len()));
                assert_eq!(rustix::io::write(&self.host_slave, bytes), Ok(bytes.len()));
            }
            Read(len) => self.read(len),
            Input(..) | Output(..) | Local(..) | Char(..) => self.configure(step),
        }
    }

    fn type_in(&self, bytes: &[u8]) {
        for chunk in bytes.chunks(256) {
            assert_eq!(self.master.input(chunk), chunk.len());
            assert_eq!(rustix::io::write(&self.host_master, chunk), Ok(chunk.len()));
        }
    }

    /// Waits until the host's reader could have as much as ours.
    fn settle(&self) {
        let state = self.master.pty().state.lock();
        let readable = state.input.readable_len(&state.termios) as u64;
        drop(state);
        eventually(|| rustix::io::ioctl_fionread(&self.host_slave) == Ok(readable));
    }

    fn configure(&self, step: &Step) {
        self.settle();
        let mut ours = self.master.termios();
        let mut host = tcgetattr(&self.host_slave).unwrap();
        match *step {
            Input(clear, set) => {
                ours.c_iflag = ours.c_iflag & !clear | set;
                host.input_modes = InputModes::from_bits_retain(ours.c_iflag);
            }
            Output(clear, set) => {
                ours.c_oflag = ours.c_oflag & !clear | set;
                host.output_modes = OutputModes::from_bits_retain(ours.c_oflag);
            }
            Local(clear, set) => {
                ours.c_lflag = ours.c_lflag & !clear | set;
                host.local_modes = LocalModes::from_bits_retain(ours.c_lflag);
            }
            Char(index, value) => {
                ours.c_cc[index] = value;
                let code = match index {
                    VEOL => SpecialCodeIndex::VEOL,
                    VEOL2 => SpecialCodeIndex::VEOL2,
                    VMIN => SpecialCodeIndex::VMIN,
                    _ => SpecialCodeIndex::VQUIT,
                };
                host.special_codes[code] = value;
            }
            _ => {}
        }
        // What was typed before must have arrived under the old attributes.
        std::thread::sleep(Duration::from_millis(5));
        self.master.set_termios(&ours);
        tcsetattr(&self.host_slave, OptionalActions::Now, &host).unwrap();
    }

    fn read(&self, len: usize) {
        self.settle();
        let mut buf = vec![0; len];
        let ours = self.slave.read(self.who.io_with(OpenFlags::NONBLOCK), &mut buf);
        let ours = ours.map(|n| buf[..n].to_vec());
        let mut host_buf = vec![0; len];
        let mut host = Err(Errno::EAGAIN);
        eventually(|| {
            let got = rustix::io::read(&self.host_slave, &mut host_buf[..]);
            host = got.map(|n| host_buf[..n].to_vec()).map_err(|e| Errno::from_raw(e.raw_os_error()));
            host == ours || host.is_ok()
        });
        assert_eq!(ours, host, "read");
    }

    fn compare(&mut self) {
        let mut buf = [0; 4096];
        loop {
            let n = self.master.take_output(&mut buf);
            if n == 0 {
                break;
            }
            self.seen.extend_from_slice(&buf[..n]);
        }
        eventually(|| {
            if let Ok(n) = rustix::io::read(&self.host_master, &mut buf[..]) {
                self.host_seen.extend_from_slice(&buf[..n]);
            }
            self.host_seen.len() >= self.seen.len()
        });
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(text(&self.seen), text(&self.host_seen), "output");
    }
}

fn same(steps: &[Step]) {
    let mut pair = pair();
    for (at, step) in steps.iter().enumerate() {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pair.perform(step);
            pair.compare();
        }));
        assert!(outcome.is_ok(), "step {at} differs from the host");
    }
}

#[test]
fn lines_and_their_ends() {
    same(&[Type(b"hello\r"), Read(100), Type(b"ab"), Read(9), Type(b"c\nd"), Read(2), Read(9), Read(9)]);
    same(&[Type(b"abc\x04"), Read(3), Read(3), Type(b"abc\x04"), Read(2), Read(3), Read(3)]);
    same(&[Type(b"\x04"), Read(5), Type(b"abc\x04def\n"), Read(3), Read(3), Read(3), Read(3)]);
    same(&[Char(VEOL, b';'), Char(VEOL2, b'!'), Type(b"a;b!c\n"), Read(9), Read(9), Read(9), Read(9)]);
}

#[test]
fn erasing() {
    same(&[Type(b"ab\x7f\x7f\x7fc\n"), Read(9), Type(b"two words \x17x\n"), Read(99)]);
    same(&[Type(b"a\tb\x7f\x7fc\n"), Read(9), Write(b"prompt> "), Type(b"xy\tz\x7f\x7f\x7f\n"), Read(9)]);
    same(&[Type(b"a\t\tb\x7f\x7f\x7f\n"), Type(b"\x01\x02\x7f\x7fq\n"), Read(9), Read(9)]);
    same(&[Type(b"kill me\x15kept\n"), Read(99), Local(ECHOKE, 0), Type(b"kill\x15kept\n"), Read(99)]);
    same(&[Local(ECHOK | ECHOKE, 0), Type(b"kill\x15kept\n"), Read(99)]);
    same(&[Local(ECHOE, 0), Type(b"ab\x7fc\n"), Read(9), Type(b"ab cd\x17\n"), Read(9)]);
    same(&[Local(0, ECHOPRT), Type(b"abc\x7f\x7fd\n"), Read(9), Type(b"ab\x15\n"), Read(9)]);
    same(&[Local(ECHO, 0), Type(b"ab\x7fc\x15d\n"), Read(9)]);
    same(&[
        Input(0, IUTF8),
        Type("aé€\x7f\x7fb\n".as_bytes()),
        Read(9),
        Type("né è\x17\n".as_bytes()),
        Read(9),
    ]);
    same(&[Type("é\x7f\n".as_bytes()), Read(9)]);
}

#[test]
fn literal_next_and_reprint() {
    same(&[Type(b"a\x16\x03b\x16\nc\n"), Read(9), Type(b"abc\x01\x12d\n"), Read(9)]);
    same(&[Type(b"a\x16"), Type(b"\x7f\n"), Read(9), Local(ECHOCTL, 0), Type(b"\x16\x01\x02\n"), Read(9)]);
    same(&[Local(IEXTEN, 0), Type(b"a\x16b\x17\x12\n"), Read(9)]);
}

#[test]
fn echo() {
    same(&[Type(b"\x01\x1b[A\x7f\t\xff\n"), Read(99), Local(ECHOCTL, 0), Type(b"\x01\x1b\n"), Read(99)]);
    same(&[Local(ECHO, ECHONL), Type(b"secret\n"), Read(99)]);
    same(&[Output(OPOST, 0), Type(b"a\n"), Write(b"b\nc\td"), Read(9)]);
}

#[test]
fn input_mapping() {
    same(&[Input(ICRNL, 0), Type(b"a\rb\n"), Read(9)]);
    same(&[Input(ICRNL, INLCR), Type(b"a\nb\r\x04"), Read(9)]);
    same(&[Input(0, IGNCR), Type(b"a\rb\r\n"), Read(9)]);
    same(&[Input(0, ISTRIP | IUCLC), Type(b"\xc1BC\xe1\n"), Read(9)]);
    same(&[Input(0, PARMRK), Type(b"a\xffb\n"), Read(9)]);
    same(&[Local(ICANON, 0), Type(b"a\rb\nc"), Read(99), Input(ICRNL, INLCR), Type(b"\r\n"), Read(9)]);
}

#[test]
fn output_processing() {
    same(&[Write(b"one\ntwo\r\nthree\ta\x08b\n")]);
    same(&[Output(0, XTABS), Write(b"a\tbcd\te\n\tx\x08\x08\ty")]);
    same(&[Output(ONLCR, 0), Write(b"ab\ncd\t"), Output(0, XTABS), Write(b"ef\ng\t.")]);
    same(&[Output(0, OCRNL | ONOCR), Write(b"\rab\rc\n\r")]);
    same(&[Output(ONLCR, ONLRET | OLCUC | XTABS), Write(b"ab\nc\td"), Type(b"x\n"), Read(9)]);
}

#[test]
fn signals_flush_and_show() {
    // Echoes of the same burst may or may not have left when the signal flushes, so it comes by itself.
    let int = || Type(b"\x03");
    same(&[
        Type(b"abc"),
        int(),
        Read(9),
        Type(b"x\n"),
        Type(b"\x1c"),
        Read(9),
        Type(b"d"),
        Type(b"\x1a"),
        Read(9),
    ]);
    same(&[Local(0, NOFLSH), Type(b"abc"), int(), Type(b"d\n"), Read(9)]);
    same(&[
        Local(ISIG, 0),
        Type(b"a\x03\x1a\n"),
        Read(9),
        Char(VQUIT, 0),
        Local(0, ISIG),
        Type(b"\x1c\n"),
        Read(9),
    ]);
}

#[test]
fn flow_control() {
    same(&[Type(b"\x13"), Type(b"held\n"), Type(b"\x11"), Read(9)]);
    same(&[Input(0, IXANY), Type(b"\x13"), Type(b"a"), Type(b"\n"), Read(9)]);
    same(&[Type(b"\x13ab"), Input(IXON, 0), Type(b"c\x13\n"), Read(9)]);
}

#[test]
fn raw_mode_and_changes_of_mode() {
    same(&[Local(ALL, 0), Input(ALL, 0), Type(b"a\x03\r\x00\xff"), Read(3), Read(9), Read(9)]);
    same(&[Type(b"typed"), Local(ICANON, 0), Read(9), Type(b"raw"), Local(0, ICANON), Read(2), Read(9)]);
    same(&[Type(b"a\nb\x04c"), Local(ICANON | ECHO, 0), Read(99)]);
    same(&[Local(ICANON, 0), Char(VMIN, 0), Read(9), Type(b"x"), Read(9), Read(9)]);
    same(&[Local(ICANON, 0), Char(VMIN, 5), Type(b"abc"), Read(9), Read(9)]);
}

#[test]
fn long_lines() {
    same(&[Local(ECHO, 0), TypeMany(b'x', 5000), Type(b"yz\n"), Read(8000), Read(9)]);
    same(&[Local(ECHO, 0), TypeMany(b'x', 4095), Type(b"\n"), Type(b"next\n"), Read(5000), Read(99)]);
    same(&[
        Local(ECHO, 0),
        Type(b"first\n"),
        TypeMany(b'x', 5000),
        Read(99),
        Type(b"\n"),
        Read(8000),
        Read(9),
    ]);
    same(&[Local(ECHO | ICANON, 0), TypeMany(b'x', 6000), Read(5000), Read(5000), Read(1)]);
}
