//! Writes the report's files: all of them or none, and never half of one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use super::model::Report;
use super::{html, markdown};

/// The directory that the files go to, made now, so that nothing is measured in vain.
pub(crate) fn prepare(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)
        .and_then(|()| NamedTempFile::new_in(dir))
        .with_context(|| format!("cannot write reports to {}", dir.display()))?;
    Ok(())
}

/// Writes report.json, report.md and report.html.
pub(crate) fn write(dir: &Path, report: &Report) -> Result<Vec<PathBuf>> {
    let json = serde_json::to_string_pretty(report)?;
    let files =
        [("report.json", json), ("report.md", markdown::page(report)), ("report.html", html::page(report))];
    // A full disk shows before the first file has its name.
    let written =
        files.iter().map(|(name, text)| Ok((*name, write_one(dir, text)?))).collect::<io::Result<Vec<_>>>();
    let place = || format!("cannot write the report to {}", dir.display());
    let mut paths = Vec::new();
    for (name, file) in written.with_context(place)? {
        let path = dir.join(name);
        file.persist(&path).map_err(|error| error.error).with_context(place)?;
        paths.push(path);
    }
    Ok(paths)
}

fn write_one(dir: &Path, text: &str) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(dir)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}
