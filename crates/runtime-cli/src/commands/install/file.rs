//! A configuration file: read, compared, and replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Longest file, in bytes.
const MAX_LEN: u64 = 4 << 20;
/// Unchanged lines that are shown around a change.
const CONTEXT: usize = 3;
const BACKUP: &str = "palisade-backup";

/// A file as it was when it was read.
pub(super) struct ConfigFile {
    path: PathBuf,
    /// `None`: there is none yet.
    old: Option<(String, fs::Metadata)>,
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> Result<Self> {
        // What a link leads to is changed, not the link.
        let path = path.canonicalize().or_else(|_| std::path::absolute(path))?;
        let failed = || format!("{}: cannot be read", path.display());
        let meta = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self { path, old: None }),
            meta => meta.with_context(failed)?,
        };
        if !meta.is_file() {
            bail!("{}: is not a file; name one with --config", path.display());
        }
        if meta.len() > MAX_LEN {
            bail!("{}: is longer than {MAX_LEN} bytes", path.display());
        }
        let text = fs::read(&path).with_context(failed)?;
        let text = String::from_utf8(text).with_context(|| format!("{}: is not text", path.display()))?;
        Ok(Self { path, old: Some((text, meta)) })
    }

    pub(super) fn text(&self) -> &str {
        self.old.as_ref().map_or("", |(text, _)| text)
    }

    /// What would change, as diff -u shows it: in one piece, since a change is in one place.
    pub(super) fn difference(&self, new: &str) -> String {
        let (old, new): (Vec<&str>, Vec<&str>) = (self.text().lines().collect(), new.lines().collect());
        let same =
            |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(a, b)| a == b).count();
        let head = same(&mut old.iter().zip(&new));
        let tail = same(&mut old.iter().rev().zip(new.iter().rev())).min(old.len().min(new.len()) - head);
        let from = head.saturating_sub(CONTEXT);
        let rest = tail.saturating_sub(CONTEXT);
        let range = |lines: &[&str]| {
            let count = lines.len() - rest - from;
            format!("{},{count}", if count == 0 { from } else { from + 1 })
        };
        let path = self.path.display();
        let name = |is_there| if is_there { path.to_string() } else { "/dev/null".to_owned() };
        let mut text = format!(
            "--- {}\n+++ {}\n@@ -{} +{} @@\n",
            name(self.old.is_some()),
            name(!new.is_empty()),
            range(&old),
            range(&new)
        );
        let mut show = |sign: char, lines: &[&str]| {
            lines.iter().for_each(|line| text.push_str(&format!("{sign}{line}\n")));
        };
        show(' ', old.get(from..head).unwrap_or_default());
        show('-', old.get(head..old.len() - tail).unwrap_or_default());
        show('+', new.get(head..new.len() - tail).unwrap_or_default());
        show(' ', old.get(old.len() - tail..old.len() - rest).unwrap_or_default());
        text
    }

    /// Writes it anew, or removes it where nothing is left; a reader sees the old one or the new one. Returns where the
    /// old one is kept.
    pub(super) fn replace(&self, new: &str) -> Result<Option<PathBuf>> {
        let failed = || format!("{}: cannot be written", self.path.display());
        if Self::read(&self.path)?.text() != self.text() {
            bail!("{}: somebody else has changed it; try again", self.path.display());
        }
        let dir = self.path.parent().context("a file is in a directory")?;
        fs::create_dir_all(dir).with_context(failed)?;
        let backup = match &self.old {
            Some((text, _)) => {
                let backup = self.beside(BACKUP)?;
                self.write(&backup, text).with_context(failed)?;
                Some(backup)
            }
            None => None,
        };
        if new.trim().is_empty() {
            fs::remove_file(&self.path).with_context(failed)?;
        } else {
            self.write(&self.path, new).with_context(failed)?;
        }
        File::open(dir).and_then(|dir| dir.sync_all()).with_context(failed)?;
        Ok(backup)
    }

    /// Puts `text` at `path`, with the mode and the owner that the file has.
    fn write(&self, path: &Path, text: &str) -> Result<()> {
        let fresh = self.beside(&format!("palisade-{}", std::process::id()))?;
        let written = self.write_fresh(&fresh, text).and_then(|()| fs::rename(&fresh, path));
        if written.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        Ok(written?)
    }

    fn write_fresh(&self, fresh: &Path, text: &str) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(fresh)?;
        if let Some((_, meta)) = &self.old {
            fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
            file.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o7777))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    fn beside(&self, ending: &str) -> Result<PathBuf> {
        let mut name = self.path.file_name().context("name a file with --config")?.to_owned();
        name.push(format!(".{ending}"));
        Ok(self.path.with_file_name(name))
    }
}

#[cfg(test)]
mod tests {
    use super::ConfigFile;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn difference_is_what_patch_takes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let numbers = |list: &[u32]| list.iter().map(|n| format!("{n}\n")).collect::<String>();
        for (old, new) in [
            (vec![], vec![1, 2]),
            (vec![1, 2], vec![]),
            (vec![1, 2, 3, 4, 5, 6, 7, 8, 9], vec![1, 2, 3, 4, 50, 51, 6, 7, 8, 9]),
            (vec![1, 1, 1], vec![1, 1, 1, 1]),
            (vec![1, 2, 3, 4, 5], vec![1, 2, 3, 4, 5, 6]),
            (vec![1, 2, 3, 4, 5], vec![0, 1, 2, 3, 4, 5]),
        ] {
            fs::write(&path, numbers(&old)).unwrap();
            let difference = ConfigFile::read(&path).unwrap().difference(&numbers(&new));
            let lines = |signs: [char; 2]| -> String {
                let lines = difference.lines().skip(3).filter(|line| line.starts_with(signs));
                lines.map(|line| format!("{}\n", &line[1..])).collect()
            };
            assert!(numbers(&old).contains(&lines([' ', '-'])), "{difference}");
            assert!(numbers(&new).contains(&lines([' ', '+'])), "{difference}");
        }
    }

    #[test]
    fn replacing_keeps_mode_link_and_backup() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("f"), dir.path().join("link"));
        fs::write(&path, "old\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("f", &link).unwrap();
        let backup = ConfigFile::read(&link).unwrap().replace("new\n").unwrap().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(fs::read_to_string(backup).unwrap(), "old\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn change_of_somebody_else_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "old\n").unwrap();
        let file = ConfigFile::read(&path).unwrap();
        fs::write(&path, "theirs\n").unwrap();
        assert!(file.replace("new\n").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\n");
    }
}
