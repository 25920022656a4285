use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    body::ResponseBody,
    config::Config,
    future::ResponseFuture,
    layer::{ModelName, Settings},
};
use crate::{
    body::BoxError,
    dialect::CostMember,
    parse::{Chat, ChatBody},
    time::{DefaultTimer, Timer},
};

/// The service of [`ReframeLayer`](super::ReframeLayer).
#[derive(Clone)]
pub struct Reframe<S, T = DefaultTimer> {
    inner: S,
    settings: Arc<Settings>,
    timer: T,
}

impl<S, T> Reframe<S, T> {
    pub(super) fn new(inner: S, settings: Arc<Settings>, timer: T) -> Self {
        Self {
            inner,
            settings,
            timer,
        }
    }
}

impl<S: fmt::Debug, T> fmt::Debug for Reframe<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reframe")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, T, B> Service<Request<ChatBody>> for Reframe<S, T>
where
    S: Service<Request<ChatBody>, Response = Response<B>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    T: Timer,
{
    type Response = Response<ResponseBody<B, T>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, B, T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ChatBody>) -> Self::Future {
        let chat = request.body().chat();
        let asked = Asked {
            stream: chat.stream(),
            config: config(&self.settings, chat),
        };
        ResponseFuture::new(
            self.inner.call(request),
            asked,
            Arc::clone(&self.settings),
            self.timer.clone(),
        )
    }
}

/// What the client wants its answer to be.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) stream: bool,
    pub(super) config: Config,
}

/// The name of the model asked for, as a JSON string.
fn asked(chat: &Chat) -> Arc<str> {
    match chat.spelled_model() {
        // Without an escape it is spelled as it would be here.
        Some(spelled) if !spelled.contains('\\') => spelled.into(),
        _ => serde_json::Value::from(chat.model()).to_string().into(),
    }
}

fn config(settings: &Settings, chat: &Chat) -> Config {
    let asked = asked(chat);
    let include_usage = chat.include_usage();
    Config {
        model: match settings.model_name {
            ModelName::Asked => Some(asked.clone()),
            ModelName::Served => None,
        },
        include_usage,
        hold_finish: settings.dialect.cost == CostMember::TopLevel && !include_usage,
        done_after_error: settings.done_after_error,
        input_estimate: chat.input_estimate(),
        ..Config::new(&settings.dialect, asked)
    }
}
