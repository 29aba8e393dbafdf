//! The differential engine: the same program on the host and in a sandbox.

use std::time::{Duration, Instant};

use crate::differ::{Difference, compare};
use crate::exec::{SPACE, compile};
use crate::link::{Executor, Launcher, Lost, Side};
use crate::program::Program;
use crate::wire::{Outcome, Request, State};

/// Milliseconds that a call is given at first, and when a difference is looked at again.
const PATIENCE_MS: u32 = 25;
const MORE_PATIENCE_MS: u32 = 150;
/// How often a difference must show.
const CONFIRMED: usize = 2;
/// Ports are used in turn, because closed connections keep theirs for a while.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// Two executors that go side by side.
#[derive(Debug)]
pub struct Differential {
    launcher: Launcher,
    host: Executor,
    sandbox: Executor,
    port: u16,
    /// Programs that were run.
    pub runs: u64,
}

/// What a run showed.
#[derive(Debug)]
pub enum Shown {
    /// Both sides do the same.
    Nothing,
    /// They differ, every time.
    Difference(Difference),
    /// The sandbox ended, hung or said that it has a bug.
    Broken(String),
}

impl Differential {
    /// Starts both sides.
    ///
    /// # Errors
    /// When one does not come.
    pub fn new(launcher: Launcher) -> Result<Self, Lost> {
        let host = launcher.start(Side::Host)?;
        let sandbox = launcher.start(Side::Sandbox)?;
        Ok(Self { launcher, host, sandbox, port: PORTS.start, runs: 0 })
    }

    /// Runs a program on both sides, again and more patiently where they differ.
    ///
    /// # Errors
    /// When the host's side is lost and does not come again.
    pub fn show(&mut self, program: &Program) -> Result<Shown, Lost> {
        let first = match self.once(program, PATIENCE_MS)? {
            Shown::Difference(first) => first,
            other => return Ok(other),
        };
        for _ in 0..CONFIRMED {
            match self.once(program, MORE_PATIENCE_MS)? {
                Shown::Difference(again) if again.key == first.key => {}
                Shown::Broken(what) => return Ok(Shown::Broken(what)),
                _ => return Ok(Shown::Nothing),
            }
        }
        Ok(Shown::Difference(first))
    }

    fn once(&mut self, program: &Program, patience_ms: u32) -> Result<Shown, Lost> {
        let exec = compile(program, SPACE);
        self.port = if self.port + 8 < PORTS.end { self.port + 8 } else { PORTS.start };
        let request = Request { exec, patience_ms, port: self.port, state: State::With };
        self.runs += 1;
        let host = match self.host.run(&request) {
            Ok(outcome) => outcome,
            Err(_) => {
                // Not what is tested: begin again without this program.
                self.host = self.launcher.start(Side::Host)?;
                return Ok(Shown::Nothing);
            }
        };
        let sandbox = match self.sandbox.run(&request) {
            Ok(outcome) => outcome,
            Err(lost) => {
                let text = lost.to_string();
                self.sandbox = self.launcher.start(Side::Sandbox)?;
                return Ok(Shown::Broken(text));
            }
        };
        let said = self.sandbox.take_said();
        if said.contains("BUG") || said.contains("panicked") {
            return Ok(Shown::Broken(said));
        }
        Ok(compare(program, &request.exec, &host, &sandbox).map_or(Shown::Nothing, Shown::Difference))
    }

    /// What both sides do with a program, for a report.
    ///
    /// # Errors
    /// When a side is lost.
    pub fn both(&mut self, program: &Program) -> Result<(Outcome, Outcome), Lost> {
        let request = Request {
            exec: compile(program, SPACE),
            patience_ms: MORE_PATIENCE_MS,
            port: PORTS.end,
            state: State::With,
        };
        Ok((self.host.run(&request)?, self.sandbox.run(&request)?))
    }
}

/// Time left of a campaign.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// Whether it is over.
    pub fn is_over(self) -> bool {
        Instant::now() >= self.0
    }
}
