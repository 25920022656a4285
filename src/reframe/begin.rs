use http::{HeaderMap, HeaderValue, header, response::Parts};

use super::{
    config::Config, fold::Folder, gather::Gather, layer::Settings, machine::Machine, service::Asked,
};
use crate::{
    body::Pieces,
    error::{Error, Kind},
    media,
    meter::Tally,
    wire::Counting,
};

/// What becomes of an answer, by its head.
pub(super) enum Begun {
    /// It goes out as it is.
    Pass,
    Stream(Box<Machine>),
    Read(Gather),
}

/// Decides by the head what becomes of an answer.
pub(super) fn begin(parts: &mut Parts, asked: Asked, settings: &Settings) -> Begun {
    // A refusal is somebody's answer already, and what is compressed cannot be read.
    if let Some(error) = parts.extensions.get::<Error>() {
        // Who refused did not know the dialect, which has a status of its own for values.
        if error.kind() == Kind::Value {
            parts.status = error.status(&settings.dialect);
        }
        return Begun::Pass;
    }
    if !parts.status.is_success() || media::has(&parts.headers, &header::CONTENT_ENCODING) {
        return Begun::Pass;
    }
    let kind = Content::of(&parts.headers, asked.stream);
    if kind == Content::Other || ((kind == Content::Stream) != asked.stream && !settings.convert) {
        return Begun::Pass;
    }
    let mut config: Config = asked.config;
    if let Some(counting) = parts.extensions.get::<Counting>() {
        config.counting = *counting;
    }
    let tally = parts.extensions.get_or_insert_default::<Tally>().clone();
    // It is read here, so nobody further out need do it again.
    let _ = tally.claim();
    match (kind == Content::Stream, asked.stream) {
        (true, true) => {
            stream_headers(&mut parts.headers);
            Begun::Stream(Box::new(Machine::new(config, settings.limits, tally)))
        }
        (true, false) => {
            let folder = Box::new(Folder::new(config, settings.limits, tally));
            Begun::Read(Gather::Fold(folder))
        }
        (false, true) => {
            let machine = Box::new(Machine::new(config, settings.limits, tally));
            Begun::Read(Gather::Unfold(Pieces::default(), machine))
        }
        (false, false) => Begun::Read(Gather::Whole(Pieces::default(), config, tally)),
    }
}

/// What a body is by its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Stream,
    Whole,
    Other,
}

impl Content {
    /// Without a content type, it is what was asked for.
    fn of(headers: &HeaderMap, stream: bool) -> Self {
        let Some(essence) = media::essence(headers) else {
            return if stream { Self::Stream } else { Self::Whole };
        };
        if essence.eq_ignore_ascii_case(b"text/event-stream") {
            Self::Stream
        } else if essence.eq_ignore_ascii_case(b"application/json") {
            Self::Whole
        } else {
            Self::Other
        }
    }
}

/// The body is another one than that which the head came with. Most say neither.
pub(super) fn unframe(headers: &mut HeaderMap) {
    for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        if media::has(headers, &name) {
            headers.remove(name);
        }
    }
}

pub(super) fn stream_headers(headers: &mut HeaderMap) {
    unframe(headers);
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
