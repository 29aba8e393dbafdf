//! The commands.

pub(crate) mod cov;
pub(crate) mod exchange;
pub(crate) mod executor;
pub(crate) mod min;
pub(crate) mod repro;
pub(crate) mod run;

use clap::ValueEnum;
use runtime_fuzz::differential::Differential;
use runtime_fuzz::engine::Engine;
use runtime_fuzz::grammar;
use runtime_fuzz::link::Launcher;
use runtime_fuzz::process::ProcessEngine;
use runtime_fuzz::sandbox::SandboxEngine;

/// What runs programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// The kernel crates in this process, on a guest made of bytes
    Process,
    /// A sandbox
    Sandbox,
    /// A sandbox and the host, compared
    Differential,
}

impl EngineName {
    pub(crate) fn start(self) -> anyhow::Result<Box<dyn Engine>> {
        Ok(match self {
            Self::Process => Box::new(ProcessEngine::new()),
            Self::Sandbox => Box::new(SandboxEngine::new(Launcher::beside()?)?),
            Self::Differential => Box::new(Differential::new(Launcher::beside()?)?),
        })
    }

    pub(crate) fn grammar(self) -> grammar::Engine {
        match self {
            Self::Process => grammar::Engine::Process,
            Self::Sandbox => grammar::Engine::Sandbox,
            Self::Differential => grammar::Engine::Differential,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Sandbox => "sandbox",
            Self::Differential => "differential",
        }
    }
}

/// `90`, `90s`, `30m`, `2h`.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("a time is a number with s, m or h behind it".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "a time begins with a number".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "too long".to_owned())
}
