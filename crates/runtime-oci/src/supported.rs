//! What of config.json a sandbox does not do. Nothing is ignored silently: a field that asks for something that it
//! would not get is refused by its name.
//!
//! Accepted without an effect, because what they ask for holds anyway: `linux.resources.devices` (no device of the
//! host exists inside, and a rule cannot create one), `annotations`. Properties that the OCI specification does not
//! know have to be ignored, as it says.

use serde_json::Value;

use crate::bundle::{BundleError, invalid};

/// Fields that are refused when they ask for anything, and what to do about it.
const REFUSED: &[(&str, &str)] = &[
    ("linux.timeOffsets", "leave it out"),
    ("linux.netDevices", "leave it out"),
    ("linux.mountLabel", "leave it out"),
    ("linux.intelRdt", "leave it out"),
    ("linux.memoryPolicy", "leave it out, or run palisade under numactl(8)"),
];

/// The same of `process`, which comes alone as well.
const REFUSED_OF_PROCESS: &[(&str, &str)] = &[
    ("apparmorProfile", "leave it out: guests do not reach what the profile guards"),
    ("selinuxLabel", "leave it out: guests do not reach what the label guards"),
    ("commandLine", "it is for Windows; use process.args"),
];

fn field<'a>(config: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(config, |value, name| value.get(name))
}

/// Whether a value is a long way of saying nothing, as engines write them: `{}`, `[]`, `{"shares": 0}`.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "unconfined",
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(says_nothing),
    }
}

/// Refuses what is not supported.
pub(crate) fn check(config: &Value) -> Result<(), BundleError> {
    check_version(config)?;
    for (path, remedy) in REFUSED {
        if field(config, path).is_some_and(|value| !says_nothing(value)) {
            return Err(invalid(*path, format!("not supported; {remedy}")));
        }
    }
    config.get("process").map_or(Ok(()), check_process)
}

/// The part of it that is about a process.
pub(crate) fn check_process(process: &Value) -> Result<(), BundleError> {
    for (name, remedy) in REFUSED_OF_PROCESS {
        if process.get(name).is_some_and(|value| !says_nothing(value)) {
            return Err(invalid(format!("process.{name}"), format!("not supported; {remedy}")));
        }
    }
    Ok(())
}

fn check_version(config: &Value) -> Result<(), BundleError> {
    let version = config.get("ociVersion").ok_or(BundleError::Missing("ociVersion"))?;
    let version = version.as_str().ok_or_else(|| invalid("ociVersion", "is not a string"))?;
    let mut parts = version.split(['.', '-', '+']);
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    match (number(), number(), number()) {
        (Some(1), Some(_), Some(_)) => Ok(()),
        _ => Err(invalid("ociVersion", format!("{version:?} is not supported; this runtime speaks 1.x.y"))),
    }
}

#[cfg(test)]
mod tests {
    use super::{REFUSED, REFUSED_OF_PROCESS, check, says_nothing};
    use serde_json::{Value, json};

    fn plain() -> Value {
        json!({
            "ociVersion": "1.0.2-dev",
            "process": { "apparmorProfile": "" },
            "linux": { "resources": { "devices": [{ "allow": false }], "cpu": { "shares": 0 } } },
        })
    }

    #[test]
    fn plain_configuration_passes() {
        assert!(check(&plain()).is_ok());
    }

    #[test]
    fn each_refused_field_is_named() {
        let of_process = REFUSED_OF_PROCESS.iter().map(|(name, _)| format!("process.{name}"));
        for path in REFUSED.iter().map(|(path, _)| (*path).to_owned()).chain(of_process) {
            let mut config = plain();
            let mut at = &mut config;
            for name in path.split('.') {
                at = &mut at[name];
            }
            *at = json!({ "some": "thing" });
            let message = check(&config).expect_err(&path).to_string();
            assert!(message.contains(&path) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn versions_are_1_x_y() {
        for (version, accepted) in
            [("1.0.0", true), ("1.2.1", true), ("2.0.0", false), ("", false), ("1.0", false)]
        {
            let mut config = plain();
            config["ociVersion"] = json!(version);
            assert_eq!(check(&config).is_ok(), accepted, "{version}");
        }
    }

    #[test]
    fn empty_values_say_nothing() {
        assert!(says_nothing(&json!({ "a": [], "b": { "c": 0 }, "d": "" })));
        assert!(!says_nothing(&json!([{}])));
    }
}
