//! `palisade doctor`.

use runtime_supervisor::doctor;

/// Prints a line for each check, with the remedy where one fails; 1 if any does.
pub(crate) fn report() -> u8 {
    let checks = doctor();
    for check in &checks {
        let mark = if check.ok { "ok  " } else { "FAIL" };
        println!("{mark} {:<28} {}", check.name, check.detail);
        if !check.ok {
            println!("     remedy: {}", check.remedy);
        }
    }
    u8::from(checks.iter().any(|check| !check.ok))
}
