//! Several answers where the upstream gives one at a time.

mod body;
mod future;
mod stream;
mod usage;
mod whole;

use std::{
    mem,
    num::NonZeroU32,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower_layer::Layer;
use tower_service::Service;

pub use body::ParallelBody;
pub use future::ParallelFuture;

use crate::{
    body::BoxError,
    error::{Error, Kind},
    ext::{KeyPool, Target},
    parse::ChatBody,
    provider::nonsense,
    wire::Members,
};

/// Asks an upstream that knows no `n`, or only a small one, for several answers at once, and makes
/// one of them.
///
/// It goes around a [`Provider`](super::Provider) or any service of its kind. A request for one
/// answer passes untouched. For more, as many are sent at the same time, each without `n`
/// ([`per_call`](Self::per_call): fewer, each with its share); the
/// choices of the merged answer are numbered in their order, the chunks of a merged stream come as
/// they are made, and the usage is the sum, so that a layer outside charges once. If one fails, its
/// failure is the answer and the others are dropped: a refusal before the head went out, an error
/// event after. Whole answers are kept until the last one is there: of each as much as the service inside lets
/// pass ([`Provider::with_max_bytes`](super::Provider::with_max_bytes)). Dropping the response or its body drops
/// them all.
///
/// ```
/// use http_body_util::BodyExt;
/// use tower::{Layer, ServiceExt};
/// use tower_completions::{
///     body::Full, mock::Upstream, parse::ParseLayer,
///     provider::{ParallelLayer, Provider, openai::OpenAi},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let provider = Provider::new("mock", Upstream::new(), OpenAi::new("http://upstream/v1")?);
/// let service = ParseLayer::new().layer(ParallelLayer::new().layer(provider));
/// let body = r#"{"model":"mock/echo","n":2,"messages":[{"role":"user","content":"hi"}]}"#;
/// let response = service.oneshot(http::Request::post("/").body(Full::new(body))?).await?;
/// let answer = response.into_body().collect().await.expect("whole").to_bytes();
/// let answer: serde_json::Value = serde_json::from_slice(&answer)?;
/// assert_eq!(answer["choices"][1]["index"], 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct ParallelLayer {
    most: u32,
    per_call: NonZeroU32,
    which: fn(&str) -> bool,
}

impl ParallelLayer {
    /// At most 16 at once, of every model.
    pub const fn new() -> Self {
        Self {
            most: 16,
            per_call: NonZeroU32::MIN,
            which: |_| true,
        }
    }

    /// The most answers that are asked for at once; a request for more is refused: 400
    /// `invalid_value`. Default: 16.
    pub const fn at_most(mut self, answers: u32) -> Self {
        self.most = answers;
        self
    }

    /// The most answers that the upstream gives to one request: 8 of Gemini's. Requests for so many
    /// pass with their `n`, those for more are shared out among as few as will do. Default: 1.
    pub const fn per_call(mut self, answers: NonZeroU32) -> Self {
        self.per_call = answers;
        self
    }

    /// Only of models whose name at the provider this says yes to; the requests of others pass with
    /// their `n`. Default: of all.
    pub const fn of_models(mut self, which: fn(&str) -> bool) -> Self {
        self.which = which;
        self
    }
}

impl Default for ParallelLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ParallelLayer {
    type Service = Parallel<S>;

    fn layer(&self, inner: S) -> Parallel<S> {
        Parallel {
            inner,
            most: self.most,
            per_call: self.per_call,
            which: self.which,
        }
    }
}

/// Makes one answer with several choices of several answers with one. Made by [`ParallelLayer`].
#[derive(Clone, Debug)]
pub struct Parallel<S> {
    inner: S,
    most: u32,
    per_call: NonZeroU32,
    which: fn(&str) -> bool,
}

impl<S> Parallel<S> {
    fn applies(&self, request: &Request<ChatBody>) -> bool {
        let chat = request.body().chat();
        let target = request.extensions().get::<Target>();
        chat.n() > self.per_call.get()
            && (self.which)(target.map_or(chat.model(), |target| &target.model))
    }
}

impl<S: KeyPool> KeyPool for Parallel<S> {
    fn keys(&self) -> usize {
        self.inner.keys()
    }

    fn reads_head(&self) -> bool {
        self.inner.reads_head()
    }
}

impl<S, B> Service<Request<ChatBody>> for Parallel<S>
where
    S: Service<Request<ChatBody>, Response = Response<B>> + Clone,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<ParallelBody<B>>;
    type Error = S::Error;
    type Future = ParallelFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ChatBody>) -> ParallelFuture<S, B> {
        if !self.applies(&request) {
            return ParallelFuture::one(self.inner.call(request));
        }
        let n = request.body().chat().n();
        if n > self.most {
            let message = format!("`n` must be at most {} for this model, got {n}", self.most);
            let error = Error::new(Kind::Value, message)
                .with_param("n")
                .with_code("invalid_value");
            // What was made ready goes, with whatever it keeps free for a request.
            self.inner = self.inner.clone();
            return ParallelFuture::refused(error);
        }
        let calls = n.div_ceil(self.per_call.get());
        // The service that was made ready serves the first; the others are made ready in time.
        let clone = self.inner.clone();
        let mut ready = Some(mem::replace(&mut self.inner, clone));
        let service = |_| ready.take().unwrap_or_else(|| self.inner.clone());
        let services = (0..calls).map(service).collect();
        ParallelFuture::many(services, self.per_call, &request)
    }
}

/// The choices of an answer under the numbers that they have among all: the answer's is `nth`, and
/// each gives as many as `per_call`.
fn numbered(choices: &[Members<'_>], nth: usize, per_call: NonZeroU32, out: &mut Vec<u8>) {
    for choice in choices {
        if out.len() > 1 {
            out.push(b',');
        }
        let own = choice.get("index").and_then(|json| json.get().parse().ok());
        let own: u64 = own.unwrap_or(0);
        let index = nth as u64 * u64::from(per_call.get()) + own.min(u64::from(per_call.get()) - 1);
        choice.write(&[("index", &index.to_string())], out);
    }
}

fn unreadable(error: serde_json::Error) -> Error {
    nonsense("it is not a JSON object").with_source(error)
}
