//! The differential engine: the same program on the host and in a sandbox.

use crate::differ::compare;
use crate::engine::{Engine, Found, Verdict};
use crate::exec::{SPACE, compile};
use crate::link::{Executor, Launcher, Lost, Side};
use crate::program::Program;
use crate::sandbox::{answers, bug_said, lost_sandbox};
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

    fn once(&mut self, program: &Program, patience_ms: u32) -> Result<Verdict, Lost> {
        let exec = compile(program, SPACE);
        self.port = if self.port + 8 < PORTS.end { self.port + 8 } else { PORTS.start };
        let request = Request { exec, patience_ms, port: self.port, state: State::With };
        self.runs += 1;
        let Ok(host) = self.host.run(&request) else {
            // Not what is tested: begin again without this program.
            self.host = self.launcher.start(Side::Host)?;
            return Ok(Verdict::default());
        };
        let sandbox = match self.sandbox.run(&request) {
            Ok(outcome) => outcome,
            Err(lost) => {
                let found = lost_sandbox(&lost);
                self.sandbox = self.launcher.start(Side::Sandbox)?;
                return Ok(Verdict { found: Some(found), ..Verdict::default() });
            }
        };
        let answers = answers(program, &sandbox);
        let found = bug_said(&self.sandbox.take_said()).or_else(|| {
            let difference = compare(program, &request.exec, &host, &sandbox)?;
            Some(Found { key: difference.key, text: difference.text })
        });
        Ok(Verdict { found, answers, features: Vec::new() })
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

impl Engine for Differential {
    fn name(&self) -> &'static str {
        "differential"
    }

    /// Runs a program on both sides, again and more patiently where they differ.
    fn run(&mut self, program: &Program) -> Result<Verdict, Lost> {
        let first = self.once(program, PATIENCE_MS)?;
        let Some(found) = &first.found else { return Ok(first) };
        for _ in 0..CONFIRMED {
            let again = self.once(program, MORE_PATIENCE_MS)?;
            if again.found.as_ref().map(|found| &found.key) != Some(&found.key) {
                return Ok(Verdict { found: None, ..first });
            }
        }
        Ok(first)
    }
}
