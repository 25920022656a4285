//! An answer that came whole.

use bytes::Bytes;

use super::{
    fault::nonsense,
    pass::{Form, Seen},
    read::Reader,
    usual::Answer,
};
use crate::{
    error::{Error, upstream},
    meter::Outcome,
    wire::Usage,
};

/// Makes a whole answer canonical and notes its usage. An answer that needs no change comes back
/// as the same bytes.
pub(super) fn answer(reader: &mut Reader, body: &Bytes) -> Result<Bytes, Error> {
    let result = rewrite(reader, body);
    reader.tally.end(match &result {
        Ok(_) => Outcome::Complete,
        Err(error) => Outcome::Failed(error.clone()),
    });
    result
}

fn rewrite(reader: &mut Reader, body: &Bytes) -> Result<Bytes, Error> {
    // Some send blank lines while a request is queued.
    let blank = body.iter().take_while(|byte| byte.is_ascii_whitespace());
    let body = body.slice(blank.count()..);
    let seen = match Answer::read(&body, &reader.config) {
        Some(answer) => answer.tell(reader, &body),
        None => read(reader, &body)?,
    };
    if !reader.choices.has_begun() {
        return Err(nonsense("The provider sent an answer without choices."));
    }
    reader.tally.relayed(seen.content);
    let missing = match seen.usage_elsewhere {
        _ if reader.garbled => Some(in_its_place(reader).spelled()),
        Some(at) => Some(String::from_utf8_lossy(&body[at]).into_owned()),
        None if seen.usage => None,
        None => Some(estimate(reader).spelled()),
    };
    if let Some(spelled) = missing {
        match seen.usage_at {
            Some(at) => reader.edits.replace(at, spelled),
            // Something stands behind it: there are choices.
            None => reader.edits.replace(1..1, format!("\"usage\":{spelled},")),
        }
    }
    if reader.edits.is_empty() {
        return Ok(body);
    }
    let mut out = Vec::with_capacity(body.len() + 64);
    let Reader { edits, pinned, .. } = reader;
    edits.apply(&body, pinned, &mut out);
    Ok(out.into())
}

/// Reads what has not the usual form.
fn read(reader: &mut Reader, body: &[u8]) -> Result<Seen, Error> {
    let text = std::str::from_utf8(body)
        .map_err(|_| nonsense("The provider sent an answer that is not UTF-8."))?;
    let seen = reader.read(text, Form::Whole)?;
    if seen.failed {
        return Err(upstream::in_stream(text));
    }
    Ok(seen)
}

/// What the answer does not say: what the provider counted, or an estimate, which is noted.
pub(super) fn estimate(reader: &Reader) -> Usage {
    if let Some(counted) = reader.tally.usage() {
        return counted;
    }
    let output = reader.tally.content_bytes().div_ceil(4);
    let mut usage = Usage::new(reader.config.input_estimate, output);
    usage.estimated = true;
    reader.tally.record_usage(usage);
    usage
}

/// What is charged where the usage that was stated cannot be: what is sound of it, with an estimate for the
/// rest.
pub(super) fn in_its_place(reader: &Reader) -> Usage {
    let mut usage = reader.tally.usage().unwrap_or_default();
    if usage.clamped && usage.input == 0 {
        usage.input = reader.config.input_estimate;
    }
    if usage.clamped && usage.output == 0 {
        usage.output = reader.tally.content_bytes().div_ceil(4);
    }
    usage.estimated = true;
    usage
}

/// Whether an estimate stands for a count of these.
pub(super) const fn is_partial(usage: Usage) -> bool {
    usage.clamped && (usage.input == 0 || usage.output == 0)
}
