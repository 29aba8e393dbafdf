//! What runs programs, and what is told of each run.

use crate::link::Lost;
use crate::program::Program;

/// Runs programs.
pub trait Engine {
    /// The word of the command line.
    fn name(&self) -> &'static str;

    /// Runs one.
    ///
    /// # Errors
    /// When the engine cannot go on.
    fn run(&mut self, program: &Program) -> Result<Verdict, Lost>;
}

/// What a run showed.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What is wrong.
    pub found: Option<Found>,
    /// What each call answered.
    pub answers: Vec<Answer>,
    /// Edges of the code, where it counts them.
    pub features: Vec<u32>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The same for the same fault.
    pub key: String,
    /// For people.
    pub text: String,
}

/// What became of a call.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Its number.
    pub nr: u32,
    /// What it returned; none where it did not.
    pub answer: Option<i64>,
}

impl Answer {
    /// Whether it succeeded.
    pub fn is_success(self) -> bool {
        self.answer.is_some_and(|answer| !(-4095..0).contains(&answer))
    }

    /// A number for the call and how it ended, which stands for coverage where there are no counters.
    pub fn class(self) -> u32 {
        let end = match self.answer {
            None => 4097,
            Some(answer) if (-4095..0).contains(&answer) => -answer as u32,
            Some(0) => 0,
            Some(_) => 4096,
        };
        0x8000_0000 | self.nr << 13 | end
    }
}
