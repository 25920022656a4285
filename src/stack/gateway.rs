use std::{
    convert::Infallible,
    fmt,
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{GatewayBuilder, RequestId, request_id};
use crate::{
    auth::Authenticate,
    body::{BoxBody, BoxError, Full},
    dialect::Dialect,
    error::{Error, Kind},
    ext::CallId,
    messages::{self, MessagesLayer, RequestBody},
    models,
};

/// A whole gateway: `POST /v1/chat/completions` through every layer, `POST /v1/messages` for
/// Anthropic's clients through the same, and `GET /v1/models`.
///
/// The paths may have `/api` in front. Anything else is a 404 in the API's shape (in Anthropic's
/// below `/v1/messages/`), so a gateway may be an application's fallback.
///
/// It is always ready: models, refusals and unknown paths are answered while the upstream is not. A
/// completion then waits for the upstream in its own future, past the limits and before the accounting; whoever
/// would rather refuse it puts a layer that sheds load around the upstream.
#[derive(Clone, Debug)]
pub struct Gateway<C, M> {
    completions: RequestId<C>,
    messages: MessagesLayer,
    models: RequestId<M>,
}

impl Gateway<(), ()> {
    /// Begins with who may call.
    pub fn builder<A: Authenticate>(authenticate: A) -> GatewayBuilder<A> {
        GatewayBuilder::new(authenticate)
    }
}

impl<C, M> Gateway<C, M> {
    pub(super) const fn new(
        completions: RequestId<C>,
        models: RequestId<M>,
        messages: MessagesLayer,
    ) -> Self {
        Self {
            completions,
            messages,
            models,
        }
    }

    /// The completions endpoint alone, for an application that has routes of its own.
    pub fn into_completions(self) -> RequestId<C> {
        self.completions
    }
}

/// The response of a [`Gateway`]. Dropped, whatever is under way is given up: what was reserved and
/// held is settled by what was used until then.
pub struct GatewayFuture(Pin<Box<dyn Future<Output = Answer> + Send>>);

type Answer = Result<Response<BoxBody>, Infallible>;

impl fmt::Debug for GatewayFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewayFuture")
    }
}

impl Future for GatewayFuture {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        self.0.as_mut().poll(cx)
    }
}

impl<C, M, B, R, Q> Service<Request<B>> for Gateway<C, M>
where
    C: Service<Request<B>, Response = Response<R>, Error = Infallible, Future: Send + 'static>,
    C: Service<
            Request<RequestBody<B>>,
            Response = Response<R>,
            Error = Infallible,
            Future: Send + 'static,
        >,
    C: Clone,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    M: Service<Request<B>, Response = Response<Q>, Error = Infallible>,
    M::Future: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    Q: Body<Data = Bytes> + Send + 'static,
    Q::Error: Into<BoxError>,
{
    type Response = Response<BoxBody>;
    type Error = Infallible;
    type Future = GatewayFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Neither waits: what is around the upstream is ready whether or not that is.
        std::task::ready!(Service::<Request<B>>::poll_ready(&mut self.completions, cx))?;
        self.models.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> GatewayFuture {
        let path = request.uri().path();
        let path = path.strip_prefix("/api").unwrap_or(path);
        let future: Pin<Box<dyn Future<Output = Answer> + Send>> = match path {
            "/v1/chat/completions" if request.method() == Method::POST => {
                boxed(self.completions.call(request))
            }
            "/v1/messages" if request.method() == Method::POST => {
                // The same service, made ready above.
                boxed(self.messages.layer(&mut self.completions).call(request))
            }
            _ => {
                // What was made ready goes, with whatever it keeps free for a request.
                self.completions = self.completions.clone();
                let models = path == "/v1/models" || path.starts_with("/v1/models/");
                let read = matches!(*request.method(), Method::GET | Method::HEAD);
                if models && read {
                    return GatewayFuture(boxed(self.models.call(request)));
                }
                let (refusal, allow) = match path {
                    // Whoever asks: nobody's key makes it another method.
                    _ if models => (models::not_read(), models::METHODS),
                    "/v1/chat/completions" | "/v1/messages" => (not_post(), "POST"),
                    _ => (not_found(), ""),
                };
                // In the shape that Anthropic's clients know, where they ask.
                let messages = path == "/v1/messages" || path.starts_with("/v1/messages/");
                let id = request_id::name(&mut request);
                let mut refused = if messages {
                    messages::refuse::<Full>(refusal, id).map(BoxBody::new)
                } else {
                    refuse(refusal, id)
                };
                if !allow.is_empty() {
                    let allow = HeaderValue::from_static(allow);
                    refused.headers_mut().insert(header::ALLOW, allow);
                }
                Box::pin(ready(Ok(refused)))
            }
        };
        GatewayFuture(future)
    }
}

fn boxed<F, R>(call: F) -> Pin<Box<dyn Future<Output = Answer> + Send>>
where
    F: Future<Output = Result<Response<R>, Infallible>> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    Box::pin(Calling { call })
}

pin_project! {
    // Not an async block: it would hold the future twice, where it was given and where it is polled.
    struct Calling<F> {
        #[pin]
        call: F,
    }
}

impl<F, R> Future for Calling<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let call = self.project().call;
        call.poll(cx).map_ok(|response| response.map(BoxBody::new))
    }
}

fn not_post() -> Error {
    Error::new(Kind::Method, "Completions are asked for with POST.")
}

fn not_found() -> Error {
    Error::new(Kind::NotFound, "There is nothing at this path.")
}

fn refuse(error: Error, id: CallId) -> Response<BoxBody> {
    let mut response = error.response(&Dialect::openai()).map(BoxBody::new);
    response.headers_mut().insert(request_id::NAME, id.into());
    response
}

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use futures_util::FutureExt as _;
    use tower::{ServiceExt, limit::ConcurrencyLimit, service_fn};

    use super::*;
    use crate::{auth::Keys, body::Full, ext::Principal, parse::ChatBody};

    #[tokio::test]
    async fn what_needs_no_upstream_does_not_wait_for_it() {
        let upstream = ConcurrencyLimit::new(
            service_fn(|request: Request<ChatBody>| async move {
                if request.body().chat().model() == "slow" {
                    std::future::pending::<()>().await;
                }
                let answer =
                    r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"}}]}"#;
                let response = Response::builder().header("content-type", "application/json");
                Ok::<_, Infallible>(response.body(Full::new(answer)).expect("a response"))
            }),
            1,
        );
        let keys = Keys::new();
        keys.insert("sk", Principal::new("a"));
        let gateway = Gateway::builder(keys).build(upstream);
        let ask = |method: &str, path: &str, key: &str, model: &str| {
            let body =
                format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]}}"#);
            let request = Request::builder().method(method).uri(path);
            let request = request.header("authorization", format!("Bearer {key}"));
            let call = gateway
                .clone()
                .oneshot(request.body(Full::new(body)).expect("a request"));
            call.map(|response| response.expect("infallible").status().as_u16())
                .boxed()
        };
        const PATH: &str = "/v1/chat/completions";

        let mut slow = ask("POST", PATH, "sk", "slow");
        assert_eq!((&mut slow).now_or_never(), None);
        let mut next = ask("POST", PATH, "sk", "quick");
        assert_eq!((&mut next).now_or_never(), None);
        for (method, path, key, expected) in [
            ("GET", "/v1/models", "sk", 200),
            ("POST", PATH, "wrong", 401),
            ("GET", PATH, "sk", 405),
            ("GET", PATH, "wrong", 405),
            ("HEAD", "/v1/models", "wrong", 401),
            ("POST", "/v1/models", "wrong", 405),
            ("DELETE", "/api/v1/models/m", "wrong", 405),
            ("GET", "/nope", "sk", 404),
        ] {
            let status = ask(method, path, key, "quick").now_or_never();
            assert_eq!(status, Some(expected), "{method} {path}");
        }
        // Who has gone leaves the line, and what was not needed is not kept.
        assert_eq!(ask("POST", PATH, "sk", "quick").now_or_never(), None);
        let mut idle = gateway.clone();
        let nope = Request::get("/nope")
            .body(Full::new(""))
            .expect("a request");
        drop(slow);
        let ready = ServiceExt::<Request<Full>>::ready(&mut idle).await;
        let answer = ready.expect("infallible").call(nope).await;
        assert_eq!(answer.expect("infallible").status(), 404);
        assert_eq!(next.await, 200);
        assert_eq!(ask("POST", PATH, "sk", "quick").now_or_never(), Some(200));
        drop(idle);
    }
}
