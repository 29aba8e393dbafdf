//! Which handlers kernel-syscalls has.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use syscall_table::{Answer, Mode, Syscall};

use crate::rust_text;

/// Each `fn sys_<call>` by `(family, call)`. A family is a file or a folder of kernel-syscalls.
pub(super) struct Handlers(HashMap<(String, String), Handler>);

struct Handler {
    is_async: bool,
    /// Whether there is a `fn try_<call>`, too, which answers at once where it can.
    has_try: bool,
    /// Path of the module it is in, such as `crate::file::open`.
    module: String,
}

impl Handlers {
    /// Reads the modules that `lib.rs` declares, and those that they declare: a file that is not part of
    /// the crate yet has no handlers.
    pub(super) fn scan(folder: &Path) -> anyhow::Result<Self> {
        let mut found = HashMap::new();
        let mut modules: Vec<(PathBuf, Vec<String>)> = vec![(folder.join("lib.rs"), Vec::new())];
        while let Some((file, path)) = modules.pop() {
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let code = rust_text::without_tests(&rust_text::code_only(&text));
            if let Some(family) = path.first() {
                scan_text(family, &format!("crate::{}", path.join("::")), &code, &mut found);
            }
            let here = path.iter().fold(folder.to_path_buf(), |at, part| at.join(part));
            for name in declared_modules(&code).into_iter().filter(|name| name != "dispatch") {
                let candidates = [here.join(format!("{name}.rs")), here.join(&name).join("mod.rs")];
                if let Some(child) = candidates.into_iter().find(|file| file.is_file()) {
                    modules.push((child, [path.as_slice(), &[name]].concat()));
                }
            }
        }
        Ok(Self(found))
    }

    #[cfg(test)]
    pub(super) fn of_text(family: &str, text: &str) -> Self {
        let mut found = HashMap::new();
        scan_text(family, &format!("crate::{family}"), text, &mut found);
        Self(found)
    }

    fn get(&self, row: &Syscall) -> Option<&Handler> {
        self.0.get(&(row.family.to_owned(), row.name.to_owned()))
    }

    /// Whether the row's handler exists with the right asyncness.
    pub(super) fn has(&self, row: &Syscall) -> bool {
        self.get(row).is_some_and(|handler| handler.is_async == (row.mode != Mode::Inline))
    }

    /// The path to call.
    pub(super) fn path(&self, row: &Syscall) -> String {
        let module = self.get(row).map_or("crate", |handler| handler.module.as_str());
        format!("{module}::sys_{}", row.name)
    }

    /// The path of what to ask before the handler.
    pub(super) fn try_path(&self, row: &Syscall) -> Option<String> {
        let handler = self.get(row).filter(|handler| handler.has_try)?;
        Some(format!("{}::try_{}", handler.module, row.name))
    }

    /// Handlers that the table does not call, in words.
    pub(super) fn mismatches(&self, rows: &[Syscall]) -> Vec<String> {
        let mut out = Vec::new();
        for ((family, name), handler) in &self.0 {
            let Some(row) = rows.iter().find(|row| row.name == name) else {
                out.push(format!("{family}::sys_{name} is no system call of the table"));
                continue;
            };
            if row.family != family {
                out.push(format!("sys_{name} is in {family}, the table says {}", row.family));
            } else if row.answer != Answer::Handler {
                out.push(format!("{family}::sys_{name} exists, but its row is answered without it"));
            } else if handler.is_async != (row.mode != Mode::Inline) {
                let (is, says) =
                    if handler.is_async { ("async", "inline") } else { ("not async", "that it may wait") };
                out.push(format!("{family}::sys_{name} is {is}, the table says {says}"));
            }
        }
        out.sort();
        out
    }
}

/// The names in `mod name;`.
fn declared_modules(code: &str) -> Vec<String> {
    let name_after = |at: usize| {
        let rest = code[at + 3..].trim_start();
        let (name, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?);
        after.trim_start().starts_with(';').then(|| name.to_owned())
    };
    rust_text::positions(code, "mod").filter_map(name_after).collect()
}

fn scan_text(family: &str, module: &str, code: &str, found: &mut HashMap<(String, String), Handler>) {
    for at in rust_text::positions(code, "fn") {
        let rest = code[at + 2..].trim_start();
        let Some(rest) = rest.strip_prefix("sys_") else { continue };
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let is_async = code[..at].trim_end().ends_with("async");
        // Only what a module offers to the dispatch counts, not a private helper of that name.
        let line = code[..at].rsplit(['\n', ';', '}']).next().unwrap_or("");
        if line.contains("pub") {
            let name = &rest[..end];
            let has_try = is_async && code.contains(&format!("fn try_{name}("));
            let handler = Handler { is_async, has_try, module: module.to_owned() };
            found.insert((family.to_owned(), rest[..end].to_owned()), handler);
        }
    }
}
