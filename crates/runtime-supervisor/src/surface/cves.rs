//! Which CVEs' triggers get how far, found by asking the installed filters about the calls that they need.

use std::fmt::Write;

use abi_linux::names;
use host_seccomp::{SockFilter, Verdict, ways};
use serde_json::{Value, json};
use syscall_table::plan::{Action, Rule};
use syscall_table::reference::{self, Cve};
use syscall_table::{Answer, Disposition, Syscall, Ty, seccomp};

use super::Filter;
use crate::confinement::rules::{HostRule, RULES, SOCKETS};
use crate::error::Error;

/// How far something gets, the least far first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Nobody makes such a call, or it is answered without the host's kernel.
    Nowhere,
    /// The supervisor could make the call, in mode host only.
    ModeHost,
    /// The supervisor could make the call; no guest says with which arguments.
    Supervisor,
    /// The host performs a guest's call after the supervisor looked at its registers.
    Gated,
    /// The host performs a guest's call.
    Native,
    /// Outside of the sandbox: what the operator runs on the container's behalf.
    Outside,
    /// Nothing is known of the fault.
    Unknown,
}

impl Reach {
    pub(super) const ALL: [Self; 7] = [
        Self::Native,
        Self::Gated,
        Self::Supervisor,
        Self::ModeHost,
        Self::Nowhere,
        Self::Outside,
        Self::Unknown,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nowhere => "not at all",
            Self::ModeHost => "only by the supervisor, in mode host",
            Self::Supervisor => "only by the supervisor",
            Self::Gated => "gated",
            Self::Native => "reachable natively",
            Self::Outside => "outside of the sandbox",
            Self::Unknown => "no public id",
        }
    }
}

/// A call with some arguments given.
struct Shape {
    row: &'static Syscall,
    known: [Option<u64>; 6],
}

/// The set that an argument's values are named in.
fn set_of(ty: Ty) -> Option<&'static names::Names> {
    match ty {
        Ty::Flags(set) | Ty::LongFlags(set) | Ty::Enum(set) => names::find(set),
        _ => None,
    }
}

impl Shape {
    /// `CALL ARG=VALUE …`
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let row = syscall_table::by_name(words.next()?)?;
        let mut known = [None; 6];
        for word in words {
            let (name, value) = word.split_once('=')?;
            let at = row.args.iter().position(|arg| arg.name == name)?;
            let named = row.args.get(at).and_then(|arg| set_of(arg.ty)).and_then(|set| set.value_of(value));
            let number = || match value.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).ok(),
                None => value.parse().ok(),
            };
            *known.get_mut(at)? = Some(named.or_else(number)?);
        }
        Some(Self { row, known })
    }

    /// The same with each flag that may stand beside an operation in the same word (futex(2) has such a one).
    fn variants(self) -> Vec<Self> {
        let mut all = vec![self.known];
        for (at, arg) in self.row.args.iter().enumerate() {
            let Some(set) = set_of(arg.ty).filter(|set| set.field != 0 && set.bits.len() <= 4) else {
                continue;
            };
            for (_, bit) in set.bits {
                let with = |known: &[Option<u64>; 6]| {
                    let mut known = *known;
                    let value = known.get_mut(at)?.as_mut()?;
                    *value |= bit;
                    Some(known)
                };
                all.extend(all.iter().filter_map(with).collect::<Vec<_>>());
            }
        }
        all.into_iter().map(|known| Self { row: self.row, known }).collect()
    }

    /// How far a guest gets with it.
    fn reach(&self, filter: &[SockFilter]) -> Reach {
        let ways = ways(filter, self.row.nr, &self.known).unwrap_or_default();
        let ends = |action| ways.iter().any(|way| way.verdict == Verdict::Action(action));
        if ends(Action::Allow) {
            Reach::Native
        } else if ends(Action::Notify) {
            self.reach_of_supervisor()
        } else {
            Reach::Nowhere
        }
    }

    /// How far it gets once the supervisor has it.
    fn reach_of_supervisor(&self) -> Reach {
        let may_continue = matches!(self.row.disposition, Disposition::Gate | Disposition::Native);
        if !may_continue {
            return self.reach_on_host();
        }
        // What a row does not admit is never continued, whoever answers it.
        let judged = seccomp::judge(self.row, &self.known.map(Option::unwrap_or_default));
        let is_decided = self.row.answer == Answer::Checked || judged == seccomp::Verdict::BadPointer;
        if is_decided && judged != seccomp::Verdict::Admit { Reach::Nowhere } else { Reach::Gated }
    }

    /// Whether the supervisor's own filter lets it make the call.
    fn reach_on_host(&self) -> Reach {
        let allows = |rules: &[HostRule]| rules.iter().any(|rule| self.is_allowed_by(rule));
        if allows(RULES) {
            Reach::Supervisor
        } else if allows(SOCKETS) {
            Reach::ModeHost
        } else {
            Reach::Nowhere
        }
    }

    fn is_allowed_by(&self, rule: &HostRule) -> bool {
        if rule.call != self.row.name || rule.instead.is_some() {
            return false;
        }
        let plan = Rule {
            nr: self.row.nr,
            name: self.row.name,
            action: Action::Allow,
            conditions: rule.when.iter().map(|all| all.to_vec()).collect(),
            otherwise: Action::Kill,
        };
        // A rule that does not compile would not be installed either; better to count it as open.
        let Ok(program) = host_seccomp::compile_with(&[plan], Action::Kill, Action::Kill) else {
            return true;
        };
        let ways = ways(&program, self.row.nr, &self.known).unwrap_or_default();
        ways.iter().any(|way| way.verdict == Verdict::Action(Action::Allow))
    }
}

/// How far one of the words of a need gets; nothing if it cannot be read.
fn reach_of(need: &str, filter: &[SockFilter]) -> Option<Reach> {
    match need.trim() {
        "-" => Some(Reach::Unknown),
        "object:cpu" => Some(Reach::Native),
        "object:host-tool" => Some(Reach::Outside),
        // Guests' processes have none (see the escape tests); a program's own faults stay its sandbox's.
        "object:capability" | "object:program" => Some(Reach::Nowhere),
        need => match need.strip_prefix("host:") {
            Some(call) => Some(Shape::parse(call)?.reach_on_host()),
            None => Shape::parse(need)?.variants().iter().map(|shape| shape.reach(filter)).max(),
        },
    }
}

/// How far a trigger gets: as far as the necessary thing that gets least far, by its best alternative.
pub(super) fn reach(cve: &Cve, filter: &[SockFilter]) -> Option<Reach> {
    let alternatives = |need: &str| {
        let all: Option<Vec<Reach>> = need.split('|').map(|one| reach_of(one, filter)).collect();
        all?.into_iter().max()
    };
    let all: Option<Vec<Reach>> = cve.needs.split(';').map(alternatives).collect();
    all?.into_iter().min()
}

/// A CVE and how far it gets.
pub(super) struct Line {
    pub(super) cve: Cve,
    pub(super) reach: Reach,
}

impl Line {
    /// Whether it counts as exploitable: natively reachable, or gVisor's own verdict where there is nothing that the
    /// sandbox could decide.
    pub(super) fn is_exploitable(&self) -> bool {
        match self.reach {
            Reach::Native | Reach::Gated => true,
            Reach::Outside | Reach::Unknown => self.cve.is_exploitable_under_gvisor,
            Reach::Supervisor | Reach::ModeHost | Reach::Nowhere => false,
        }
    }
}

/// The CVEs and how far each gets.
pub struct CveTable {
    pub(super) lines: Vec<Line>,
}

/// Asks the installed filters about each.
///
/// # Errors
/// Where the filter does not compile, or the data cannot be read.
pub fn cve_table(strict: bool) -> Result<CveTable, Error> {
    let filter = Filter::installed(strict)?.program;
    let line = |cve: Cve| {
        let reach = reach(&cve, &filter).ok_or_else(|| Error::Data(format!("{}: {}", cve.id, cve.needs)))?;
        Ok(Line { cve, reach })
    };
    Ok(CveTable { lines: reference::cves().map(line).collect::<Result<_, Error>>()? })
}

impl CveTable {
    /// How many are exploitable, here and under gVisor.
    #[must_use]
    pub fn exploitable(&self) -> [usize; 2] {
        let here = self.lines.iter().filter(|line| line.is_exploitable()).count();
        [here, self.lines.iter().filter(|line| line.cve.is_exploitable_under_gvisor).count()]
    }

    fn summary(&self) -> String {
        let count = |reach| self.lines.iter().filter(|line| line.reach == reach).count();
        let counts: Vec<_> =
            Reach::ALL.iter().map(|&reach| format!("{} {}", reach.name(), count(reach))).collect();
        let [here, gvisor] = self.exploitable();
        format!(
            "{} CVEs: {}; exploitable {here}, under gVisor by its own list {gvisor}",
            self.lines.len(),
            counts.join(", ")
        )
    }

    /// Columns for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = format!("{}\n", self.summary());
        for Line { cve, reach } in &self.lines {
            // Writing to a String does not fail.
            let _ = writeln!(out, "{:<20} {:<37} {} (needs {})", cve.id, reach.name(), cve.what, cve.needs);
        }
        out
    }

    /// A markdown table.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = format!(
            "{}\n\n| CVE | what | needs | reach | under gVisor |\n|---|---|---|---|---|\n",
            self.summary()
        );
        for Line { cve, reach } in &self.lines {
            let gvisor = if cve.is_exploitable_under_gvisor { "exploitable" } else { "" };
            let needs = cve.needs.replace('|', "\\|");
            let _ = writeln!(out, "| {} | {} | {needs} | {} | {gvisor} |", cve.id, cve.what, reach.name());
        }
        out
    }

    /// All of it as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let line = |line: &Line| {
            json!({
                "id": line.cve.id,
                "month": line.cve.month,
                "what": line.cve.what,
                "needs": line.cve.needs,
                "reach": line.reach.name(),
                "exploitable": line.is_exploitable(),
                "exploitableUnderGvisor": line.cve.is_exploitable_under_gvisor,
            })
        };
        let all: Vec<Value> = self.lines.iter().map(line).collect();
        format!("{:#}\n", json!({"summary": self.summary(), "cves": all}))
    }
}
