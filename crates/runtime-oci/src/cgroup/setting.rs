//! One value of one file of a cgroup, with the field of config.json that asks for it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::{CgroupError, field};

/// A value to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Whose file it is.
    pub(super) controller: &'static str,
    /// Names of the file: the first that exists counts, and with it its value.
    pub(super) choices: Vec<(String, String)>,
    /// Path in config.json, below `linux.resources`.
    pub(super) field: String,
}

impl Setting {
    pub(super) fn new(controller: &'static str, file: &str, value: impl ToString, field: &str) -> Self {
        Self { controller, choices: vec![(file.to_owned(), value.to_string())], field: field.to_owned() }
    }

    /// The same in another file, where the first is missing.
    pub(super) fn or(mut self, file: &str, value: impl ToString) -> Self {
        self.choices.push((file.to_owned(), value.to_string()));
        self
    }
}

/// Writes `text` to an existing file, in one call.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(text.as_bytes())
}

/// A setting with its place.
struct Placed<'a> {
    path: PathBuf,
    value: &'a str,
    field: &'a str,
}

impl Placed<'_> {
    fn refused(&self, error: io::Error) -> CgroupError {
        let field = format!("linux.resources.{}", self.field);
        CgroupError::Refused { field, value: self.value.to_owned(), path: self.path.clone(), error }
    }
}

/// Writes all of them. Some files accept a value only before or after another's (a memory limit above the present
/// limit of memory and swap, a quota below the burst): those refused with EINVAL are tried again after the others.
pub(super) fn write_all(
    settings: &[Setting],
    directories: &BTreeMap<String, PathBuf>,
) -> Result<(), CgroupError> {
    let placed = settings.iter().map(|setting| place(setting, directories)).collect::<Result<Vec<_>, _>>()?;
    let mut again = Vec::new();
    for setting in &placed {
        match write(&setting.path, setting.value) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => again.push(setting),
            done => done.map_err(|error| setting.refused(error))?,
        }
    }
    // In the other direction: with three that depend on each other, one turn more settles all.
    for setting in again.iter().rev() {
        write(&setting.path, setting.value).map_err(|error| setting.refused(error))?;
    }
    Ok(())
}

fn place<'a>(
    setting: &'a Setting,
    directories: &BTreeMap<String, PathBuf>,
) -> Result<Placed<'a>, CgroupError> {
    let name = format!("linux.resources.{}", setting.field);
    let directory = directories.get(setting.controller).or_else(|| directories.get("")).ok_or_else(|| {
        field(&name, format!("the host has no {} cgroup controller; leave it out", setting.controller))
    })?;
    let found = setting
        .choices
        .iter()
        .map(|(file, value)| (directory.join(file), value))
        .find(|(path, _)| path.exists());
    let (path, value) = found.ok_or_else(|| {
        let files: Vec<&str> = setting.choices.iter().map(|(file, _)| file.as_str()).collect();
        field(&name, format!("the host's kernel has no {}; leave it out", files.join(" or ")))
    })?;
    Ok(Placed { path, value, field: &setting.field })
}
