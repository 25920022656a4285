use bytes::Bytes;
use http::{Extensions, Response};
use http_body::Body;

use super::{
    Decision, Fields, Hold, Mode, Refusal, Report, Settings, Store, Weights, guard::Refused,
    headers, limiter::Counts,
};
use crate::{
    body::{Full, Reply},
    dialect::Dialect,
    error::Error,
    meter::{Ending, Metered, Once, Scanner, Settle, Tally},
    observe::Gate,
};

/// What carries a hold from admission to the end of the answer's body.
pub trait Carry<H: Hold>: Settle {
    /// Which gate admits.
    const GATE: Gate;
    /// Whether it settles by what was used, so that the answer is to be read when nobody inside tells
    /// that.
    const SCANS: bool;

    /// Takes charge of the hold.
    fn carry(&mut self, hold: H);

    /// The inner service has been asked and is about to be polled.
    fn begin(&mut self);

    /// The head of the answer is there.
    fn answered(&mut self, success: bool, extensions: &Extensions);

    /// What it will settle to, where the head says already that there is no answer to come.
    fn settles_to(&self, tally: Option<&Tally>) -> Option<Weights> {
        let _ = tally;
        None
    }
}

/// What a request has from its admission to the head of its answer.
pub(super) struct Held<G: Settle> {
    pub(super) once: Option<Once<G>>,
    fields: Fields,
    mode: Mode,
    reserved: Weights,
    report: Report,
    /// What would have been refused.
    shadow: Option<Box<Refusal>>,
    /// The limits could not be asked.
    unasked: bool,
}

impl<G: Settle> Held<G> {
    pub(super) fn new(guard: G, settings: &Settings, reserved: Weights) -> Self {
        Self {
            once: Some(Once::new(guard)),
            fields: settings.fields,
            mode: settings.mode,
            reserved,
            report: Report::default(),
            shadow: None,
            unasked: false,
        }
    }

    /// The store has admitted the request.
    #[inline]
    pub(super) fn admitted<H: Hold>(&mut self, hold: H, report: Report, counts: &Counts)
    where
        G: Carry<H>,
    {
        counts.admitted();
        self.report = report;
        if let Some(guard) = self.once.as_mut().and_then(Once::guard_mut) {
            guard.carry(hold);
        }
    }

    /// What the store has said.
    ///
    /// # Errors
    /// The refusal, when there is to be one.
    pub(super) fn decided<St: Store>(
        &mut self,
        decision: Result<Decision<St::Hold>, Error>,
        counts: &Counts,
    ) -> Result<(), Box<Response<Full>>>
    where
        G: Carry<St::Hold>,
    {
        match decision {
            Ok(Decision::Admitted(hold, report)) => {
                self.admitted(hold, report, counts);
                Ok(())
            }
            Ok(Decision::Refused(refusal)) if self.mode == Mode::Shadow => {
                counts.shadowed();
                self.report = refusal.report;
                self.shadow = Some(Box::new(refusal));
                Ok(())
            }
            Err(_) if self.mode == Mode::Shadow => {
                counts.shadowed();
                self.unasked = true;
                Ok(())
            }
            Ok(Decision::Refused(refusal)) => {
                counts.refused();
                self.once = None;
                let mut response = refuse(headers::error(&refusal));
                let map = response.headers_mut();
                self.fields.write(map, &refusal.report, told::<St, G>());
                headers::should_retry(map, &refusal);
                Err(response)
            }
            Err(error) => {
                counts.refused();
                self.once = None;
                Err(refuse(error))
            }
        }
    }

    /// The head of the answer, with what it says of the limits.
    pub(super) fn answered<St: Store, R, E>(
        &mut self,
        result: Result<Response<R>, E>,
    ) -> Result<Response<Reply<Metered<R, G>>>, E>
    where
        G: Carry<St::Hold>,
        R: Body<Data = Bytes>,
    {
        let mut once = self.once.take().expect("polled after completion");
        let (mut parts, body) = match result {
            Ok(response) => response.into_parts(),
            Err(error) => {
                once.end(Ending::Failed(None));
                return Err(error);
            }
        };
        if self.shadow.is_none() && parts.extensions.get::<Refused>().is_some() {
            self.report.give_request_back();
        }
        if let Some(guard) = once.guard_mut() {
            guard.answered(parts.status.is_success(), &parts.extensions);
            let tally = parts.extensions.get::<Tally>();
            let used = guard.settles_to(tally).filter(|_| self.shadow.is_none());
            if let Some(used) = used {
                self.report.settle(&self.reserved, &used);
            }
        }
        self.fields
            .write(&mut parts.headers, &self.report, told::<St, G>());
        if let Some(refusal) = self.shadow.take() {
            headers::announce(&mut parts.headers, &refusal);
        }
        if self.unasked {
            headers::announce_unasked(&mut parts.headers);
        }
        let mut scanner = None;
        if G::SCANS {
            scanner = Scanner::of(&mut parts);
            once.attach(parts.extensions.get::<Tally>().cloned());
        }
        let body = Reply::inner(Metered::scanned(body, once, scanner));
        Ok(Response::from_parts(parts, body))
    }
}

fn told<St: Store, G: Carry<St::Hold>>() -> headers::Tokens {
    match G::GATE {
        Gate::Tokens => headers::Tokens::Own,
        _ => headers::Tokens::Absent,
    }
}

#[cold]
fn refuse(error: Error) -> Box<Response<Full>> {
    let mut response = error.response(&Dialect::openai());
    response.extensions_mut().insert(Refused);
    Box::new(response)
}
