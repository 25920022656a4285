use super::{
    error,
    read::{Block, Stop, finish_reason},
    usage::Counts,
};
use crate::{
    error::Error,
    provider::{
        Answer,
        chunks::Spent,
        completion,
        completion::Choice,
        json::{Reader, Spelled, compact},
        nonsense,
        structured::ANSWER,
    },
    wire::{json::Fault, placed::Place},
};

/// Reads a message; its texts go into the answer as they are spelled.
pub(in crate::provider) fn answer(body: &[u8], created: u64) -> Result<Answer, Error> {
    let bad = |why: Fault| nonsense("it is not a message").with_source(why);
    let Some(mut reader) = Reader::new(body) else {
        return Err(nonsense("it is not UTF-8"));
    };
    let (mut id, mut model) = (Spelled::default(), Spelled::default());
    let mut kind = Spelled::default();
    let mut choice = Choice::default();
    let mut stop = Stop::default();
    let mut counts = None;
    let mut content = false;
    let mut so_far = Place::default();
    let mut nameless = false;
    let read = reader.object(|reader, key| {
        match key {
            "type" => kind = reader.string()?.unwrap_or_default(),
            "id" => id = reader.string()?.unwrap_or_default(),
            "model" => model = reader.string()?.unwrap_or_default(),
            "usage" if !reader.is_null()? => counts = Some(Counts::read(reader)?),
            "content" => {
                content = true;
                reader.array(|reader| {
                    nameless |= block(reader, &mut choice, &mut so_far)?;
                    Ok(())
                })?;
            }
            _ => stop.member(reader, key)?,
        }
        Ok(())
    });
    read.and_then(|()| reader.end()).map_err(bad)?;
    if kind.0 == "error" {
        return Err(error::in_stream(body));
    }
    if !content {
        return Err(nonsense("it is not a message"));
    }
    if nameless {
        return Err(nonsense("a call has no name"));
    }
    let reason = match finish_reason(stop.reason.unwrap_or("end_turn")) {
        "tool_calls" if !choice.has_calls() => "stop",
        reason => reason,
    };
    choice.reason = Some(reason);
    choice.refusal(stop.explanation);
    let spent = Spent {
        usage: counts.and_then(|counts| counts.usage()),
        tier: counts.and_then(|counts| counts.tier),
    };
    Ok(completion::answer(id, created, model, &[choice], spent))
}

/// A block of content, and what stands before it; whether it is a call without a name.
fn block<'a>(
    reader: &mut Reader<'a>,
    choice: &mut Choice<'a>,
    so_far: &mut Place,
) -> Result<bool, Fault> {
    let Some(raw) = reader.raw()? else {
        return Ok(false);
    };
    let block = Block::read(&mut Reader::over(raw))?;
    match block.kind {
        "text" => {
            let from = so_far.characters;
            so_far.characters += block.text.length();
            choice.text(block.text);
            for citation in block.citations.iter().filter(|it| it.is_web()) {
                choice.annotation(|it| citation.write(it, from, so_far.characters));
            }
        }
        // The answer itself, by its schema.
        "tool_use" if block.name.0 == ANSWER => {
            choice.json(block.input.unwrap_or("{}"));
        }
        "tool_use" if block.name.is_empty() => return Ok(true),
        "tool_use" => {
            so_far.calls += 1;
            choice.call(block.id, block.name, block.input.unwrap_or("{}"), |_| {});
        }
        "thinking" | "redacted_thinking" => {
            choice.reasoning(block.thinking);
            // What was cut short is not signed, and refused if it comes back.
            if block.kind != "thinking" || !block.signature.is_empty() {
                choice.detail(&so_far.put(&compact(raw)));
            }
        }
        // What the provider's own tools did is not the client's to answer.
        _ => {}
    }
    Ok(false)
}
