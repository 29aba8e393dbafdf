//! `palisade surface`.

use anyhow::Result;

use crate::args::{Format, SurfaceArgs};

/// Prints it.
pub(crate) fn list(args: &SurfaceArgs) -> Result<u8> {
    let surface = runtime_supervisor::surface(args.strict)?;
    let text = match args.format {
        Format::Table => surface.table(),
        Format::Json => surface.json(),
        Format::Markdown => surface.markdown(),
    };
    super::print(&text)?;
    Ok(0)
}
