//! From a bundle directory to a [`ContainerSpec`]. What cannot be honoured is refused by name.

use std::fs::File;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::mounts::{convert_mount, settle_ids};
use crate::network::NetworkSpec;
use crate::process_config::process_from_json;
use crate::spec::ContainerSpec;
use crate::{hooks, linux, supported};

/// Why a bundle can't be run; each message names the thing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error(
        "bundle {0}: cannot open config.json: {1}; give a directory made by `runc spec` or an image tool"
    )]
    NoConfig(PathBuf, std::io::Error),
    #[error("bundle {0}: config.json is malformed: {1}")]
    Malformed(PathBuf, String),
    #[error("config.json: {0} is missing")]
    Missing(&'static str),
    #[error("config.json: {field}: {problem}")]
    Invalid { field: String, problem: String },
    #[error(transparent)]
    Hook(#[from] hooks::HookError),
}

/// Largest config.json that is read, in bytes.
const MAX_CONFIG: u64 = 8 << 20;

pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> BundleError {
    BundleError::Invalid { field: field.into(), problem: problem.into() }
}

/// A value as a type of oci-spec's; an error names the field, below `base`.
pub(crate) fn typed<T: DeserializeOwned + Serialize>(value: Value, base: &str) -> Result<T, BundleError> {
    let named = |path: &str, problem: String| {
        let field = match (base, path) {
            ("", "." | "") => "the file".to_owned(),
            (base, "." | "") => base.to_owned(),
            ("", path) => path.to_owned(),
            (base, path) => format!("{base}.{path}"),
        };
        // A value that is told may hold anything.
        invalid(field, problem.replace(char::is_control, " "))
    };
    let parsed: T = serde_path_to_error::deserialize(&value)
        .map_err(|error| named(&error.path().to_string(), error.inner().to_string()))?;
    // serde takes the items of a list for the fields of a structure.
    let again = serde_json::to_value(&parsed).unwrap_or_default();
    match list_for_object(&value, &again, "") {
        Some(path) => Err(named(&path, "invalid type: list, expected an object".to_owned())),
        None => Ok(parsed),
    }
}

/// The place of a list in `given` that was read as an object.
fn list_for_object(given: &Value, read: &Value, at: &str) -> Option<String> {
    match (given, read) {
        (Value::Array(_), Value::Object(_)) => Some(at.to_owned()),
        (Value::Array(given), Value::Array(read)) => given
            .iter()
            .zip(read)
            .enumerate()
            .find_map(|(index, (given, read))| list_for_object(given, read, &format!("{at}[{index}]"))),
        (Value::Object(given), Value::Object(read)) => given.iter().find_map(|(name, given)| {
            let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            list_for_object(given, read.get(name)?, &path)
        }),
        _ => None,
    }
}

/// Reads `bundle`/config.json.
pub fn load(bundle: &Path) -> Result<ContainerSpec, BundleError> {
    parse(bundle, &read(bundle)?)
}

/// The content of `bundle`/config.json.
pub fn read(bundle: &Path) -> Result<Value, BundleError> {
    let path = bundle.join("config.json");
    let file = File::open(&path).map_err(|error| BundleError::NoConfig(bundle.to_path_buf(), error))?;
    let malformed =
        |error: &dyn std::fmt::Display| BundleError::Malformed(bundle.to_path_buf(), error.to_string());
    let metadata = file.metadata().map_err(|error| malformed(&error))?;
    if !metadata.is_file() {
        return Err(malformed(&"not a regular file"));
    }
    if metadata.len() > MAX_CONFIG {
        return Err(malformed(&"larger than 8 MiB"));
    }
    serde_json::from_reader(std::io::BufReader::new(file)).map_err(|error| malformed(&error))
}

/// What config.json says, for a bundle in the directory `bundle`.
pub fn parse(bundle: &Path, config: &Value) -> Result<ContainerSpec, BundleError> {
    if !config.is_object() {
        return Err(invalid("the file", "is not a JSON object"));
    }
    supported::check(config)?;
    let process = config.get("process").ok_or(BundleError::Missing("process"))?;
    let process = process_from_json(process)?;
    let mut rest = config.clone();
    if let Some(fields) = rest.as_object_mut() {
        fields.remove("process");
    }
    let spec: Spec = typed(rest, "")?;
    let root = spec.root().as_ref().ok_or(BundleError::Missing("root"))?;
    if root.path().as_os_str().is_empty() {
        return Err(invalid("root.path", "is empty; name the directory that is to become /"));
    }
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let text = |value: &Option<String>| value.clone().unwrap_or_default().into_bytes();
    let mut container = ContainerSpec {
        // Of an absolute path, join keeps that alone.
        rootfs: bundle.join(root.path()),
        readonly: root.readonly().unwrap_or(false),
        mounts: mounts.iter().map(|mount| convert_mount(bundle, mount)).collect::<Result<_, _>>()?,
        process,
        hostname: name(text(spec.hostname()), "hostname")?,
        domainname: name(text(spec.domainname()), "domainname")?,
        hooks: spec.hooks().clone().unwrap_or_default(),
        annotations: spec.annotations().clone().unwrap_or_default().into_iter().collect(),
        ..ContainerSpec::default()
    };
    container.network = NetworkSpec::of_bundle(&container.annotations)?;
    hooks::check(&container.hooks)?;
    linux::convert(&spec.linux().clone().ok_or(BundleError::Missing("linux"))?, &mut container)?;
    settle_ids(&mut container)?;
    container.process.set_home(&container.rootfs);
    Ok(container)
}

/// The directory that becomes `/`, without symbolic links. What `root.path` says relative to the bundle must lie
/// there, not behind a link: who can change the bundle is not who may choose any directory of the host.
pub fn resolve_rootfs(bundle: &Path, rootfs: &Path) -> Result<PathBuf, BundleError> {
    let unusable = |error| {
        invalid("root.path", format!("{} can't be used: {error}; give a directory", rootfs.display()))
    };
    let resolved = rootfs.canonicalize().map_err(unusable)?;
    if !resolved.is_dir() {
        return Err(invalid("root.path", format!("{} is not a directory; give one", rootfs.display())));
    }
    if let Ok(inside) = rootfs.strip_prefix(bundle) {
        let bundle = bundle.canonicalize().map_err(unusable)?;
        if resolved != bundle.join(inside.components().as_path()) {
            let problem = format!(
                "{} leads out of the bundle, or is a symbolic link; write the directory's absolute path",
                inside.display()
            );
            return Err(invalid("root.path", problem));
        }
    }
    Ok(resolved)
}

/// A name for uname(2).
fn name(name: Vec<u8>, field: &'static str) -> Result<Vec<u8>, BundleError> {
    // __NEW_UTS_LEN of include/uapi/linux/utsname.h.
    const MOST: usize = 64;
    if name.len() > MOST || name.contains(&0) {
        return Err(invalid(field, format!("is longer than {MOST} bytes, or contains a NUL byte")));
    }
    Ok(name)
}

#[cfg(test)]
#[path = "bundle_test.rs"]
mod tests;
