use http::{HeaderValue, Request, Uri, header};
use serde_json::{Map, Value};

use super::vendor::Usage;
use crate::{body::Full, ext::Target, parse::Chat, wire::request::Name};

pub(in crate::provider) fn request(
    uri: Uri,
    mut chat: Chat,
    target: &Target,
    usage: Usage,
) -> Request<Full> {
    if chat.model() != &*target.model {
        let model = Value::from(&*target.model).to_string();
        chat.set("model", model);
    }
    match usage {
        Usage::Asked if chat.stream() && !chat.include_usage() => {
            chat.set("stream_options", with_usage(&chat));
        }
        Usage::Always if chat.has(Name::StreamOptions) => chat.remove("stream_options"),
        Usage::Asked | Usage::Always => {}
    }
    let mut request = Request::new(Full::new(chat.bytes()));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let accept = if chat.stream() {
        "text/event-stream"
    } else {
        "application/json"
    };
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(crate::provider::AGENT),
    );
    request
}

/// The client's own stream options, and the usage asked for.
fn with_usage(chat: &Chat) -> String {
    let member = chat.request().member(Name::StreamOptions);
    let own = member.and_then(|member| {
        serde_json::from_slice::<Map<String, Value>>(&chat.original()[member.value]).ok()
    });
    let mut options = own.unwrap_or_default();
    options.insert("include_usage".to_owned(), Value::Bool(true));
    Value::Object(options).to_string()
}
