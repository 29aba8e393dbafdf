//! Programs that are worth starting from: each reached something that none before it did.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::engine::Verdict;
use crate::program::Program;
use crate::program::parse::{ParseError, parse};

/// What is wrong with a corpus.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A file of it.
    #[error("{0}: {1}")]
    Program(PathBuf, ParseError),
    /// The directory or a file cannot be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// Programs and what they reached.
#[derive(Debug, Default)]
pub struct Corpus {
    dir: Option<PathBuf>,
    programs: Vec<Program>,
    seen: HashSet<u32>,
}

impl Corpus {
    /// The programs of a directory, which is made if need be.
    ///
    /// # Errors
    /// The first program that is none, with line and column.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Program>), CorpusError> {
        fs::create_dir_all(dir).map_err(|error| CorpusError::Io(dir.to_owned(), error))?;
        let programs = read_all(dir)?;
        Ok((Self { dir: Some(dir.to_owned()), ..Self::default() }, programs))
    }

    /// Takes a program if it reached something new; true if so.
    pub fn offer(&mut self, program: &Program, verdict: &Verdict) -> bool {
        let mut is_new = false;
        let classes = verdict.answers.iter().map(|answer| answer.class());
        for feature in verdict.features.iter().copied().chain(classes) {
            is_new |= self.seen.insert(feature);
        }
        if is_new {
            if let Some(dir) = &self.dir {
                let text = program.to_string();
                // A full disk costs a later campaign a program that it will find again.
                let _ = fs::write(dir.join(format!("{:016x}.prog", hash(text.as_bytes()))), text);
            }
            self.programs.push(program.clone());
        }
        is_new
    }

    /// The programs.
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// How much was reached.
    pub fn reached(&self) -> usize {
        self.seen.len()
    }
}

/// All programs of a directory, in the order of their names.
///
/// # Errors
/// As [`Corpus::open`].
pub fn read_all(dir: &Path) -> Result<Vec<Program>, CorpusError> {
    let fail = |error| CorpusError::Io(dir.to_owned(), error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|kind| kind == "prog") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.into_iter().map(|path| read(&path)).collect()
}

/// The program of a file.
///
/// # Errors
/// As [`Corpus::open`].
pub fn read(path: &Path) -> Result<Program, CorpusError> {
    let text = fs::read_to_string(path).map_err(|error| CorpusError::Io(path.to_owned(), error))?;
    parse(&text).map_err(|error| CorpusError::Program(path.to_owned(), error))
}

/// FNV-1a.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
