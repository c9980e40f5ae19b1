//! Stampede, from the command line.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    stampede::rehearse().await
}
