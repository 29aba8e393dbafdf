//! Suites as data: what is run, and which figures it gives. The files are in `benches/suites`.
//!
//! A case of the driver `program` is a shell script in a root, in which the directory `/probe` has the program `probe`.
//! With `run` it is timed as a whole, inside; a `script` prints its figures itself, as lines `figure NAME VALUE`.

use std::sync::LazyLock;

use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const FILES: &[&str] = &[
    include_str!("../suites/syscall.toml"),
    include_str!("../suites/start.toml"),
    include_str!("../suites/memory.toml"),
    include_str!("../suites/file.toml"),
    include_str!("../suites/build.toml"),
    include_str!("../suites/net.toml"),
    include_str!("../suites/language.toml"),
    include_str!("../suites/density.toml"),
    include_str!("../suites/pods.toml"),
];

/// A set of cases that are measured in the same way.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suite {
    pub(crate) name: String,
    /// One line for `--list`.
    pub(crate) about: String,
    pub(crate) root: RootKind,
    pub(crate) driver: Driver,
    /// The way of making containers that it needs.
    #[serde(default)]
    pub(crate) only_via: Option<String>,
    /// A run that takes longer hangs.
    pub(crate) limit_s: u64,
    /// How often each case is measured, unless the command line says otherwise.
    pub(crate) runs: usize,
    /// Runs before that, which do not count.
    pub(crate) warm_up: usize,
    #[serde(rename = "case")]
    pub(crate) cases: Vec<Case>,
}

/// What the cases run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RootKind {
    /// A static busybox, read-only.
    Busybox,
    /// A Debian with the workloads, below a layer that is empty at each run.
    Debian,
}

/// Who measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Driver {
    /// A program inside.
    Program,
    /// The life of a container, from outside.
    Life,
    /// Idle sandboxes, from outside.
    Idle,
    /// Pods of a containerd.
    Pod,
}

/// One thing that is run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// What is timed, for the reader.
    #[serde(default)]
    pub(crate) title: String,
    /// A command of the shell, timed.
    #[serde(default)]
    pub(crate) run: String,
    /// Done before `run`, not timed.
    #[serde(default)]
    pub(crate) prepare: String,
    /// A script that prints figures.
    #[serde(default)]
    pub(crate) script: String,
    /// Numbers of sandboxes.
    #[serde(default)]
    pub(crate) counts: Vec<usize>,
    /// The one runtime that has it.
    #[serde(default)]
    pub(crate) only: Option<String>,
    /// Left out by `--quick`.
    #[serde(default)]
    pub(crate) long: Long,
    /// About how many seconds one run takes, for the time left.
    #[serde(default = "one")]
    pub(crate) about_s: f64,
    #[serde(default)]
    pub(crate) goal: Option<Goal>,
    /// Without any, there is one: the time of `run`, with the case's name, title and goal.
    #[serde(default, rename = "figure")]
    pub(crate) figures: Vec<FigureKind>,
}

/// Whether `--quick` leaves a case out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "bool")]
pub(crate) enum Long {
    Yes,
    #[default]
    No,
}

impl From<bool> for Long {
    fn from(long: bool) -> Self {
        if long { Self::Yes } else { Self::No }
    }
}

fn one() -> f64 {
    1.0
}

/// A number that a case gives.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FigureKind {
    pub(crate) name: String,
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) unit: Unit,
    #[serde(default)]
    pub(crate) better: Better,
    #[serde(default)]
    pub(crate) goal: Option<Goal>,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Unit {
    /// Nanoseconds.
    #[default]
    #[serde(rename = "ns")]
    Nanoseconds,
    #[serde(rename = "B")]
    Bytes,
    #[serde(rename = "B/s")]
    BytesPerSecond,
    #[serde(rename = "1/s")]
    PerSecond,
    /// A plain number.
    #[serde(rename = "1")]
    Count,
}

/// Which way a figure improves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Better {
    #[default]
    Lower,
    Higher,
}

/// What the project has set itself for the runtime `palisade`: at most `times` what `of` has, and `plus`, or `at_most` in the
/// figure's own unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Goal {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<f64>,
    /// A runtime, or `floor`: the bare round trip of a seccomp notification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plus: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_most: Option<f64>,
}

/// All suites, in the order of the report.
pub(crate) fn all() -> &'static [Suite] {
    static ALL: LazyLock<Vec<Suite>> = LazyLock::new(|| {
        FILES.iter().map(|text| parse(text).expect("a test reads the suites that are built in")).collect()
    });
    &ALL
}

fn parse(text: &str) -> Result<Suite> {
    let mut suite: Suite = toml::from_str(text)?;
    for case in &mut suite.cases {
        if case.figures.is_empty() {
            case.figures.push(FigureKind {
                name: case.name.clone(),
                title: case.title.clone(),
                unit: Unit::default(),
                better: Better::default(),
                goal: case.goal.take(),
            });
        }
        if suite.driver == Driver::Program && case.run.is_empty() == case.script.is_empty() {
            bail!("{}: case {} has either `run` or `script`", suite.name, case.name);
        }
    }
    Ok(suite)
}

/// The suites of these names, or cases by their own name or a figure's (`start/exec`); all of them without a name.
pub(crate) fn select(names: &[String]) -> Result<Vec<Suite>> {
    if names.is_empty() {
        return Ok(all().to_vec());
    }
    let mut chosen: Vec<Suite> = Vec::new();
    for name in names {
        let (suite_name, case_name) =
            name.split_once('/').map_or((name.as_str(), None), |(s, c)| (s, Some(c)));
        let suite = all().iter().find(|suite| suite.name == suite_name);
        let suite = suite.with_context(|| {
            format!("no suite {suite_name}; there are: {}", names_of(all().iter().map(|s| &s.name)))
        })?;
        let mut suite = suite.clone();
        if let Some(case_name) = case_name {
            let known = names_of(suite.cases.iter().map(|case| &case.name));
            suite.cases.retain(|case| {
                case.name == case_name || case.figures.iter().any(|figure| figure.name == case_name)
            });
            if suite.cases.is_empty() {
                bail!("suite {suite_name} has no case {case_name}; it has: {known}");
            }
        }
        match chosen.iter_mut().find(|other| other.name == suite.name) {
            Some(other) => {
                suite.cases.retain(|case| other.cases.iter().all(|known| known.name != case.name));
                other.cases.append(&mut suite.cases);
            }
            None => chosen.push(suite),
        }
    }
    Ok(chosen)
}

fn names_of<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{FILES, all, parse, select};

    #[test]
    fn suites_are_well_formed() {
        for file in FILES {
            parse(file).unwrap();
        }
        let mut names: Vec<_> = all()
            .iter()
            .flat_map(|suite| {
                suite.cases.iter().flat_map(move |case| case.figures.iter().map(|f| (&suite.name, &f.name)))
            })
            .collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "a figure's name is its suite's only one");
    }

    #[test]
    fn cases_are_chosen_by_name() {
        let chosen = select(&["start/exec".into(), "start/delete".into(), "memory".into()]).unwrap();
        assert_eq!(chosen.iter().map(|suite| suite.cases.len()).collect::<Vec<_>>(), [2, 1]);
        assert!(
            select(&["nonsense".into()])
                .unwrap_err()
                .to_string()
                .starts_with("no suite nonsense; there are: syscall,")
        );
        assert!(select(&["start/nonsense".into()]).is_err());
    }
}
