//! Reports: what is said of the samples, and the forms in which it is said.

pub(crate) mod chart;
pub(crate) mod files;
pub(crate) mod html;
pub(crate) mod markdown;
pub(crate) mod model;
pub(crate) mod ratios;
pub(crate) mod table;
pub(crate) mod text;
