//! What a report says, as JSON has it: `benches/report.schema.json` is made from these types.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stats::Summary;
use crate::suite::{Better, Goal, Unit};

/// The version of this form.
pub(crate) const FORMAT: &str = "palisade-bench/1";

/// A report of `palisade bench`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// "palisade-bench/1"
    pub(crate) format: String,
    /// The command line.
    pub(crate) command: Vec<String>,
    /// UTC, RFC 3339.
    pub(crate) started: String,
    pub(crate) seconds: f64,
    /// It was stopped before its end: what was measured until then is here.
    pub(crate) interrupted: bool,
    pub(crate) settings: Settings,
    pub(crate) machine: Machine,
    pub(crate) runtimes: Vec<RuntimeRecord>,
    pub(crate) figures: Vec<Figure>,
    /// How memory grows with the number of idle sandboxes.
    pub(crate) curves: Vec<Curve>,
    /// What a reader should know before believing the figures.
    pub(crate) notes: Vec<String>,
}

/// How it was measured.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// `oci`, or `containerd` with its address.
    pub(crate) via: String,
    /// Runs of each case and runtime, where not each suite's own.
    pub(crate) runs: Option<usize>,
    pub(crate) quick: bool,
    /// The one CPU that everything ran on.
    pub(crate) pin: Option<usize>,
    /// The runtime that ratios are of, beside native.
    pub(crate) baseline: Option<String>,
}

/// The machine.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) memory_bytes: u64,
    /// What a hypervisor calls itself.
    pub(crate) hypervisor: Option<String>,
    pub(crate) governor: Option<String>,
    pub(crate) cgroups: String,
    pub(crate) transparent_huge_pages: Option<String>,
    /// Of /sys/devices/system/cpu/vulnerabilities.
    pub(crate) mitigations: Vec<Mitigation>,
    pub(crate) before: Load,
    pub(crate) after: Load,
}

/// What the kernel does about a fault of the CPU.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mitigation {
    pub(crate) name: String,
    pub(crate) state: String,
}

/// How busy the machine was.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Load {
    /// Mean number of runnable tasks in the last minute.
    pub(crate) load_1min: f64,
    /// All CPUs' time since boot, in ticks.
    pub(crate) ticks: u64,
    /// Of that, time that the hypervisor gave to others.
    pub(crate) stolen_ticks: u64,
    /// The first CPU's frequency, where it is known.
    pub(crate) mhz: Option<f64>,
}

/// A runtime that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuntimeRecord {
    pub(crate) name: String,
    pub(crate) program: Option<String>,
    pub(crate) version: Option<String>,
    /// What it was started with.
    pub(crate) flags: Vec<String>,
    /// Why nothing of it was measured.
    pub(crate) error: Option<String>,
}

/// One number of each runtime.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figure {
    pub(crate) suite: String,
    pub(crate) case: String,
    /// Unique in its suite.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) unit: Unit,
    pub(crate) better: Better,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<Goal>,
    pub(crate) results: Vec<Outcome>,
}

/// What one runtime gave.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    pub(crate) runtime: String,
    /// One of each run, in order.
    pub(crate) samples: Vec<f64>,
    pub(crate) summary: Option<Summary>,
    /// How many times native's figure this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of_native: Option<Ratio>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of_baseline: Option<Ratio>,
    /// What went wrong, in how many runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// The runtime has no such thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_applicable: Option<String>,
}

/// A quotient of two medians.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ratio {
    pub(crate) value: f64,
    /// 95 % confidence interval, by bootstrap.
    pub(crate) ci95: [f64; 2],
}

/// A runtime's memory over the number of sandboxes: medians of the runs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Curve {
    pub(crate) suite: String,
    pub(crate) runtime: String,
    pub(crate) points: Vec<CurvePoint>,
}

/// So many idle sandboxes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CurvePoint {
    pub(crate) sandboxes: usize,
    /// Of all their processes.
    pub(crate) pss_bytes: f64,
    /// MemAvailable of the host.
    pub(crate) available_bytes: f64,
}

/// The schema, as text.
pub(crate) fn schema() -> String {
    let mut text = serde_json::to_string_pretty(&schemars::schema_for!(Report)).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_in_the_repository_is_that_of_the_types() {
        let written = include_str!("../../report.schema.json");
        assert_eq!(written, super::schema(), "palisade-bench schema >benches/report.schema.json");
    }
}
