//! Why a measurement has no result.

use std::fmt;
use std::time::Duration;

/// What kept a run from being measured.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// It ended in another way than it should have: one line.
    Failed(String),
    /// It did not end; all of it was killed.
    Hung(Duration),
    /// The runtime has no such thing, which is no fault.
    NotApplicable(&'static str),
    /// The user wants to stop.
    Interrupted,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(reason) => f.write_str(reason),
            Self::Hung(limit) => {
                write!(f, "hung: killed with all its processes after {} s", limit.as_secs_f64())
            }
            Self::NotApplicable(reason) => f.write_str(reason),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
