use super::Sending;

/// One request that is sent for several who wait for its answer. Says which of them pays for it when all of them
/// leave before there is an answer.
#[derive(Debug)]
pub(crate) struct Joint {
    /// Whether the request has been sent, which is that of the first to come.
    sending: Option<Sending>,
    /// The first to come left before its request was sent and pays nothing: somebody else may have to.
    unpaid: bool,
}

/// One of those who wait.
#[derive(Debug)]
pub(crate) struct Payer {
    who: Who,
    /// Its future has been polled. One that never was has not asked for anything, and pays nothing.
    asked: bool,
}

#[derive(Debug)]
enum Who {
    /// Whose request is sent.
    First,
    /// Another one, whose own is not.
    Other(Option<Sending>),
}

impl Joint {
    pub(crate) const fn new(sending: Option<Sending>) -> Self {
        let unpaid = false;
        Self { sending, unpaid }
    }

    /// A payer leaves before there is an answer. The first to come pays when the request has been sent by then.
    /// If the first left before that, the next one to leave pays.
    pub(crate) fn leaves(&mut self, payer: &Payer) {
        let sending = self.sending.as_ref();
        let waits = sending.is_some_and(Sending::is_waiting);
        match &payer.who {
            Who::First => self.unpaid = waits || !payer.asked,
            Who::Other(Some(own)) if self.unpaid && payer.asked && !waits => {
                match sending {
                    Some(sending) => own.is_sent_as(sending),
                    None => own.goes_on(),
                }
                self.unpaid = false;
            }
            Who::Other(_) => {}
        }
    }
}

impl Payer {
    /// Whose request is sent.
    pub(crate) const fn first() -> Self {
        let (who, asked) = (Who::First, false);
        Self { who, asked }
    }

    /// One who joins with a request that is not sent.
    pub(crate) fn joins(sending: Option<&Sending>) -> Self {
        if let Some(sending) = sending {
            sending.waits();
        }
        let (who, asked) = (Who::Other(sending.cloned()), false);
        Self { who, asked }
    }

    pub(crate) const fn is_first(&self) -> bool {
        matches!(self.who, Who::First)
    }

    /// It waits for the answer.
    pub(crate) const fn asks(&mut self) {
        self.asked = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_who_leaves_pays_for_as_many_calls_as_were_made() {
        let (sent, own) = (Sending::new(), Sending::new());
        sent.waits();
        let mut joint = Joint::new(Some(sent.clone()));
        let (mut first, mut other) = (Payer::first(), Payer::joins(Some(&own)));
        first.asks();
        other.asks();
        joint.leaves(&first);
        let parts = [sent.part(), sent.part(), sent.part()];
        parts[0].begins();
        parts[2].begins();
        joint.leaves(&other);
        assert!(!own.is_waiting());
        assert_eq!(own.calls(3), 2);
    }
}
