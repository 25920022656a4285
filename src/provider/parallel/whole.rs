use bytes::{Bytes, BytesMut};
use http::{Response, response::Parts};

use super::{
    body::{ParallelBody, Which, merged},
    future::{Merge, refuse},
    numbered, unreadable,
    usage::{Account, note, sum},
};
use crate::{
    body::Full,
    error::Error,
    meter::Tally,
    provider::{chunks::write_usage, future::cut, nonsense},
    wire::Members,
};

/// Several whole answers as one.
pub(super) fn merge<B>(answers: Vec<(Parts, Bytes)>, how: Merge) -> Response<ParallelBody<B>> {
    let tally = Tally::new();
    match join(&answers, how, &tally) {
        Err(error) => refuse(error),
        Ok(body) => {
            let body = Full::new(body);
            match answers.into_iter().next() {
                None => refuse(cut()),
                Some((first, _)) => merged(first, tally, Which::Own { body }),
            }
        }
    }
}

fn join(answers: &[(Parts, Bytes)], how: Merge, tally: &Tally) -> Result<Vec<u8>, Error> {
    let mut read = Vec::with_capacity(answers.len());
    let mut accounts = Vec::with_capacity(answers.len());
    for (head, text) in answers {
        let mut account = Account::new(head);
        account.whole(&String::from_utf8_lossy(text))?;
        let members: Members<'_> = serde_json::from_slice(text).map_err(unreadable)?;
        if !account.has_begun() {
            return Err(nonsense("it has no choices"));
        }
        read.push(members);
        accounts.push(account);
    }
    let mut choices = vec![b'['];
    for (nth, one) in read.iter().enumerate() {
        numbered(
            &one.choices().map_err(unreadable)?,
            nth,
            how.per_call,
            &mut choices,
        );
    }
    choices.push(b']');
    let choices = String::from_utf8_lossy(&choices);
    let (usage, complete) = sum(&accounts, how.prompt);
    note(&accounts, usage, tally);
    let mut counts = BytesMut::new();
    // An estimate is for the layers outside to tell, as of any answer that has no counts.
    if complete {
        write_usage(&mut counts, &usage);
    } else {
        counts.extend_from_slice(b"null");
    }
    let counts = String::from_utf8_lossy(&counts);
    let mut out = Vec::new();
    if let Some(first) = read.first() {
        first.write(&[("choices", &choices), ("usage", &counts)], &mut out);
    }
    Ok(out)
}
