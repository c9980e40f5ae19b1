//! `frontrow export`.

use std::{
    io::{BufWriter, Write},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use uuid::Uuid;

use super::{Failed, database};
use crate::{
    app::DatabaseArgs,
    desk::{self, ExportFailed, ExportLine},
    kernel::ScheduleId,
};

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// The performance.
    #[arg(long, value_name = "ID")]
    schedule: Uuid,
    /// How lines are written.
    #[arg(long, default_value = "csv")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table (RFC 4180, UTF-8) with a header. Texts that a spreadsheet might compute begin with an apostrophe.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

impl Format {
    fn write(self, out: &mut impl Write, line: &ExportLine) -> std::io::Result<()> {
        match self {
            Self::Csv => out.write_all(line.csv().as_bytes()),
            Self::Jsonl => writeln!(out, "{}", serde_json::to_string(line)?),
        }
    }
}

/// Prints a line for each reservation that somebody holds or owns, or that money was paid for, as all of them stood at one
/// moment.
pub(super) async fn run(args: &ExportArgs) -> Result<ExitCode, Failed> {
    let db = database::connect_migrated(&args.database).await?;
    let schedule_id = ScheduleId(args.schedule);
    let mut out = BufWriter::new(std::io::stdout());
    let mut headed = args.format == Format::Jsonl;
    let mut head = |out: &mut BufWriter<std::io::Stdout>| {
        if !std::mem::replace(&mut headed, true) {
            out.write_all(desk::csv_header().as_bytes())?;
        }
        Ok::<_, std::io::Error>(())
    };
    let exported = desk::export(&db, schedule_id, |line| {
        head(&mut out)?;
        args.format.write(&mut out, line)
    })
    .await;
    db.close().await;
    let unwritten = |error| Failed::new(format!("The reservations cannot be printed: {error}."));
    match exported {
        Ok(true) => {}
        Ok(false) => return Err(Failed::new(format!("There is no performance {schedule_id}."))),
        Err(ExportFailed::Fault(fault)) => return Err(fault.into()),
        Err(ExportFailed::Unwritten(error)) => return Err(unwritten(error)),
    }
    // A table that nobody is in has its header all the same.
    head(&mut out).and_then(|()| out.flush()).map_err(unwritten)?;
    Ok(ExitCode::SUCCESS)
}
