//! Everything that needs Postgres, Redis or a socket, in one binary: a file per noun.
//!
//! `./dev test` sets DATABASE_URL and REDIS_URL. Each test has a database and a key prefix of its own, so they run side by
//! side; databases of tests that fail are kept until the next run.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on fails"
)]

mod support;

mod account;
mod app_role;
mod architecture;
mod audit;
mod authorization;
mod calling_off;
mod catalogue;
mod cli;
mod connections;
mod cost;
mod crash;
mod desk;
mod docs;
mod forms;
mod gateway;
mod holds;
mod http;
mod kv;
mod odd_values;
mod outage;
mod payment;
mod pgbouncer;
mod race;
mod rates;
mod reservation;
mod sale;
mod schema;
mod seat_map;
mod secrets;
mod session;
mod smoke;
mod spelling;
mod tasks;
mod telemetry;
mod waiting_room;
mod wallet;
