//! Frontrow: the fair box office.
//!
//! This page is the code map: the modules by floor, in reading order. A module names modules of lower floors only;
//! `tests/it/architecture.rs` holds that. ARCHITECTURE.md tells the story around it.

// Floor 0: words. No async, no I/O.
pub mod kernel;

// Floor 1: the only doors to Postgres, Redis, the log and the metrics.
pub mod db;
pub mod kv;
pub mod telemetry;

// Floor 2: siblings that do not know of each other.
pub mod account;
pub mod catalogue;

// Floor 6: builds every service once; the only reader of the environment.
pub mod app;

// Floor 7: what the world sees, and what runs by itself.
pub mod api;

// Floor 9: the program.
pub mod cli;
