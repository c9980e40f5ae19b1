//! The log and the metrics. What exists to be counted is declared in `metrics` and beside it. `course` follows an operation.

mod course;
mod filter;
mod lines;
mod metrics;
mod operations;
mod rooms;
mod seldom;
mod traces;

pub use course::{Asked, Course, Part, Step, refused};
pub use filter::log_filter;
use lines::Traced;
pub use metrics::{
    CheckLabels, EndedLabels, GatewayLabels, GatewayVerbLabels, LIMITS, LaneLabels, LimitLabels,
    Metrics, OutcomeLabels, ReasonLabels, RequestLabels, SessionLabels, TaskLabels,
};
pub use operations::{OperationLabels, OperationMetrics, OperationOutcome, RefusalLabels};
pub use rooms::{RoomMetrics, RoomsMetrics};
pub use seldom::Seldom;
pub use traces::{
    Export, Parent, Span, TraceAddress, TraceHeaders, TraceSettings, start as start_traces,
};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// One readable line, for people.
    Text,
}

/// What is never logged, whatever the filter says: drivers, which name the address of the database with its password, and
/// pass on what the server says of it. What they meet is told in our own words.
const SILENT: &[&str] = &[
    "sea_orm::driver::sqlx_postgres=off",
    "sqlx_core::pool::inner=off",
    "sqlx_core::pool::connection=off",
];

/// Starts logging to standard error. `filter` is a tracing filter such as `info` or `frontrow=debug,info`.
///
/// Does nothing when a log has been started before.
pub fn init_log(filter: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = SILENT
        .iter()
        .filter_map(|silent| silent.parse().ok())
        .fold(filter, EnvFilter::add_directive);
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(std::io::stderr);
    // A second start is refused, and the first one stands.
    drop(match format {
        LogFormat::Json => {
            let lines = fmt::format().json().flatten_event(true).with_target(false);
            let fields = fmt::format::JsonFields::new();
            let layer = layer.fmt_fields(fields).event_format(Traced { lines, format });
            registry.with(layer).try_init()
        }
        LogFormat::Text => {
            let lines = fmt::format().with_target(false);
            registry.with(layer.event_format(Traced { lines, format })).try_init()
        }
    });
}
