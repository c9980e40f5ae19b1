//! `frontrow sandbox-gateway`.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use reqwest::Url;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Failed, serve::stop_on_signal};
use crate::{
    app::some_secret,
    gateway::GatewayAddress,
    http::Lifetime,
    sandbox::{self, SandboxSettings},
    tasks::Tasks,
    telemetry::{self, LogFormat, log_filter},
};

#[derive(Debug, Args)]
pub(super) struct SandboxGatewayArgs {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8030")]
    listen: SocketAddr,
    /// Where events go: `/webhooks/sandbox` of the server.
    #[arg(long, default_value = "http://127.0.0.1:8000/webhooks/sandbox", value_name = "URL",
          hide_env_values = true, value_parser = webhook_url)]
    webhook_url: Url,
    /// Shared with the server, for its calls and for webhooks.
    #[arg(long, env = "FRONTROW_SANDBOX_SECRET", hide_env_values = true, value_parser = some_secret)]
    secret: SecretString,
    /// How browsers reach it, when that is not the address that it listens on.
    #[arg(long, value_name = "URL")]
    public_url: Option<GatewayAddress>,
    /// How long the buyer has for the bank's challenge, in seconds.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    challenge_seconds: u64,
    /// What is logged: a level, and levels of parts of the program, separated by commas: `info,frontrow=debug`.
    #[arg(long, env = "FRONTROW_LOG", default_value = "info", value_parser = log_filter)]
    log: String,
}

fn webhook_url(text: &str) -> Result<Url, &'static str> {
    let written = "it is written http://host:port/webhooks/sandbox";
    let url = Url::parse(text).map_err(|_| written)?;
    let plain = url.username().is_empty() && url.password().is_none();
    let fits = ["http", "https"].contains(&url.scheme()) && url.has_host() && plain;
    if fits { Ok(url) } else { Err(written) }
}

pub(super) async fn run(args: SandboxGatewayArgs) -> Result<ExitCode, Failed> {
    telemetry::init_log(&args.log, LogFormat::Text);
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Failed::new(format!("{} cannot be listened on ({error}); choose another.", args.listen))
    })?;
    let address = listener.local_addr().map_err(|error| Failed::new(error.to_string()))?;
    let public_url = match &args.public_url {
        Some(url) => url.url().as_str().trim_end_matches('/').to_owned(),
        None => format!("http://{}", reachable(address)),
    };
    let stopping = CancellationToken::new();
    let tasks = Tasks::default();
    drop(tasks.spawn("waiting for signals", stop_on_signal(stopping.clone())));
    println!(
        "The sandbox gateway listens on {public_url}; it takes no money, and forgets all when it stops."
    );
    drop(std::io::stdout().flush());
    let settings = SandboxSettings {
        webhook_url: args.webhook_url,
        secret: args.secret,
        public_url,
        challenge: Duration::from_secs(args.challenge_seconds),
    };
    sandbox::serve(listener, settings, Lifetime::new(stopping))
        .await?
        .map_err(|error| Failed::new(format!("the sandbox stopped: {error}.")))?;
    Ok(ExitCode::SUCCESS)
}

/// Who listens everywhere is reached here.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
