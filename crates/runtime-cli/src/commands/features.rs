//! `palisade features`.

use anyhow::Result;

use crate::commands::print;

/// What this runtime does, as JSON.
pub(crate) fn features() -> Result<u8> {
    let text = serde_json::to_string_pretty(&runtime_oci::features())?;
    print(&format!("{text}\n"))?;
    Ok(0)
}
