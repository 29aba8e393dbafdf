//! Runtime options: a TOML file that containerd's configuration, or `ctr run --runtime-config-path`, names.

use std::fs;
use std::path::PathBuf;

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{CodedInputStream, Message};
use containerd_shim_protos::shim::oci;
use runtime_oci::NetworkMode;
use serde::Deserialize;

use crate::error::{Error, io};

/// Longest file, in bytes.
const MAX_LEN: u64 = 1 << 20;

/// What an operator chooses for containers of a runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// Calls that could run natively are checked by the supervisor.
    pub(crate) strict: bool,
    /// Guests' calls are printed to `<id>.strace` in this directory.
    pub(crate) strace: Option<PathBuf>,
    /// `debug` for more of it, in the log of the supervisor.
    pub(crate) log_level: LogLevel,
    /// The directory of the supervisor's log; its name is the pod's.
    pub(crate) log: Option<PathBuf>,
    /// Ask systemd for cgroups.
    pub(crate) systemd_cgroup: bool,
    /// `none` or `host`; without, what the bundle's annotation says, or host.
    pub(crate) network: Option<NetworkMode>,
    /// The `palisade` program, unless it is beside the shim or in PATH.
    pub(crate) palisade: Option<PathBuf>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    #[default]
    Info,
    Debug,
}

impl Options {
    /// Reads what comes with a container's creation.
    pub(crate) fn read(any: Option<&Any>) -> Result<Self, Error> {
        let Some(any) = any.filter(|any| !any.type_url.is_empty()) else { return Ok(Self::default()) };
        let malformed = |error: containerd_shim_protos::protobuf::Error| {
            Error::Invalid(format!("runtime options: {error}"))
        };
        match any.type_url.rsplit('/').next().unwrap_or_default() {
            // `ctr run --runc-systemd-cgroup`, or containerd's SystemdCgroup.
            "containerd.runc.v1.Options" => {
                let theirs = oci::Options::parse_from_bytes(&any.value).map_err(malformed)?;
                Ok(Self { systemd_cgroup: theirs.systemd_cgroup, ..Self::default() })
            }
            "runtimeoptions.v1.Options" => match file(&any.value).map_err(malformed)? {
                Source::Nothing => Ok(Self::default()),
                Source::Text(text) => Self::parse(&text, "runtime options"),
                Source::Path(path) => Self::load(&path),
            },
            other => Err(Error::Invalid(format!("runtime options of the type {other} are not known"))),
        }
    }

    fn load(path: &str) -> Result<Self, Error> {
        if fs::metadata(path).map_err(io(path))?.len() > MAX_LEN {
            return Err(Error::Invalid(format!("{path}: longer than {MAX_LEN} bytes")));
        }
        Self::parse(&fs::read_to_string(path).map_err(io(path))?, path)
    }

    fn parse(text: &str, source: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| Error::Invalid(format!("{source}: {}", error.message())))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Source {
    Nothing,
    Path(String),
    Text(String),
}

/// containerd's pkg/runtimeoptions/v1: `string type_url = 1; string config_path = 2; bytes config_body = 3`.
fn file(bytes: &[u8]) -> containerd_shim_protos::protobuf::Result<Source> {
    let mut source = Source::Nothing;
    let mut input = CodedInputStream::from_bytes(bytes);
    // A tag is a field's number and, in the last three bits, its form; 2 is a string.
    while let Some(tag) = input.read_raw_tag_or_eof()? {
        match tag {
            0x12 => source = Source::Path(input.read_string()?),
            0x1a => {
                let body = input.read_bytes()?;
                source = Source::Text(String::from_utf8_lossy(&body).into_owned());
            }
            _ => drop(input.read_bytes()?),
        }
    }
    Ok(source)
}

#[cfg(test)]
mod tests {
    use super::{LogLevel, Options, Source, file};

    #[test]
    fn unknown_options_are_refused_by_name() {
        let options = Options::parse("strict = true\nlog_level = \"debug\"", "x").unwrap();
        assert!(options.strict && options.log_level == LogLevel::Debug);
        let error = Options::parse("strikt = true", "x").unwrap_err().to_string();
        assert!(error.contains("strikt"), "{error}");
    }

    #[test]
    fn containerds_message_is_read() {
        assert_eq!(file(b"\x0a\x01t\x12\x02/a").unwrap(), Source::Path("/a".to_owned()));
        assert_eq!(file(b"\x1a\x01x").unwrap(), Source::Text("x".to_owned()));
        assert_eq!(file(b"").unwrap(), Source::Nothing);
        assert!(file(b"\x12\x7f").is_err());
    }
}
