//! A campaign: programs are made, run, kept where they reach something new, and made small where they find something.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::corpus::{Corpus, CorpusError};
use crate::engine::Engine;
use crate::findings::{Findings, write_whole};
use crate::grammar::{Generator, Selection};
use crate::link::Lost;
use crate::minimise::minimise;
use crate::program::Program;
use crate::random::Random;

/// How often a program is run to make it smaller.
const ATTEMPTS: usize = 80;
/// How often the count is saved.
const SAVED_EVERY: Duration = Duration::from_secs(5);

/// How often it is shown.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// What a campaign is to do.
#[derive(Debug)]
pub struct Plan {
    /// How long.
    pub time: Duration,
    /// At most so many programs; for tests.
    pub programs: u64,
    /// Where random numbers begin.
    pub seed: u64,
    /// The calls.
    pub selection: Selection,
    /// Where the corpus is.
    pub corpus: PathBuf,
    /// Where findings go.
    pub out: PathBuf,
}

/// How far a campaign is; kept in its directory, so that it goes on there.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Programs that were run.
    pub programs: u64,
    /// Seconds that it took.
    pub seconds: f64,
    /// Programs of the corpus.
    pub corpus: usize,
    /// What was reached.
    pub reached: usize,
    /// Kinds of findings.
    pub findings: usize,
}

/// What ends a campaign.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// The corpus.
    #[error("corpus: {0}")]
    Corpus(#[from] CorpusError),
    /// The engine.
    #[error("engine: {0}")]
    Engine(#[from] Lost),
    /// The directory of findings.
    #[error("{0}: {1}")]
    Out(PathBuf, io::Error),
    /// Findings that could not be written; they are in the text.
    #[error("findings that could not be written:\n{0}")]
    Unwritten(String),
}

/// Runs a campaign; `show` is told how it goes.
///
/// # Errors
/// When it cannot go on. What was found is kept.
pub fn run(
    plan: &Plan,
    engine: &mut dyn Engine,
    show: &mut dyn FnMut(&Progress, &Findings),
) -> Result<Progress, CampaignError> {
    let (mut corpus, seeds) = Corpus::open(&plan.corpus)?;
    let mut findings =
        Findings::open(&plan.out).map_err(|error| CampaignError::Out(plan.out.clone(), error))?;
    let state = plan.out.join(format!("campaign-{}.json", engine.name()));
    let before: Progress =
        fs::read(&state).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let mut random = Random::new(plan.seed ^ before.programs.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (begin, mut saved, mut shown) = (Instant::now(), Instant::now(), Instant::now());
    let mut progress = before;
    let mut made = 0;
    let outcome = loop {
        if begin.elapsed() >= plan.time || made >= plan.programs {
            break Ok(());
        }
        let program = match seeds.get(made as usize) {
            Some(seed) => seed.clone(),
            None => next(plan, &corpus, &mut random),
        };
        made += 1;
        if let Err(lost) = one(engine, &program, &mut corpus, &mut findings) {
            break Err(lost);
        }
        progress.programs = before.programs + made;
        if shown.elapsed() >= SHOWN_EVERY {
            shown = Instant::now();
            refresh(&mut progress, before, begin, &corpus, &findings);
            show(&progress, &findings);
        }
        if saved.elapsed() >= SAVED_EVERY {
            saved = Instant::now();
            save(&state, &progress);
        }
    };
    refresh(&mut progress, before, begin, &corpus, &findings);
    show(&progress, &findings);
    save(&state, &progress);
    let unwritten = findings.close();
    if !unwritten.is_empty() {
        let all: Vec<String> = unwritten.into_iter().map(|(name, text)| format!("{name}:\n{text}")).collect();
        return Err(CampaignError::Unwritten(all.join("\n")));
    }
    outcome?;
    Ok(progress)
}

fn refresh(progress: &mut Progress, before: Progress, begin: Instant, corpus: &Corpus, findings: &Findings) {
    progress.seconds = before.seconds + begin.elapsed().as_secs_f64();
    progress.corpus = corpus.programs().len();
    progress.reached = corpus.reached();
    progress.findings = findings.count().0;
}

/// A full disk costs the count, nothing else.
fn save(path: &Path, progress: &Progress) {
    if let Ok(bytes) = serde_json::to_vec(progress) {
        let _ = write_whole(path, &bytes);
    }
}

/// A new program, or a child of old ones.
fn next(plan: &Plan, corpus: &Corpus, random: &mut Random) -> Program {
    let old = corpus.programs();
    if old.is_empty() || random.one_in(3) {
        let calls = 3 + random.below(9);
        return Generator::new(&plan.selection, random).program(calls);
    }
    let (one, other) = (random.below(old.len()), random.below(old.len()));
    match old.get(one) {
        Some(program) => Generator::new(&plan.selection, random).mutate(program, old.get(other)),
        None => Program::default(),
    }
}

fn one(
    engine: &mut dyn Engine,
    program: &Program,
    corpus: &mut Corpus,
    findings: &mut Findings,
) -> Result<(), Lost> {
    let verdict = engine.run(program)?;
    corpus.offer(program, &verdict);
    let Some(found) = verdict.found else { return Ok(()) };
    if !findings.is_new(&found.key) {
        return Ok(());
    }
    // Kept at once, and again when it is small.
    findings.keep(engine.name(), program, &found);
    let small = minimise(program, ATTEMPTS, |candidate| {
        engine.run(candidate).is_ok_and(|verdict| verdict.found.is_some_and(|again| again.key == found.key))
    });
    let last = engine.run(&small)?.found.filter(|again| again.key == found.key);
    if let Some(last) = last {
        findings.keep(engine.name(), &small, &last);
    }
    Ok(())
}
