//! A call of the script, and those that ask for nothing.

use std::{fmt, time::Duration};

/// One call of the script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::limit::redis) struct Call {
    pub(in crate::limit::redis) keys: Vec<String>,
    pub(in crate::limit::redis) args: Vec<String>,
}

impl Call {
    pub(super) fn arg(&mut self, value: impl fmt::Display) {
        self.args.push(value.to_string());
    }
}

/// Holds slots for another while.
pub(in crate::limit::redis) fn renew<'a>(
    slots: impl Iterator<Item = (&'a String, &'a String)>,
    ttl: Duration,
) -> Call {
    let mut call = Call::default();
    call.arg("renew");
    call.arg(ttl.as_millis());
    for (key, id) in slots {
        call.keys.push(key.clone());
        call.arg(id);
    }
    call
}

/// Only looks whether the script answers as it should, and may write.
pub(in crate::limit::redis) fn probe(tag: &str) -> Call {
    let mut call = Call::default();
    call.keys.push(format!("{{{tag}}}probe"));
    call.arg("probe");
    call
}

/// The server's clock in microseconds, as an answer tells it.
pub(in crate::limit::redis) fn clock(reply: &[i64]) -> Option<u64> {
    reply.get(1).and_then(|now| u64::try_from(*now).ok())
}
