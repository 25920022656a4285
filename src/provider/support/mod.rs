//! What the translations of several providers share of a request.

mod body;
mod settle;
mod strangers;
mod tools;

pub(super) use body::{parse, post, write};
pub(super) use settle::{MARKS, SMALL, THOUGHTS, Without, loosely, settle, undescribed};
pub(super) use strangers::strangers;
pub(super) use tools::{Declared, Must, arguments, chosen, declared, named};

use super::{Notes, notes::unsupported};
use crate::{
    error::Error,
    wire::chat::{Message, Request, Role},
};

/// What only OpenAI's own models have in a message of the assistant.
///
/// # Errors
/// It is there; the path says where. Where the contract drops it, speech that was heard earlier is
/// left out if the message says something beside it.
pub(super) fn plain(message: &Message<'_>, at: usize, notes: &mut Notes) -> Result<(), Error> {
    if message.role == Role::Function {
        return Err(unsupported(format!("messages[{at}].role")));
    }
    if message.function_call.is_some() {
        return Err(unsupported(format!("messages[{at}].function_call")));
    }
    if message.audio.is_some() {
        let param = format!("messages[{at}].audio");
        if message.content.is_none() && message.calls().is_empty() {
            return Err(unsupported(param));
        }
        notes.unsupported(param)?;
    }
    Ok(())
}

/// Where to stop.
pub(super) fn stops<'r>(request: &'r Request<'_>) -> Vec<&'r str> {
    let texts = request.stop.iter().flat_map(|stop| &stop.0);
    texts.map(|text| &**text).collect()
}
