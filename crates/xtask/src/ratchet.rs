//! `cargo xtask ratchet`: counts that may only fall.
//!
//! `ratchet.txt` holds, for each source file, how many unsafe blocks and items, `unwrap`/`expect` calls
//! outside tests, and `static mut` it has. A rise fails; a fall fails too until `--write` writes it down,
//! so that it cannot come back unseen.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::{repo, rust_text};

const FILE: &str = "ratchet.txt";
const HEAD: &str = "\
# Counts that may only fall; `cargo xtask ratchet --write` writes a fall down.
# unsafe  unwrap/expect  static mut  file
";

/// Folders whose code ships or builds; tests of integration/ may unwrap.
const FOLDERS: &[&str] = &["syscall-table", "crates", "runtime-shim"];

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Counts {
    unsafe_code: usize,
    unwraps: usize,
    static_muts: usize,
}

impl Counts {
    fn of(text: &str) -> Self {
        let code = rust_text::code_only(text);
        let shipped = rust_text::without_tests(&code);
        Self {
            unsafe_code: unsafe_blocks(&code),
            unwraps: shipped.matches(".unwrap()").count() + shipped.matches(".expect(").count(),
            static_muts: code.matches("static mut ").count(),
        }
    }

    fn rose_above(self, old: Self) -> bool {
        self.unsafe_code > old.unsafe_code || self.unwraps > old.unwraps || self.static_muts > old.static_muts
    }
}

/// Blocks, functions, impls; the lint names `unsafe_code` and such are longer words and don't count,
/// `#[unsafe(no_mangle)]` does.
fn unsafe_blocks(code: &str) -> usize {
    rust_text::words(code, "unsafe")
}

pub(crate) fn run(write: bool) -> anyhow::Result<()> {
    let now = count_all()?;
    if write {
        std::fs::write(repo::root().join(FILE), render(&now))
            .with_context(|| format!("cannot write {FILE}"))?;
        eprintln!("wrote {FILE}");
        return Ok(());
    }
    let old = parse(&repo::read(FILE)?)?;
    let mut rises = 0usize;
    let mut falls = 0usize;
    for path in old.keys().chain(now.keys().filter(|path| !old.contains_key(*path))) {
        let before = old.get(path).copied().unwrap_or_default();
        let after = now.get(path).copied().unwrap_or_default();
        if after.rose_above(before) {
            rises += 1;
            eprintln!("ratchet: {path} rose: {before:?} -> {after:?}");
        } else if after != before {
            falls += 1;
            eprintln!("ratchet: {path} fell: {before:?} -> {after:?}");
        }
    }
    ensure!(
        rises == 0,
        "counts rose in {rises} files; remove the code, or argue for it in the commit that writes {FILE}"
    );
    ensure!(falls == 0, "counts fell in {falls} files: write them down with `cargo xtask ratchet --write`");
    eprintln!("ratchet: {} files hold their counts", now.len());
    Ok(())
}

/// Files that have anything to count.
fn count_all() -> anyhow::Result<BTreeMap<String, Counts>> {
    let root = repo::root();
    let mut out = BTreeMap::new();
    for folder in FOLDERS {
        for path in repo::rust_files(&root.join(folder))? {
            if is_test_file(&path) {
                continue;
            }
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let counts = Counts::of(&text);
            if counts != Counts::default() {
                let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
                out.insert(name, counts);
            }
        }
    }
    Ok(out)
}

/// Integration tests of a crate, and modules that are only compiled for tests.
fn is_test_file(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let named_so = stem == "tests" || stem.ends_with("_test") || stem.ends_with("_tests");
    named_so || path.components().any(|part| part.as_os_str() == "tests")
}

fn render(counts: &BTreeMap<String, Counts>) -> String {
    let mut out = String::from(HEAD);
    for (path, c) in counts {
        let _ = writeln!(out, "{:>8}  {:>13}  {:>10}  {path}", c.unsafe_code, c.unwraps, c.static_muts);
    }
    out
}

fn parse(text: &str) -> anyhow::Result<BTreeMap<String, Counts>> {
    let mut out = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [a, b, c, path] = words.as_slice() else { anyhow::bail!("{FILE}: cannot read `{line}`") };
        let counts = Counts { unsafe_code: a.parse()?, unwraps: b.parse()?, static_muts: c.parse()? };
        out.insert((*path).to_owned(), counts);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{Counts, parse, render};

    #[test]
    fn counts_ignore_comments_and_tests() {
        let text = "// unsafe\nfn f() { unsafe { g() }; h().unwrap(); }\n#[cfg(test)] mod t { fn x() { y.expect(\"\"); } }";
        assert_eq!(Counts::of(text), Counts { unsafe_code: 1, unwraps: 1, static_muts: 0 });
    }

    #[test]
    fn the_file_reads_back() -> anyhow::Result<()> {
        let counts = [("a.rs".to_owned(), Counts { unsafe_code: 2, unwraps: 0, static_muts: 1 })].into();
        assert_eq!(parse(&render(&counts))?, counts);
        Ok(())
    }
}
