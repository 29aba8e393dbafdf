//! What was found: a program and a report each, once for each key.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::engine::Found;
use crate::program::Program;

/// The findings of a directory.
#[derive(Debug)]
pub struct Findings {
    dir: PathBuf,
    counts: BTreeMap<String, u64>,
    /// Those that could not be written yet: a full disk must not lose them.
    unwritten: Vec<(String, String)>,
}

impl Findings {
    /// Those that are there already count once.
    ///
    /// # Errors
    /// When the directory can be neither made nor read.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut counts = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "md") {
                let text = fs::read_to_string(&path)?;
                if let Some(key) = text.lines().next().and_then(|line| line.strip_prefix("# ")) {
                    counts.insert(key.to_owned(), 1);
                }
            }
        }
        Ok(Self { dir: dir.to_owned(), counts, unwritten: Vec::new() })
    }

    /// Counts one; true when its like has not been seen before.
    pub fn is_new(&mut self, key: &str) -> bool {
        let count = self.counts.entry(key.to_owned()).or_default();
        *count += 1;
        *count == 1
    }

    /// Keeps a program with what it shows.
    pub fn keep(&mut self, engine: &str, program: &Program, found: &Found) {
        let name = file_name(&found.key);
        let report = format!(
            "# {}\n\nEngine {engine}. Again: `palisade fuzz repro --engine {engine} {name}.prog`\n\n```\n{program}```\n\n```\n{}\n```\n",
            found.key, found.text
        );
        self.unwritten.push((format!("{name}.prog"), program.to_string()));
        self.unwritten.push((format!("{name}.md"), report));
        self.write();
    }

    /// Writes what is not written.
    fn write(&mut self) {
        let dir = self.dir.clone();
        self.unwritten.retain(|(name, text)| write_whole(&dir.join(name), text.as_bytes()).is_err());
    }

    /// How many kinds, and how many in all.
    pub fn count(&self) -> (usize, u64) {
        (self.counts.len(), self.counts.values().sum())
    }

    /// How often each was seen.
    pub fn all(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }

    /// Tries once more; what still cannot be written is given back.
    pub fn close(mut self) -> Vec<(String, String)> {
        self.write();
        self.unwritten
    }
}

/// A file with all of its content or not at all.
///
/// # Errors
/// Of the file.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = File::create(&part)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_data());
    if let Err(error) = written.and_then(|()| fs::rename(&part, path)) {
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    Ok(())
}

fn file_name(key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let mut name: String = key.chars().map(plain).collect();
    while name.contains("--") {
        name = name.replace("--", "-");
    }
    name.truncate(100);
    name.trim_matches('-').to_owned()
}
