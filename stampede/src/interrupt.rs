//! Ctrl-C, heard for as long as the program runs.

use tokio::signal::unix::{SignalKind, signal};

use crate::Result;

/// The first Ctrl-C does this, the second ends at once. One stream hears both, so that none is lost between two looks.
///
/// # Errors
/// When the system does not let us listen.
pub fn hear(first: impl FnOnce() + Send + 'static) -> Result<()> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        if interrupts.recv().await.is_none() {
            return;
        }
        first();
        if interrupts.recv().await.is_some() {
            std::process::exit(2);
        }
    });
    Ok(())
}
