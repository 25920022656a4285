//! Who is told of completions: spans for the log, counts for `GET /metrics`.

use std::time::Duration;

use http::request::Parts;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tower_completions::{
    observe::{Event, Observe, Watch},
    telemetry::{Meter, Propagate, TelemetryLayer, Trace, names},
};

/// Counts from now on; once a process. To be called on the runtime.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    // Without bounds times would be summed up as quantiles, which costs more and cannot be added up
    // over several nodes.
    let builder =
        names::BUCKETS
            .iter()
            .try_fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
                builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)
            })?;
    let handle = builder.install_recorder()?;
    Meter::describe();
    let kept = handle.clone();
    tokio::spawn(async move {
        // Every observation is kept until somebody asks, or this sums it up: beside the workers, of
        // which none should stand still for it.
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            let kept = kept.clone();
            let _ = tokio::task::spawn_blocking(move || kept.run_upkeep()).await;
        }
    });
    Ok(handle)
}

/// Counts what happens beside requests: breakers that a probe has moved.
pub fn watch() -> Watch {
    let (parts, ()) = http::Request::new(()).into_parts();
    Meter::new().begin(&parts)
}

/// Goes outermost, and watches nothing but completions. Their spans join other traces as `propagate` says.
pub fn layer(propagate: impl Propagate + Clone) -> TelemetryLayer {
    let observer = (Trace::new().with_propagation(propagate), Meter::new());
    TelemetryLayer::new(move |parts: &Parts| {
        let path = parts.uri.path();
        if path.ends_with("/chat/completions") || path == "/v1/messages" {
            observer.begin(parts)
        } else {
            Watch::new(|_: &Event<'_>| {})
        }
    })
}
