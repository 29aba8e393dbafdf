//! The engine with a real sandbox: programs as processes of a container, one after the other.

use crate::engine::{Answer, Engine, Found, Verdict};
use crate::exec::{SPACE, compile};
use crate::guest::HUNG;
use crate::link::{Executor, Launcher, Lost, Side};
use crate::program::Program;
use crate::wire::{Outcome, Progress, Request, State};

/// Milliseconds that a call is given.
const PATIENCE_MS: u32 = 2;

/// A sandbox with an executor in it.
#[derive(Debug)]
pub struct SandboxEngine {
    launcher: Launcher,
    executor: Executor,
}

impl SandboxEngine {
    /// Starts one.
    ///
    /// # Errors
    /// When it does not come.
    pub fn new(launcher: Launcher) -> Result<Self, Lost> {
        let executor = launcher.start(Side::Sandbox)?;
        Ok(Self { launcher, executor })
    }
}

impl Engine for SandboxEngine {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn run(&mut self, program: &Program) -> Result<Verdict, Lost> {
        let exec = compile(program, SPACE);
        let request = Request { exec, patience_ms: PATIENCE_MS, port: 10_000, state: State::Without };
        let outcome = match self.executor.run(&request) {
            Ok(outcome) => outcome,
            Err(lost) => {
                let found = lost_sandbox(&lost);
                self.executor = self.launcher.start(Side::Sandbox)?;
                return Ok(Verdict { found: Some(found), ..Verdict::default() });
            }
        };
        let answers = answers(program, &outcome);
        let found = bug_said(&self.executor.take_said()).or_else(|| hung(&outcome));
        Ok(Verdict { found, answers, features: Vec::new() })
    }
}

/// A program whose process did not end.
fn hung(outcome: &Outcome) -> Option<Found> {
    (outcome.status == HUNG).then(|| Found {
        key: "hang".to_owned(),
        text: "the program's process did not end by itself, long after its last call".to_owned(),
    })
}

/// What each call answered.
pub(crate) fn answers(program: &Program, outcome: &Outcome) -> Vec<Answer> {
    let one = |(call, told): (&crate::program::Call, &crate::wire::CallOutcome)| Answer {
        nr: call.row.nr,
        answer: (told.progress == Progress::Done).then_some(told.answer),
    };
    program.calls.iter().zip(&outcome.calls).map(one).collect()
}

/// A sandbox that ended or went silent.
pub(crate) fn lost_sandbox(lost: &Lost) -> Found {
    let text = lost.to_string();
    let kind = match lost {
        Lost::Silent(_) => "sandbox silent".to_owned(),
        _ => {
            format!("sandbox ended {}", text.split('(').nth(1).unwrap_or("").split(')').next().unwrap_or(""))
        }
    };
    Found { key: kind, text }
}

/// A bug that the supervisor told of itself: a handler that panicked.
pub(crate) fn bug_said(said: &str) -> Option<Found> {
    let line = said.lines().find(|line| line.contains("BUG") || line.contains("panicked at"))?;
    let place = line.split("panicked").nth(1).unwrap_or(line);
    let key: String = place.chars().filter(|c| !c.is_ascii_digit()).take(80).collect();
    Some(Found { key: format!("panic{key}"), text: said.to_owned() })
}
