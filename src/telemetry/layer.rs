use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::Telemetry;
use crate::observe::Observe;

/// Puts [`Telemetry`] around a service.
#[derive(Clone)]
#[must_use]
pub struct TelemetryLayer {
    observer: Arc<dyn Observe>,
}

impl TelemetryLayer {
    /// Tells this observer of every request.
    pub fn new(observer: impl Observe) -> Self {
        Self {
            observer: Arc::new(observer),
        }
    }
}

impl fmt::Debug for TelemetryLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TelemetryLayer")
    }
}

impl<S> Layer<S> for TelemetryLayer {
    type Service = Telemetry<S>;

    fn layer(&self, inner: S) -> Telemetry<S> {
        Telemetry::new(inner, Arc::clone(&self.observer))
    }
}
