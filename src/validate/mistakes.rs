use std::sync::Arc;

use super::Report;
use crate::{error::Error, parse::refused, wire::request::Request};

/// The most mistakes that are kept, and told in one message.
const TOLD: usize = 16;

/// Every mistake that was found in a refused request, in the order of their weight: an extension of
/// the response, where the policy says [`Report::All`].
#[derive(Clone, Debug)]
pub struct Mistakes(Arc<[Error]>);

impl Mistakes {
    /// Each by itself, the one that the answer stands for first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Error> {
        self.0.iter()
    }
}

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: Error,
    pub(super) mistakes: Option<Mistakes>,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self {
            error,
            mistakes: None,
        }
    }
}

/// Takes mistakes, and says when it has enough of them.
pub(super) struct Findings {
    report: Report,
    found: Vec<Error>,
    more: usize,
}

impl Findings {
    pub(super) const fn new(report: Report) -> Self {
        Self {
            report,
            found: Vec::new(),
            more: 0,
        }
    }

    /// Notes a mistake; where one is enough, that is it.
    pub(super) fn note(&mut self, error: Error) -> Result<(), Refusal> {
        match self.report {
            Report::First => return Err(error.into()),
            Report::All if self.found.len() == TOLD => self.more += 1,
            Report::All => self.found.push(error),
        }
        Ok(())
    }

    /// Notes what is wrong with shape and values: first what has not the format at all, since a
    /// value can only be judged in what has; each in the order of the text.
    pub(super) fn faults(&mut self, request: &Request, text: &[u8]) -> Result<(), Refusal> {
        let faults = request.faults();
        if faults.is_empty() {
            return Ok(());
        }
        let of_shape = faults.iter().filter(|fault| fault.is_of_shape());
        let of_value = faults.iter().filter(|fault| !fault.is_of_shape());
        for fault in of_shape.chain(of_value) {
            self.note(refused(fault, text))?;
        }
        self.more += request.fault_count() - faults.len();
        Ok(())
    }

    /// Whether nothing was wrong.
    pub(super) fn done(self) -> Result<(), Refusal> {
        let Some(first) = self.found.first() else {
            return Ok(());
        };
        let mut message = String::new();
        for mistake in &self.found {
            if !message.is_empty() {
                message.push_str("; ");
            }
            message.push_str(mistake.message());
        }
        if self.more > 0 {
            message.push_str(&format!("; and {} more", self.more));
        }
        let mut error = Error::new(first.kind(), message);
        if let Some(code) = first.code() {
            error = error.with_code(code.to_owned());
        }
        if let Some(param) = first.param() {
            error = error.with_param(param.to_owned());
        }
        Err(Refusal {
            error,
            mistakes: Some(Mistakes(self.found.into())),
        })
    }
}
