//! What passes between the fuzzer and an executor: a length of four bytes, then numbers and bytes.

use std::io::{self, Read, Write};

use crate::exec::{Exec, ExecCall, Patch, Region, Word};
use crate::program::User;

/// The longest message.
const LONGEST: usize = 16 << 20;

/// Asks an executor to run a program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The program.
    pub exec: Exec,
    /// How long a call may take before the next one begins, in milliseconds.
    pub patience_ms: u32,
    /// The first of eight ports.
    pub port: u16,
    /// Whether the end state is wanted, or only the answers.
    pub state: State,
}

/// What is told besides the answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Without,
    /// Descriptors, signals, ids, files.
    #[default]
    With,
}

/// What became of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What became of each call.
    pub calls: Vec<CallOutcome>,
    /// The wait status of the process.
    pub status: i32,
    /// What was there at the end, a line each.
    pub state: Vec<String>,
}

/// What became of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallOutcome {
    /// How far it came.
    pub progress: Progress,
    /// What it returned.
    pub answer: i64,
    /// What its memory held afterwards.
    pub memory: Vec<Vec<u8>>,
}

/// How far a call came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// It did not begin: an earlier one ended the process.
    #[default]
    None,
    /// It waited to the end.
    Waiting,
    /// It returned.
    Done,
    /// Its thread was busy with an earlier one.
    Skipped,
}

impl Progress {
    /// From the number that [`Progress`] is on the wire.
    pub fn of(number: u64) -> Self {
        match number {
            1 => Self::Waiting,
            2 => Self::Done,
            3 => Self::Skipped,
            _ => Self::None,
        }
    }
}

/// Writes a message.
///
/// # Errors
/// The stream's.
pub fn send(stream: &mut impl Write, body: &[u8]) -> io::Result<()> {
    let mut message = (body.len() as u32).to_le_bytes().to_vec();
    message.extend_from_slice(body);
    stream.write_all(&message)?;
    stream.flush()
}

/// Reads a message.
///
/// # Errors
/// The stream's, or of a length that none has.
pub fn receive(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {len} bytes")));
    }
    let mut body = vec![0; len];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// Writes numbers and bytes.
#[derive(Debug, Default)]
struct Pen(Vec<u8>);

impl Pen {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn word(&mut self, word: Word) {
        let (kind, value) = match word {
            Word::Known(value) => (0, value),
            Word::Var(var) => (1, u64::from(var)),
            Word::Handler => (2, 0),
            Word::Restorer => (3, 0),
            Word::Port(port) => (4, u64::from(port)),
        };
        self.number(kind);
        self.number(value);
    }
}

/// Reads them; behind the end there are zeros.
struct Eye<'a>(&'a [u8]);

impl<'a> Eye<'a> {
    fn number(&mut self) -> u64 {
        let Some((head, rest)) = self.0.split_first_chunk() else {
            self.0 = &[];
            return 0;
        };
        self.0 = rest;
        u64::from_le_bytes(*head)
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = (self.number() as usize).min(self.0.len());
        let (head, rest) = self.0.split_at(len);
        self.0 = rest;
        head
    }

    fn word(&mut self) -> Word {
        let (kind, value) = (self.number(), self.number());
        match kind {
            1 => Word::Var(value as u32),
            2 => Word::Handler,
            3 => Word::Restorer,
            4 => Word::Port(value as u8),
            _ => Word::Known(value),
        }
    }

    /// As many as were written, at most as many as there can be.
    fn count(&mut self) -> u64 {
        self.number().min(self.0.len() as u64)
    }
}

impl Request {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut pen = Pen::default();
        pen.number(u64::from(self.patience_ms));
        pen.number(u64::from(self.port));
        pen.number(u64::from(self.state == State::With));
        pen.number(u64::from(self.exec.user == User::Plain));
        pen.number(self.exec.calls.len() as u64);
        self.exec.calls.iter().for_each(|call| encode_call(&mut pen, call));
        pen.0
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut eye = Eye(bytes);
        let (patience_ms, port) = (eye.number() as u32, eye.number() as u16);
        let state = if eye.number() == 1 { State::With } else { State::Without };
        let user = if eye.number() == 1 { User::Plain } else { User::Root };
        let calls = (0..eye.count()).map(|_| decode_call(&mut eye)).collect();
        Self { exec: Exec { user, calls }, patience_ms, port, state }
    }
}

fn encode_call(pen: &mut Pen, call: &ExecCall) {
    pen.number(u64::from(call.thread));
    pen.number(u64::from(call.after_ms));
    pen.number(u64::from(call.nr));
    call.args.iter().for_each(|word| pen.word(*word));
    pen.number(call.result.map_or(u64::MAX, u64::from));
    pen.number(call.copy_in.len() as u64);
    for (addr, bytes) in &call.copy_in {
        pen.number(*addr);
        pen.bytes(bytes);
    }
    pen.number(call.patches.len() as u64);
    for patch in &call.patches {
        pen.number(patch.addr);
        pen.number(u64::from(patch.width));
        pen.word(patch.word);
    }
    pen.number(call.binds.len() as u64);
    for (addr, var) in &call.binds {
        pen.number(*addr);
        pen.number(u64::from(*var));
    }
    pen.number(call.regions.len() as u64);
    for region in &call.regions {
        pen.number(region.addr);
        pen.number(u64::from(region.len));
        pen.number(u64::from(region.arg));
    }
}

fn decode_call(eye: &mut Eye<'_>) -> ExecCall {
    let (thread, after_ms, nr) = (eye.number() as u8, eye.number() as u32, eye.number() as u32);
    let args = std::array::from_fn(|_| eye.word());
    let result = u32::try_from(eye.number()).ok();
    let copy_in = (0..eye.count()).map(|_| (eye.number(), eye.bytes().to_vec())).collect();
    let patch = |eye: &mut Eye<'_>| Patch { addr: eye.number(), width: eye.number() as u8, word: eye.word() };
    let patches = (0..eye.count()).map(|_| patch(eye)).collect();
    let binds = (0..eye.count()).map(|_| (eye.number(), eye.number() as u32)).collect();
    let region =
        |eye: &mut Eye<'_>| Region { addr: eye.number(), len: eye.number() as u32, arg: eye.number() as u8 };
    let regions = (0..eye.count()).map(|_| region(eye)).collect();
    ExecCall { thread, after_ms, nr, args, copy_in, patches, result, binds, regions }
}

impl Outcome {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut pen = Pen::default();
        pen.number(self.status as u64);
        pen.number(self.calls.len() as u64);
        for call in &self.calls {
            pen.number(call.progress as u64);
            pen.number(call.answer as u64);
            pen.number(call.memory.len() as u64);
            call.memory.iter().for_each(|bytes| pen.bytes(bytes));
        }
        pen.number(self.state.len() as u64);
        self.state.iter().for_each(|line| pen.bytes(line.as_bytes()));
        pen.0
    }

    /// From bytes.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut eye = Eye(bytes);
        let status = eye.number() as i32;
        let call = |eye: &mut Eye<'_>| CallOutcome {
            progress: Progress::of(eye.number()),
            answer: eye.number() as i64,
            memory: (0..eye.count()).map(|_| eye.bytes().to_vec()).collect(),
        };
        let calls = (0..eye.count()).map(|_| call(&mut eye)).collect();
        let state = (0..eye.count()).map(|_| String::from_utf8_lossy(eye.bytes()).into_owned()).collect();
        Self { calls, status, state }
    }
}
