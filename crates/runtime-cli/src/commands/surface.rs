//! `palisade surface`.

use anyhow::Result;

use crate::args::{Format, SurfaceArgs};

/// Prints it, or the table of CVEs.
pub(crate) fn list(args: &SurfaceArgs) -> Result<u8> {
    let text = if args.summary {
        runtime_supervisor::summary()?
    } else if args.cves {
        let cves = runtime_supervisor::cve_table(args.strict)?;
        match args.format {
            Format::Table => cves.table(),
            Format::Json => cves.json(),
            Format::Markdown => cves.markdown(),
        }
    } else {
        let surface = runtime_supervisor::surface(args.strict)?;
        match args.format {
            Format::Table => surface.table(),
            Format::Json => surface.json(),
            Format::Markdown => surface.markdown(),
        }
    };
    super::print(&text)?;
    Ok(0)
}
