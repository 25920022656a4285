//! A decision: by what is leased, by leasing more, or by Redis itself.

use std::sync::Arc;

use tokio::time::timeout;

use super::{
    super::health::Fault,
    Leased, LeasedHold,
    hold::Held,
    slices::Waiting,
    taking::{Short, Tried},
};
use crate::{
    error::Error,
    limit::{Ask, Decision, Report, Store as _},
};

/// Requests lease again at most so often in vain. Others may be faster, each time, to take a slot that was
/// leased for this one.
const ROUNDS: usize = 8;

impl Leased {
    pub(super) async fn decide(self, ask: Ask) -> Result<Decision<LeasedHold>, Error> {
        let Some(entries) = self.entries(&ask) else {
            return self.directly(ask).await;
        };
        if ask.peek {
            return self.look(&ask).await;
        }
        // Those whose slots it waits for.
        let mut waiting: Vec<Waiting> = Vec::new();
        for round in 0..=ROUNDS {
            let short = match self.try_now(&entries, &ask) {
                Tried::Admitted(report, generations) => {
                    let hold = LeasedHold(Held::Leased {
                        entries,
                        generations,
                        reserved: ask.weights,
                        inner: Arc::clone(&self.inner),
                    });
                    return Ok(Decision::Admitted(hold, report));
                }
                Tried::Refused(refusal) => return Ok(Decision::Refused(*refusal)),
                Tried::Short(short) => short,
            };
            if round == ROUNDS {
                return Ok(Decision::Refused(self.refusal(&entries, &ask, &short)));
            }
            if self.inner.redis.shared().health.is_suspended() {
                return self.without(Fault::Suspended, &ask);
            }
            let mut told = Vec::new();
            let mut own = true;
            for lacks in short {
                let entry = &entries[lacks.at];
                let waits = |it: &Waiting| Arc::ptr_eq(&it.0, entry);
                if lacks.slot && !waiting.iter().any(waits) {
                    waiting.push(Waiting::new(entry));
                }
                own &= self.lease(entry, &lacks.more, lacks.slot, Some(&mut told));
            }
            let all = async {
                for told in told {
                    told.await.unwrap_or(Err(Fault::Gone))?;
                }
                Ok(())
            };
            match timeout(self.inner.redis.shared().budget(), all).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => return self.without(fault, &ask),
                Err(_) => return self.without(Fault::Slow, &ask),
            }
            // All that it lacks was asked for in its name: what is still not there is not to be had, but for
            // slots that others have been faster to take, where there are more.
            if own {
                if let Tried::Short(short) = self.probe(&entries, &ask) {
                    let more = |it: &Short| it.slot && !entries[it.at].lock().lease.is_full();
                    if !short.iter().any(more) {
                        return Ok(Decision::Refused(self.refusal(&entries, &ask, &short)));
                    }
                }
            }
        }
        unreachable!("the last round returns")
    }

    /// How things stand, from Redis, with what this node has leased and not used.
    async fn look(&self, ask: &Ask) -> Result<Decision<LeasedHold>, Error> {
        let decision = self.inner.redis.take(ask.clone()).await?;
        let Decision::Admitted(hold, mut report) = decision else {
            return Ok(decision.map(|hold| LeasedHold(Held::Direct(hold))));
        };
        if let Some(entries) = self.entries(ask) {
            let mut own = Report::default();
            for entry in &entries {
                entry.lock().lease.report(&ask.weights, &mut own);
            }
            for (told, own) in [
                (&mut report.requests, own.requests),
                (&mut report.tokens, own.tokens),
                (&mut report.money, own.money),
            ] {
                if let (Some(told), Some(own)) = (told, own) {
                    if told.limit == own.limit && told.window == own.window {
                        told.remaining = told.remaining.max(own.remaining);
                    }
                }
            }
            if let (Some(told), Some(own)) = (&mut report.concurrent, own.concurrent) {
                told.in_use = told.in_use.min(own.in_use);
            }
        }
        Ok(Decision::Admitted(LeasedHold(Held::Direct(hold)), report))
    }

    async fn directly(&self, ask: Ask) -> Result<Decision<LeasedHold>, Error> {
        let decision = self.inner.redis.take(ask).await?;
        Ok(decision.map(|hold| LeasedHold(Held::Direct(hold))))
    }

    fn without(&self, fault: Fault, ask: &Ask) -> Result<Decision<LeasedHold>, Error> {
        let decision = self.inner.redis.without(fault, ask)?;
        Ok(decision.map(|hold| LeasedHold(Held::Direct(hold))))
    }
}
