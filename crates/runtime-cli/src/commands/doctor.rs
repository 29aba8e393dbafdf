//! `palisade doctor`.

use anyhow::Result;
use runtime_supervisor::doctor;

/// Prints a line for each check, with the remedy where one fails; 1 if any does.
pub(crate) fn report() -> Result<u8> {
    let checks = doctor();
    let mut text = String::new();
    for check in &checks {
        let mark = if check.ok { "ok  " } else { "FAIL" };
        text.push_str(&format!("{mark} {:<28} {}\n", check.name, check.detail));
        if !check.ok {
            text.push_str(&format!("     remedy: {}\n", check.remedy));
        }
    }
    super::print(&text)?;
    Ok(u8::from(checks.iter().any(|check| !check.ok)))
}
