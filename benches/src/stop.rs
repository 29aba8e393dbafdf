//! ^C: a flag that is looked at while something is waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on the first of these signals sets the flag; the second one ends the program.
pub(crate) fn listen() -> anyhow::Result<()> {
    let flag = STOP.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(())
}

/// Whether the user wants to stop.
pub(crate) fn wanted() -> bool {
    STOP.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}
