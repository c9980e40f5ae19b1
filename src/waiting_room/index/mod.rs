//! The index of the lines in Redis: what is asked of it (`store`, and the scripts in `lua/`), and how it is built from the
//! journal when it is gone or wrong (`rebuild`). It decides nothing but who is away.

mod rebuild;
mod store;

pub(super) use rebuild::Rebuilds;
use store::Claim;
pub(super) use store::{CHUNK, Index, Ranks};
