use tower_layer::Layer;

use super::Auth;

/// Puts [`Auth`] around a service.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct AuthLayer<A> {
    authenticate: A,
}

impl<A> AuthLayer<A> {
    /// Admits whom `authenticate` knows.
    pub const fn new(authenticate: A) -> Self {
        Self { authenticate }
    }
}

impl<S, A: Clone> Layer<S> for AuthLayer<A> {
    type Service = Auth<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        Auth::new(inner, self.authenticate.clone())
    }
}
