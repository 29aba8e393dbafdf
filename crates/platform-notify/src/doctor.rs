//! Whether this host has what the platform needs.
