//! A guest made of a byte array, for unit tests and fuzzers: no process, no host call.
