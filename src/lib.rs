//! Frontrow: the fair box office.
//!
//! This page is the code map: the modules by floor, in reading order. A module names modules of lower floors only;
//! `tests/it/architecture.rs` holds that. ARCHITECTURE.md tells the story around it.

// Floor 0: words. No async, no I/O.
pub mod kernel;

// Floor 1: the only doors to Postgres, Redis, the log and the metrics; where tasks are started; lines in front of what is
// scarce; how often somebody may do something; lanes in which many requests share a statement.
pub mod db;
pub mod kv;
pub mod lanes;
pub mod rates;
pub mod tasks;
pub mod telemetry;
pub mod turns;

// Floor 2: siblings that do not know of each other.
pub mod account;
pub mod catalogue;
pub mod gateway;
pub mod seat_map;
pub mod wallet;

// Floor 3: who may go in, and in which order.
pub mod waiting_room;

// Floor 4: seats held, owned and given back.
pub mod reservation;

// Floor 5: money against seats, running a sale, what an organizer sees of it, accounts deleted, and
// whether all of it agrees.
pub mod audit;
pub mod desk;
pub mod erasure;
pub mod payment;
pub mod sale;

// Floor 6: builds every service once; the only reader of the environment.
pub mod app;

// Floor 7: what the world sees, and what runs by itself.
pub mod api;
pub mod workers;

// Floor 8: the edge.
pub mod http;

// Floor 9: a gateway to try cards with, a small server of its own.
pub mod sandbox;

// Floor 10: the program.
pub mod cli;
