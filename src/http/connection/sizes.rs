//! How much is read and kept of one connection at a time, and how often connections are looked at. Times and counts are in
//! `http/limits.rs`.

use std::time::Duration;

/// The longest head of a request, in bytes: the request line and all fields. What a browser with many cookies sends has half
/// of it. hyper reads heads into one buffer of this size, so it is also the most that a half-sent head keeps in memory.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Answers are handed to the socket in pieces of this many bytes, so that what waits is here and counted, not in hyper's
/// buffer.
pub(super) const PIECE_BYTES: usize = 64 * 1024;
/// The system takes this many bytes that it cannot send yet. What a reader does not take waits with us, where it is counted,
/// and we hear soon of each bit that went out. By itself it would take megabytes, and tell us after a third of them.
pub(super) const UNSENT_BYTES: u32 = 16 * 1024;
/// This many bytes have to go out within `Limits::write`.
pub(super) const WRITTEN_BYTES_MIN: usize = 16 * 1024;
/// Answers up to this size are not counted: the system takes them at once, and what a mutation has done is told in less.
pub(super) const UNCOUNTED_BYTES: usize = 16 * 1024;
/// How often connections are looked at. A limit of time is late by this at most.
pub(super) const SWEEP: Duration = Duration::from_millis(250);
