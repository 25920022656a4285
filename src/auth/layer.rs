use tower_layer::Layer;

use super::{Auth, Authenticate};

/// Puts [`Auth`] around a service.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct AuthLayer<A> {
    authenticate: A,
}

impl<A: Authenticate> AuthLayer<A> {
    /// Admits whom `authenticate` knows: [`Keys`](super::Keys), a closure, or a type of one's own.
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
