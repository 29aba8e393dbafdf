//! containerd's config.toml and podman's containers.conf, edited in place: comments and order stay.

use anyhow::{Context, Result, bail};
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, value};

use super::{Change, NAME};

/// containerd's name of the runtime, from which it makes that of the shim.
const RUNTIME_TYPE: &str = "io.containerd.palisade.v1";

/// The plugin that serves Kubernetes, in files of version 2 and of version 3 (containerd 2).
const CRI: [(i64, &str); 2] = [(2, "io.containerd.grpc.v1.cri"), (3, "io.containerd.cri.v1.runtime")];

pub(super) fn containerd(text: &str, change: Change<'_>) -> Result<String> {
    let mut document = parse(text)?;
    if text.trim().is_empty() {
        if change == Change::Remove {
            return Ok(text.to_owned());
        }
        document.insert("version", value(2));
    }
    let version = match document.get("version") {
        Some(version) => version.as_integer().context("version is not a number")?,
        None => bail!("has no version, hence is of version 1; migrate it (containerd config migrate)"),
    };
    let plugin = CRI.iter().find(|(known, _)| *known == version);
    let (_, plugin) = plugin.with_context(|| format!("version {version} is not known, only 2 and 3"))?;
    let place = ["plugins", plugin, "containerd"];
    match change {
        Change::Add(shim) => {
            let runtime = table(&mut document, &[&place[..], &["runtimes", NAME]].concat())?;
            set(runtime, "runtime_type", RUNTIME_TYPE);
            set(runtime, "runtime_path", shim);
        }
        Change::Remove => {
            keep_default(&mut document, &place, "default_runtime_name")?;
            remove(&mut document, &[&place[..], &["runtimes", NAME]].concat());
        }
    }
    Ok(document.to_string())
}

pub(super) fn podman(text: &str, change: Change<'_>) -> Result<String> {
    let mut document = parse(text)?;
    match change {
        Change::Add(program) => {
            let runtimes = table(&mut document, &["engine", "runtimes"])?;
            let is_ours =
                |array: &Array| array.len() == 1 && array.get(0).and_then(|v| v.as_str()) == Some(program);
            if !runtimes.get(NAME).and_then(Item::as_array).is_some_and(is_ours) {
                runtimes.insert(NAME, value(Array::from_iter([program])));
            }
        }
        Change::Remove => {
            keep_default(&mut document, &["engine"], "runtime")?;
            remove(&mut document, &["engine", "runtimes", NAME]);
        }
    }
    Ok(document.to_string())
}

fn parse(text: &str) -> Result<DocumentMut> {
    text.parse().map_err(|error: toml_edit::TomlError| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        anyhow::anyhow!("line {line}: {}", error.message().replace('\n', ", "))
    })
}

/// The table at `path`, made where it is missing: with a header for the last only.
fn table<'a>(document: &'a mut DocumentMut, path: &[&str]) -> Result<&'a mut dyn TableLike> {
    let mut at: &mut dyn TableLike = document.as_table_mut();
    for (depth, name) in path.iter().enumerate() {
        let new = || {
            let mut table = Table::new();
            table.set_implicit(depth + 1 < path.len());
            table.decor_mut().set_prefix("\n");
            Item::Table(table)
        };
        let shown = || format!("{} is not a table", path.get(..=depth).unwrap_or_default().join("."));
        at = at.entry(name).or_insert_with(new).as_table_like_mut().with_context(shown)?;
    }
    Ok(at)
}

fn set(table: &mut dyn TableLike, key: &str, wanted: &str) {
    if table.get(key).and_then(Item::as_str) != Some(wanted) {
        table.insert(key, value(wanted));
    }
}

/// Refuses to take away what is used for all containers.
fn keep_default(document: &mut DocumentMut, path: &[&str], key: &str) -> Result<()> {
    let mut at = Some(document.as_item());
    for name in path {
        at = at.and_then(|item| item.get(name));
    }
    match at.and_then(|item| item.get(key)).and_then(Item::as_str) {
        Some(NAME) => bail!("{key} is {NAME:?}; choose another default runtime first"),
        _ => Ok(()),
    }
}

/// Takes out what is at `path`, and what is empty above it then.
fn remove(document: &mut DocumentMut, path: &[&str]) {
    fn take(table: &mut dyn TableLike, path: &[&str]) {
        let Some((name, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            table.remove(name);
        } else if let Some(inner) = table.get_mut(name).and_then(Item::as_table_like_mut) {
            let had = !inner.is_empty();
            take(inner, rest);
            if had && inner.is_empty() {
                table.remove(name);
            }
        }
    }
    take(document.as_table_mut(), path);
}

#[cfg(test)]
mod tests {
    use super::{containerd, podman};
    use crate::commands::install::Change::{Add, Remove};

    const OLD: &str = "# ours\nversion = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    \
        [plugins.\"io.containerd.grpc.v1.cri\".cni]\n      bin_dir = \"/usr/lib/cni\" # here\n\
        [debug]\nlevel = \"info\"\n";

    #[test]
    fn containerd_gets_a_runtime_and_loses_it() {
        for old in [OLD, "version = 2\n", "version = 3\nroot = \"/x\"\n"] {
            let new = containerd(old, Add("/bin/shim")).unwrap();
            assert!(
                new.contains("containerd.runtimes.palisade]\nruntime_type = \"io.containerd.palisade.v1\"\n")
            );
            assert!(new.contains("runtime_path = \"/bin/shim\""), "{new}");
            for line in old.lines() {
                assert!(new.contains(line), "{new}");
            }
            assert_eq!(containerd(&new, Add("/bin/shim")).unwrap(), new);
            assert!(containerd(&new, Add("/other")).unwrap().contains("runtime_path = \"/other\""));
            assert_eq!(containerd(&new, Remove).unwrap().trim_end(), old.trim_end());
            assert_eq!(containerd(old, Remove).unwrap(), old);
        }
        assert!(containerd("", Add("/s")).unwrap().starts_with("version = 2\n"));
        assert_eq!(containerd("", Remove).unwrap(), "");
    }

    #[test]
    fn podman_gets_a_runtime_and_loses_it() {
        for old in
            ["", "[containers]\n# mine\nipcns = \"private\"\n", "[engine.runtimes]\ncrun = [\"/bin/crun\"]\n"]
        {
            let new = podman(old, Add("/bin/palisade")).unwrap();
            assert!(new.contains("palisade = [\"/bin/palisade\"]"), "{new}");
            assert_eq!(podman(&new, Add("/bin/palisade")).unwrap(), new);
            assert_eq!(podman(&new, Remove).unwrap(), old);
        }
    }

    #[test]
    fn bad_files_are_told_in_a_line() {
        for (text, words) in [
            ("version = 2\n[plugins\n", "line 2: "),
            ("root = \"/x\"\n", "version 1"),
            ("version = 9\n", "version 9"),
            ("version = \"2\"\n", "not a number"),
            ("version = 2\nplugins = 1\n", "plugins is not a table"),
        ] {
            let error = format!("{:#}", containerd(text, Add("/s")).unwrap_err());
            assert!(error.contains(words) && !error.contains('\n'), "{error}");
        }
        assert!(podman("[engine]\nruntimes = []\n", Add("/p")).is_err());
        let default = "[engine]\nruntime = \"palisade\"\n";
        assert!(podman(default, Remove).unwrap_err().to_string().contains("runtime is \"palisade\""));
    }
}
