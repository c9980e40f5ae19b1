//! `frontrow serve`.

use std::{
    io::{IsTerminal, stdout},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{net::TcpListener, signal, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Failed, database};
use crate::{
    api,
    app::{App, Settings},
    http::{self, Lifetime, Limits, Listener},
    telemetry::{self, Export, LogFormat},
    workers,
};

/// How long the traces of the last requests may take on their way, and as long before that those which are on it.
const LAST_TRACES: Duration = Duration::from_secs(1);
/// Fewer connections than this are soon used up on the day of sale.
pub(super) const OPEN_FILES_FEW: u64 = 16_384;

pub(super) async fn run(settings: Settings) -> Result<ExitCode, Failed> {
    let format = settings.log_format;
    telemetry::init_log(&settings.log, format);
    let database = settings.database.clone();
    match serve(settings).await.map_err(|failed| failed.at(&database)) {
        // Whoever reads lines of JSON gets no other ones.
        Err(failed) if format == LogFormat::Json && tracing::enabled!(tracing::Level::ERROR) => {
            tracing::error!(why = %failed, "the server has ended");
            Ok(ExitCode::FAILURE)
        }
        ended => ended,
    }
}

async fn serve(settings: Settings) -> Result<ExitCode, Failed> {
    allow_open_files();
    // Said in a sentence here, rather than by the first request that fails.
    database::connect_migrated(&settings.database).await?.close().await;
    let listen = settings.listen;
    let (listener, address) = bind(listen, "FRONTROW_LISTEN").await?;
    let metrics = match settings.metrics_listen {
        Some(listen) => Some(bind(listen, "FRONTROW_METRICS_LISTEN").await?),
        None => None,
    };
    let patience = Duration::from_secs(settings.shutdown_seconds);
    let (app, kicked) = App::start(settings).await?;
    let traces = Traces::start(&app)?;
    if app.kv.ping().await.is_err() {
        let at = app.kv.places().join(", ");
        tracing::warn!(at, "Redis is not reachable; going on without it until it is");
    }

    let stopping = CancellationToken::new();
    let tracker = TaskTracker::new();
    workers::start(&app, kicked, &stopping, &tracker);
    tracker.close();
    let told = stopping.clone();
    app.tasks
        .keep_vital("waiting for signals", stopping.clone(), move || stop_on_signal(told.clone()));

    let lifetime = Lifetime::new(stopping.clone());
    let limits = Limits::of(&app.settings);
    let router = http::router(&app, api::schema(app.clone()), &lifetime, limits.clone());
    let elsewhere = metrics.as_ref().map(|(_, address)| *address);
    tracing::info!(%address, metrics = elsewhere.map(tracing::field::display), "listening");
    // Containers put both of a program's outputs into one stream: only a person gets what is no JSON.
    if app.settings.log_format == LogFormat::Text || stdout().is_terminal() {
        greet(address, elsewhere, app.settings.graphiql);
    }
    if let Some((listener, _)) = metrics {
        let lifetime = Lifetime::new(stopping.clone());
        let router = http::metrics_router(&app, &lifetime);
        let listener = Listener::new(listener, &app, limits.clone());
        let serving = http::serve(listener, router, lifetime, patience);
        app.tasks.spawn("serving metrics", async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "metrics are not served any more");
            }
        });
    }
    http::serve(Listener::new(listener, &app, limits), router, lifetime, patience)
        .await
        .map_err(|error| Failed::new(format!("the server stopped: {error}")))?;
    stopping.cancel();
    // A worker's statement ends by itself; nothing of it is lost when it is not waited for.
    drop(tokio::time::timeout(Duration::from_secs(5), tracker.wait()).await);
    app.db.close().await;
    if let Some(traces) = traces {
        traces.end().await;
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// The traces of this process, while they are sent.
struct Traces {
    export: Arc<Export>,
    stopping: CancellationToken,
    sending: JoinHandle<()>,
}

impl Traces {
    /// Starts them, if there are to be any.
    fn start(app: &App) -> Result<Option<Self>, Failed> {
        let settings = app.settings.traces.settings();
        let Some(export) = telemetry::start_traces(&settings, &app.metrics)? else {
            return Ok(None);
        };
        let (export, stopping) = (Arc::new(export), CancellationToken::new());
        let sending = workers::send_traces(app, &export, &stopping);
        Ok(Some(Self { export, stopping, sending }))
    }

    /// Sends what is left, while anybody who stops the server is patient.
    async fn end(self) {
        self.stopping.cancel();
        drop(tokio::time::timeout(LAST_TRACES, self.sending).await);
        self.export.flush(LAST_TRACES).await;
    }
}

/// Tells a person where things are.
fn greet(address: SocketAddr, metrics: Option<SocketAddr>, graphiql: bool) {
    println!("Frontrow listens on http://{address}");
    if graphiql {
        println!("  GraphiQL   http://{address}/graphiql");
    }
    println!(
        "  GraphQL    http://{address}/graphql (POST and GET; WebSocket or event stream for subscriptions)"
    );
    println!("  Health     http://{address}/health/ready");
    if let Some(metrics) = metrics {
        println!("  Metrics    http://{metrics}/metrics");
    }
}

/// Listens on an address, which a setting names.
async fn bind(listen: SocketAddr, setting: &str) -> Result<(TcpListener, SocketAddr), Failed> {
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        Failed::new(format!(
            "{listen} cannot be listened on ({error}); set {setting} to a free address."
        ))
    })?;
    let address = listener.local_addr().map_err(|error| Failed::new(error.to_string()))?;
    Ok((listener, address))
}

/// Every socket is an open file, and most systems start a program with room for a thousand: raises that to what the system
/// allows, and says so when that is little too.
pub(super) fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    match getrlimit(Resource::Nofile).current {
        Some(open_files) if open_files < OPEN_FILES_FEW => tracing::warn!(
            open_files,
            "few files may be open, and each connection is one; raise the hard limit (ulimit -Hn, or LimitNOFILE)"
        ),
        open_files => tracing::info!(open_files, "open files are allowed"),
    }
}

/// Ends the server on Ctrl-C, and on the signal that process managers send.
pub(super) async fn stop_on_signal(stopping: CancellationToken) {
    let mut terminate = match signal::unix::signal(signal::unix::SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            tracing::error!(%error, "SIGTERM cannot be listened for");
            return;
        }
    };
    tokio::select! {
        _ = signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    stopping.cancel();
}
