use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header, response::Parts};
use http_body::Body;

use super::{Currency, Ledger, Receipt, ResponseBody, member, plan::Plan};
use crate::{
    body::{Full, Pieces},
    dialect::CostMember,
    error::{Class, Error, Kind},
    meter::{Outcome, Scanner, Tally},
    text,
};

/// A whole answer that is being collected.
pub(super) struct Whole {
    head: Parts,
    answer: Pieces,
    // In a box: nearly always somebody inside reads the answer.
    scanner: Option<Box<Scanner>>,
}

const COST: HeaderName = HeaderName::from_static("x-completion-cost");
const CURRENCY: HeaderName = HeaderName::from_static("x-completion-cost-currency");

impl Whole {
    pub(super) fn new(head: Parts, scanner: Option<Box<Scanner>>) -> Self {
        Self {
            head,
            answer: Pieces::default(),
            scanner,
        }
    }

    /// Reads on, to the end.
    #[inline(always)]
    pub(super) fn poll<R: Body<Data = Bytes>, L: Ledger>(
        &mut self,
        mut body: Pin<&mut R>,
        plan: &mut Plan<L>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let most = plan.once.guard_mut();
        let most = most.map_or(0, |guard| guard.config.max_bytes);
        let broken = loop {
            let polled = plan.once.polling(|| body.as_mut().poll_frame(cx));
            match ready!(polled) {
                None => return Poll::Ready(Ok(())),
                Some(Err(_)) => break "The upstream cut its answer short.",
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        self.answer.push(chunk);
                    }
                    if self.answer.len() > most {
                        break "The upstream's answer is too large.";
                    }
                }
            }
        };
        let error = Error::new(Kind::BadUpstream, broken).with_class(Class::Transient);
        Poll::Ready(Err(error))
    }

    /// Charged, and told what it cost, where somebody pays.
    pub(super) fn finish<R, L: Ledger>(self, plan: &mut Plan<L>) -> Response<ResponseBody<R, L>> {
        let Self {
            mut head,
            mut answer,
            scanner,
        } = self;
        let mut answer = answer.take();
        let read_within = scanner.is_none();
        if let Some(mut scanner) = scanner {
            scanner.push(answer.clone());
            scanner.end();
        }
        let seen = plan.once.tally().map(Tally::seen);
        let seen = seen.as_ref();
        if seen.is_some_and(|seen| matches!(seen.outcome, Some(Outcome::Failed(_)))) {
            plan.once.release();
        }
        // It is settled here: nothing is left to do at the end.
        if let Some(mut guard) = plan.once.take() {
            let mut usage = guard.quote.usage(seen);
            let is_counted = seen.is_some_and(|seen| read_within || seen.content_bytes > 0);
            if usage.estimated && !is_counted {
                // Nobody counted: all of the answer is taken for text.
                usage.output = (answer.len() as u64).div_ceil(4);
            }
            let told = guard.is_told();
            let receipt = guard.charge(usage, seen);
            if told {
                answer = tell(&mut head, answer, &receipt, guard.config.member);
            }
            head.extensions.insert(receipt);
        }
        Response::from_parts(head, ResponseBody::own(Full::new(answer)))
    }
}

/// Says the cost in headers, and in the answer's JSON where the dialect has it.
fn tell(head: &mut Parts, mut answer: Bytes, receipt: &Receipt, mut member: CostMember) -> Bytes {
    if head.headers.contains_key(header::CONTENT_ENCODING) {
        // Compressed it has no place for it.
        member = CostMember::Absent;
    }
    let cost = member::Sum {
        amount: receipt.cost,
        currency: receipt.currency,
    };
    if let Some(with) = member::whole(&answer, member, cost) {
        answer = Bytes::from(with);
        // Where no length is said the body knows its own.
        if let Some(said) = head.headers.get_mut(header::CONTENT_LENGTH) {
            *said = HeaderValue::from(answer.len());
        }
    }
    let mut room = [0; 48];
    let amount = receipt.cost.digits(&mut room);
    // Digits and a point are always a header value.
    if let Ok(cost) = HeaderValue::from_maybe_shared(text::copied(amount)) {
        head.headers.insert(COST, cost);
    }
    head.headers.insert(CURRENCY, currency(receipt.currency));
    answer
}

fn currency(of: Currency) -> HeaderValue {
    if of == Currency::USD {
        return HeaderValue::from_static("USD");
    }
    HeaderValue::from_str(of.code()).expect("three letters are a header value")
}
