use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{ResponseFuture, check::judge, layer::Config};
use crate::{
    body::Reply,
    ext::Principal,
    observe::{Event, Gate, Watch},
    parse::{Chat, ChatBody},
};

/// Refuses what no upstream would take, and lets the rest pass with the dialect's defaults. Dropping its
/// future drops whatever is under way inside; a refusal has none.
#[derive(Clone)]
pub struct Validate<S> {
    inner: S,
    config: Arc<Config>,
}

impl<S> Validate<S> {
    pub(super) const fn new(inner: S, config: Arc<Config>) -> Self {
        Self { inner, config }
    }
}

impl<S: fmt::Debug> fmt::Debug for Validate<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validate")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<S, R> Service<Request<ChatBody>> for Validate<S>
where
    S: Service<Request<ChatBody>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes>,
{
    type Response = Response<Reply<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ChatBody>) -> Self::Future {
        let Config {
            dialect,
            policy,
            models,
        } = &*self.config;
        let caller = request.extensions().get::<Principal>().cloned();
        let chat = request.body_mut().chat_mut();
        match judge(chat, dialect, policy, models.as_deref(), caller.as_ref()) {
            Err(refusal) => {
                // What was made ready goes, with whatever it keeps free for a request.
                self.inner = self.inner.clone();
                ResponseFuture::refused(refusal, dialect.clone())
            }
            Ok(taken) => {
                // Nearly always there, for who has parsed has left it.
                let chat = request.body().chat();
                let known = request.extensions().get::<Chat>();
                if known.is_none_or(|known| !known.is(chat)) {
                    let chat = chat.clone();
                    request.extensions_mut().insert(chat);
                }
                let gate = Gate::Request;
                Watch::tell(request.extensions(), || Event::Admitted { gate });
                ResponseFuture::calling(self.inner.call(request), taken)
            }
        }
    }
}
