//! Whether there are traces. The variables have OpenTelemetry's names, so that what fleets set for all their programs holds
//! here too.

use clap::Args;

use crate::telemetry::{TraceAddress, TraceHeaders, TraceSettings};

/// Traces.
#[derive(Debug, Clone, Args)]
pub struct TraceArgs {
    /// An OpenTelemetry collector that takes OTLP over HTTP: `http://127.0.0.1:4318`. Traces go to /v1/traces below it; there are
    /// none without.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub otlp_endpoint: TraceAddress,
    /// Headers for the collector: `name=value`, separated by commas.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub otlp_headers: TraceHeaders,
    /// What traces call this service.
    #[arg(long, env = "OTEL_SERVICE_NAME", default_value = "frontrow")]
    pub service_name: String,
    /// Of the traces that begin here, this share is recorded: 0 to 1. What a trusted proxy has begun goes by what that says.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "1", value_parser = ratio)]
    pub trace_ratio: f64,
}

fn ratio(text: &str) -> Result<f64, &'static str> {
    let ratio: f64 = text.parse().map_err(|_| "it is a number from 0 to 1")?;
    if (0.0..=1.0).contains(&ratio) { Ok(ratio) } else { Err("it is a number from 0 to 1") }
}

impl TraceArgs {
    /// The settings of traces.
    pub fn settings(&self) -> TraceSettings {
        TraceSettings {
            endpoint: self.otlp_endpoint.clone(),
            headers: self.otlp_headers.clone(),
            service: self.service_name.clone(),
            ratio: self.trace_ratio,
        }
    }
}
