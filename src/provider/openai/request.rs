use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, Request, Uri, header};
use serde_json::{Map, Value};

use super::vendor::Usage;
use crate::{body::Full, ext::Target, parse::Chat, provider::future::HEADERS, wire::request::Name};

/// What every request says of itself. hyper reads the answer's headers into the map that the request's
/// were in, and that is then our answer's: with room for those it is never made anew.
fn introduce(head: &mut HeaderMap, accept: HeaderValue) {
    head.reserve(HEADERS);
    head.insert(header::CONTENT_TYPE, JSON);
    head.insert(header::ACCEPT, accept);
    head.insert(header::USER_AGENT, AGENT);
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const AGENT: HeaderValue = HeaderValue::from_static(crate::provider::AGENT);

pub(in crate::provider) fn request(
    uri: Uri,
    mut chat: Chat,
    target: &Target,
    usage: Usage,
) -> Request<Full> {
    if chat.model() != &*target.model {
        let model = Value::from(&*target.model).to_string();
        chat.set_known(Name::Model, model);
    }
    match usage {
        Usage::Asked if chat.stream() && !chat.include_usage() => {
            let options = with_usage(&chat);
            chat.set_known(Name::StreamOptions, options);
        }
        Usage::Always if chat.has(Name::StreamOptions) => chat.remove("stream_options"),
        Usage::Asked | Usage::Always => {}
    }
    // OpenAI refuses even `none` where there is nothing to choose from.
    if chat.has(Name::ToolChoice) && chat.member("tools").is_none_or(|tools| tools == "[]") {
        chat.remove("tool_choice");
    }
    let mut request = Request::new(Full::new(chat.bytes()));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    let accept = if chat.stream() { EVENTS } else { JSON };
    introduce(request.headers_mut(), accept);
    request
}

/// The client's own stream options, and the usage asked for.
fn with_usage(chat: &Chat) -> Cow<'static, str> {
    let Some(member) = chat.request().member(Name::StreamOptions) else {
        return r#"{"include_usage":true}"#.into();
    };
    let own = serde_json::from_slice::<Map<String, Value>>(&chat.original()[member.value]);
    let mut options = own.unwrap_or_default();
    options.insert("include_usage".to_owned(), Value::Bool(true));
    Value::Object(options).to_string().into()
}
