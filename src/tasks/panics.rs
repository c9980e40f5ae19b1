//! Panics as lines of the log.

use std::{any::Any, panic};

/// Has every panic written as one line of the log, with its place and nothing that a client sent: what a panic says is told
/// only where it stands in the source as it is. Before the log is started, and for commands that have none, the line goes to
/// standard error.
pub fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        if reader_is_gone(panic.payload()) {
            // As every program ends whose reader has seen enough: `frontrow schema | head`.
            std::process::exit(1);
        }
        let place = panic
            .location()
            .map_or_else(String::new, |place| format!("{}:{}", place.file(), place.line()));
        let says = told(panic.payload());
        if tracing::dispatcher::has_been_set() {
            tracing::error!(place, says, "something panicked");
        } else {
            eprintln!("frontrow: something panicked at {place}: {}.", says.unwrap_or_default());
        }
    }));
}

/// Whether nobody reads standard output any more, which `println!` takes for a panic.
fn reader_is_gone(payload: &(dyn Any + Send)) -> bool {
    let text = payload.downcast_ref::<String>();
    text.is_some_and(|text| text.starts_with("failed printing to stdout"))
}

/// What a panic says, if that was written by us: whatever was put together may hold anything.
pub(super) fn told(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref::<&'static str>().copied()
}
