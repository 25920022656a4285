//! An OpenAI-compatible gateway put together from the crate's public layers.
//!
//! ```text
//! cargo run --example gateway                                   the built-in mock, key sk-demo
//! cargo run --release --example gateway -- --config FILE        everything from the file
//! cargo run --example gateway -- --config FILE --check          only reads the file: 0 or 2
//! ```

#![allow(missing_docs, unreachable_pub, reason = "a program, not a library")]

mod app;
mod awake;
mod capability;
mod cards;
mod config;
mod connection;
mod ledger;
mod metrics;
mod money;
mod moves;
mod panics;
mod patience;
mod prices;
mod read;
mod rest;
mod routes;
mod routing;
mod server;
mod streams;
mod telemetry;
mod trust;
mod upstreams;
mod values;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use tokio::{net::TcpListener, signal::unix};

use tower_completions::{
    cost::Prices,
    provider::BoxProvider,
    router::{Router, Table},
};

use crate::{app::App, config::Config, server::Workers, trust::Trust};

/// What a file without mistakes becomes.
type Made = (Config, Trust, Prices, Router<BoxProvider, Table>);

/// How long open requests may take after a signal to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How long the ledger may take for the last charges.
const FLUSH: Duration = Duration::from_secs(10);

/// An OpenAI-compatible gateway in front of many providers.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The configuration file; without it, a mock provider and the key sk-demo.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address to listen on, over the file's; port 0 picks a free one.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Exports spans to this OTLP collector over HTTP, such as http://localhost:4318.
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    /// Reads the configuration, reports every mistake, and ends.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let _telemetry = match telemetry::start(args.otlp.as_deref()) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("--otlp: {error}");
            return ExitCode::from(2);
        }
    };
    let name = args
        .config
        .as_ref()
        .map_or("the built-in configuration".into(), |path| {
            path.display().to_string()
        });
    let read = match &args.config {
        Some(path) => Config::read(path),
        None => Config::look(&app::built_in()),
    };
    let made = read.map_err(|wrong| vec![wrong]);
    let made = made.and_then(|(config, mistakes)| make(config, mistakes));
    let (config, trust, prices, router) = match made {
        Ok(made) => made,
        Err(mistakes) => {
            for mistake in mistakes {
                eprintln!("{name}: {mistake}");
            }
            return ExitCode::from(2);
        }
    };
    if args.check {
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(config, trust, prices, router, &args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprint!(": {cause}");
                source = cause.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

/// What the file says, made of it; else every mistake in it, and in the files that it names.
fn make(config: Config, mut mistakes: Vec<String>) -> Result<Made, Vec<String>> {
    let lists = prices::lists(&config, &mut mistakes);
    let upstreams = upstreams::all(&config, &mut mistakes);
    let trust = Trust::read(&config, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let prices = prices::named(&config, lists)?;
    prices::foreign(&config, &prices)?;
    let router = upstreams::router(&config, &prices, upstreams)?;
    Ok((config, trust, prices, router))
}

async fn run(
    config: Config,
    trust: Trust,
    prices: Prices,
    router: Router<BoxProvider, Table>,
    args: &Args,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
    let listen = args.listen.unwrap_or(config.listen);
    let watching = metrics::layer(telemetry::W3c);
    let app = App::new(&config, trust, prices, router, &watching).await?;
    let workers = Workers::start(config.threads.get(), || app.service())?;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let addr = listener.local_addr()?;
    println!("listening on http://{addr}");
    if args.config.is_none() {
        eprintln!("a page to play with: http://{addr}/");
        eprintln!(
            "or try: curl http://{addr}/v1/chat/completions -H 'authorization: Bearer sk-demo' \
             -H 'content-type: application/json' -d '{{\"model\":\"mock/echo\",\"messages\":\
             [{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'"
        );
    }
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let stopped = server::serve(listener, workers, stop, GRACE).await;
    app.end_drains(stopped.grace).await;
    match tokio::time::timeout(FLUSH, app.flush()).await {
        Ok(flushed) => Ok(flushed?),
        Err(_) => Err("the ledger did not take the last charges".into()),
    }
}
