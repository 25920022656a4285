use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderName, Request, Response, header::Entry};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{ext::CallId, media, time::AtOnce};

pub(super) const NAME: HeaderName = HeaderName::from_static("x-request-id");

/// Names every request: its [`CallId`] is in its extensions, and its answer has it as `x-request-id`.
///
/// A client that names a request itself (`x-request-id`, once, 1 to 128 visible ASCII characters) finds its own
/// name in the answer; a header that is no name is taken off. Without one the name is `req_` and 24
/// hexadecimal digits.
///
/// ```
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_completions::{CallId, stack::RequestIdLayer};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = RequestIdLayer::new().layer(service_fn(async |request: http::Request<()>| {
///     let id = request.extensions().get::<CallId>().expect("put in by the layer");
///     Ok::<_, std::convert::Infallible>(http::Response::new(id.as_str().to_owned()))
/// }));
/// let request = http::Request::builder().header("x-request-id", "mine-1").body(()).unwrap();
/// let response = service.oneshot(request).await.unwrap();
/// assert_eq!(response.headers()["x-request-id"], "mine-1");
/// assert_eq!(response.body(), "mine-1");
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RequestIdLayer;

impl RequestIdLayer {
    /// The layer. There is nothing to configure.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestId<S>;

    fn layer(&self, inner: S) -> RequestId<S> {
        RequestId { inner }
    }
}

/// Gives every request a name, and every answer that name, unless the service inside has given it
/// another. See [`RequestIdLayer`]. Dropping its future drops whatever is under way inside.
#[derive(Clone, Debug)]
pub struct RequestId<S> {
    inner: S,
}

/// The id of a request: that which it has been given further out, its client's own, or a new one.
pub(super) fn name<B>(request: &mut Request<B>) -> CallId {
    if let Some(known) = request.extensions().get::<CallId>() {
        return known.clone();
    }
    let id = theirs(request).unwrap_or_else(CallId::random);
    request.extensions_mut().insert(id.clone());
    id
}

/// The client's own, unless it is none.
fn theirs<B>(request: &mut Request<B>) -> Option<CallId> {
    // Most say none: comparing the names of few headers is less than a hash.
    let headers = request.headers();
    let name = NAME;
    if !media::has(headers, &name) {
        return None;
    }
    let mut said = headers.get_all(name).iter();
    let first = said.next()?;
    let id = CallId::new(first.clone()).filter(|_| said.next().is_none());
    if id.is_none() {
        // Nobody inside is to take it for the name.
        request.headers_mut().remove(NAME);
    }
    id
}

impl<S, B, R> Service<Request<B>> for RequestId<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = RequestIdFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let id = name(&mut request);
        let _call = AtOnce::begin();
        RequestIdFuture {
            inner: self.inner.call(request),
            id: Some(id),
        }
    }
}

pin_project! {
    /// The response of [`RequestId`]: that of the service inside, with its name in it.
    #[derive(Debug)]
    pub struct RequestIdFuture<F> {
        #[pin]
        inner: F,
        id: Option<CallId>,
    }
}

impl<F, R, E> Future for RequestIdFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Changed where it is: moving an answer costs more than what is put into it.
        let this = self.project();
        let _poll = AtOnce::poll();
        let mut polled = this.inner.poll(cx);
        if let Poll::Ready(Ok(response)) = &mut polled {
            // Looked for and put in at one go.
            if let Entry::Vacant(place) = response.headers_mut().entry(NAME) {
                let id = this.id.take().expect("polled after completion");
                place.insert(id.into());
            }
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::FutureExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    #[test]
    fn what_is_seen_inside_is_what_the_answer_has() {
        let long = "x".repeat(129);
        for (said, kept) in [
            (vec!["mine-1"], true),
            (vec![], false),
            (vec![""], false),
            (vec!["two words"], false),
            (vec!["a", "b"], false),
            (vec![&*long], false),
            (vec![&long[1..]], true),
        ] {
            let inside = service_fn(|request: Request<()>| async move {
                let id = request.extensions().get::<CallId>().expect("an id").clone();
                let headers = request
                    .headers()
                    .get_all(NAME)
                    .iter()
                    .cloned()
                    .collect::<Vec<_>>();
                Ok::<_, Infallible>(Response::new((id, headers)))
            });
            // Two of them are of one mind.
            let layer = RequestIdLayer::new();
            let mut request = Request::builder();
            for id in &said {
                request = request.header(NAME, *id);
            }
            let request = request.body(()).expect("a request");
            let response = layer
                .layer(layer.layer(inside))
                .oneshot(request)
                .now_or_never();
            let response = response.expect("at once").expect("infallible");
            let answered = response.headers()[&NAME].to_str().expect("text").to_owned();
            let (id, headers) = response.into_body();
            assert_eq!(id.as_str(), answered);
            assert_eq!(headers.len(), usize::from(kept));
            assert_eq!(answered == *said.first().unwrap_or(&"-"), kept, "{said:?}");
            assert!(kept || answered.starts_with("req_"), "{answered}");
        }
    }
}
