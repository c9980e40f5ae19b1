//! Panics planted in the tasks of a running server, without a hook in the server: its log panics at a line of the test's
//! choice. Every kind of task writes some line when something odd happens, and a test can have that happen.

use std::sync::{Mutex, Once, PoisonError};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// The beginnings of lines at which to panic, once each.
static PLANTED: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
static LISTENING: Once = Once::new();

/// Has the task panic that next writes a line which begins so.
pub(crate) fn plant(line: &'static str) {
    LISTENING.call_once(|| {
        tracing::subscriber::set_global_default(Saboteur).expect("nobody else listens to the log");
    });
    PLANTED.lock().unwrap_or_else(PoisonError::into_inner).push(line);
}

/// Whether the panic has gone off.
pub(crate) fn gone_off(line: &str) -> bool {
    !PLANTED.lock().unwrap_or_else(PoisonError::into_inner).contains(&line)
}

struct Saboteur;

impl Subscriber for Saboteur {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("frontrow")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let mut planted = PLANTED.lock().unwrap_or_else(PoisonError::into_inner);
        let due = planted.iter().position(|planted| line.0.starts_with(planted));
        if let Some(at) = due {
            planted.remove(at);
            drop(planted);
            panic!("planted");
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What a line says.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
