//! People: signing up, logging in, and the sessions that prove it.

mod keyring;
mod session;

pub use keyring::{Keyring, SECRET_BYTES_MIN, TokenRefusal};
pub use session::{SessionToken, Sessions};
