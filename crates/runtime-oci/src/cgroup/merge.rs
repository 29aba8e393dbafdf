//! Limits after a change.

use oci_spec::runtime::LinuxResources;
use serde_json::Value;

use crate::BundleError;

/// What was, with what changes in its place.
pub fn merged(before: &LinuxResources, change: &Value) -> Result<LinuxResources, BundleError> {
    // Resources have nothing that JSON has not.
    let mut all = serde_json::to_value(before).unwrap_or_default();
    let (Value::Object(all_fields), Value::Object(changed)) = (&mut all, change) else {
        return Ok(before.clone());
    };
    for (name, value) in changed.iter().filter(|(_, value)| !value.is_null()) {
        match (all_fields.get_mut(name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                old.extend(
                    new.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())),
                );
            }
            _ => drop(all_fields.insert(name.clone(), value.clone())),
        }
    }
    super::resources_from_json(&all)
}

#[cfg(test)]
mod tests {
    use super::merged;
    use serde_json::json;

    #[test]
    fn what_is_not_mentioned_stays() {
        let before =
            serde_json::from_value(json!({ "memory": { "limit": 5, "swap": 6 }, "pids": { "limit": 7 } }));
        let after =
            merged(&before.unwrap(), &json!({ "memory": { "limit": 8 }, "cpu": { "shares": 9 } })).unwrap();
        let after = serde_json::to_value(after).unwrap();
        assert_eq!(after["memory"], json!({ "limit": 8, "swap": 6 }));
        assert_eq!((&after["cpu"]["shares"], &after["pids"]["limit"]), (&json!(9), &json!(7)));
    }
}
