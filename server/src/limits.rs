//! Bounds of what comes from outside. Each has a test that reaches it.

/// Arguments of one request.
pub const ARGS_MAX: usize = 1024 * 1024;
/// One argument, whatever the settings say: its place must fit 32 bits.
pub const ARG_BYTES_MAX: usize = u32::MAX as usize;
/// A request in one line, and the line of a count.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Arguments of a request before AUTH.
pub const UNAUTHENTICATED_ARGS_MAX: usize = 10;
/// An argument before AUTH.
pub const UNAUTHENTICATED_ARG_BYTES_MAX: usize = 16 * 1024;
/// Room that is made for an argument before its bytes have come.
pub const READ_AHEAD_BYTES_MAX: usize = 1024 * 1024;
/// Room for arguments that a parser keeps between requests.
pub const ARGS_KEPT_MAX: usize = 4096;
