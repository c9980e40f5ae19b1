//! This machine: the addresses to listen on, and how many connections it has room for.

use std::{io, net::SocketAddr, time::Duration};

use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;

use super::finding::Finding;
use crate::{
    app::Settings,
    cli::{sandbox_gateway::reachable, serve::OPEN_FILES_FEW},
    http::Limits,
};

/// How long who listens already may take to say who it is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Open files that are no connections of clients.
const FILES_BESIDES: u64 = 256;

pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let mut found = vec![listen("FRONTROW_LISTEN", settings.listen).await];
    if let Some(metrics) = settings.metrics_listen.filter(|metrics| *metrics != settings.listen) {
        found.push(listen("FRONTROW_METRICS_LISTEN", metrics).await);
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    found.push(files_for(files, settings.connections, Limits::of(settings).connections));
    found
}

async fn listen(setting: &'static str, address: SocketAddr) -> Finding {
    let error = match TcpListener::bind(address).await {
        Ok(_) => return Finding::ok("listen", format!("{address} is free ({setting})")),
        Err(error) => error,
    };
    let taken = error.kind() == io::ErrorKind::AddrInUse;
    if taken && is_a_server(address).await {
        return Finding::ok(
            "listen",
            format!("A server of ours listens on {address} already ({setting})"),
        );
    }
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address",
        io::ErrorKind::PermissionDenied => "ports below 1024 are for root",
        _ => "the system refuses",
    };
    Finding::wrong(
        "listen",
        format!("{address} cannot be listened on"),
        why,
        format!("set {setting} to a free address of this machine"),
    )
}

async fn is_a_server(address: SocketAddr) -> bool {
    let asked = async {
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_TIMEOUT).build().ok()?;
        let url = format!("http://{}/health/live", reachable(address));
        let answer = client.get(url).send().await.ok()?;
        let ours = answer.status().is_success() && answer.content_length() == Some(5);
        (ours && answer.text().await.ok()? == "live\n").then_some(())
    };
    asked.await.is_some()
}

fn files_for(files: u64, wanted: Option<u32>, room: usize) -> Finding {
    let todo = "raise the hard limit of open files (systemd: LimitNOFILE=, a shell: ulimit -Hn)";
    if let Some(wanted) = wanted.filter(|wanted| u64::from(*wanted) + FILES_BESIDES > files) {
        return Finding::wrong(
            "limits",
            format!("FRONTROW_CONNECTIONS is {wanted}, and {files} files may be open"),
            "each connection is one, and Postgres, Redis and the program need some besides",
            todo,
        );
    }
    if files < OPEN_FILES_FEW {
        return Finding::note(
            "limits",
            format!("{files} files may be open, which is room for {room} connections"),
            "on the day of sale that is soon used up",
            todo,
        );
    }
    Finding::ok(
        "limits",
        format!("There is room for {room} connections, of {files} files that may be open"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::finding::Level;

    #[test]
    fn files_have_to_suffice_for_what_was_promised() {
        let level = |files, wanted| files_for(files, wanted, 1_000).level;
        assert_eq!(level(1_000_000, None), Level::Ok);
        assert_eq!(level(1_000_000, Some(100_000)), Level::Ok);
        assert_eq!(level(4_096, None), Level::Note);
        assert_eq!(level(4_096, Some(4_000)), Level::Wrong);
        assert_eq!(level(20_000, Some(20_000)), Level::Wrong);
    }
}
