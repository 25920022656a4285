use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    Amount, Bill, Currency, Ledger,
    guard::Guard,
    member::{self, Carrier},
    refill::Refill,
};
use crate::{
    body::Full,
    dialect::CostMember,
    meter::{Ending, Metered, Once, Scanner, Settle, Tally},
};

/// The body of `Cost`'s answers. A stream settles when it ends or is dropped.
pub struct ResponseBody<R, L: Ledger> {
    kind: Which<R, L>,
}

/// What is not whole is in a box, so that what is around it moves little.
enum Which<R, L: Ledger> {
    Own(Full),
    Inner(Pin<Box<R>>),
    Stream(Pin<Box<Stream<R, L>>>),
}

pin_project! {
    /// A stream that is being counted.
    struct Stream<R, L: Ledger> {
        #[pin]
        body: Metered<R, Box<Guard<L>>>,
        // In boxes of their own: few have them.
        writer: Option<Box<Writer>>,
        refill: Option<Pin<Box<Refill<L>>>>,
    }
}

/// The most that waits for the usage, in bytes; more goes out without the cost in it.
const MOST_HELD: usize = 256 << 10;

const DONE: &[u8] = b"data: [DONE]";

/// Puts the cost into the event that carries it, which waits until nothing follows that could change
/// it: the stream's end, or counts behind the finish in an event of their own.
pub(super) struct Writer {
    tally: Tally,
    bill: Bill,
    currency: Currency,
    place: CostMember,
    carrier: Carrier,
    held: BytesMut,
}

impl Writer {
    pub(super) fn new(
        tally: Tally,
        bill: Bill,
        currency: Currency,
        place: CostMember,
        carrier: Carrier,
    ) -> Self {
        Self {
            tally,
            bill,
            currency,
            place,
            carrier,
            held: BytesMut::new(),
        }
    }

    /// What may go out now that these events have come.
    fn take<G: Settle>(&mut self, events: Bytes, once: &mut Once<G>) -> Option<Bytes> {
        let events = self.without_others(events);
        if self.held.is_empty() && member::carrier(&events, self.carrier).is_none() {
            return Some(events);
        }
        // At the beginning of a line: within an event's JSON the model may say it.
        let done = events.starts_with(DONE)
            || memchr::memmem::find_iter(&events, DONE).any(|at| at > 0 && events[at - 1] == b'\n');
        self.held.extend_from_slice(&events);
        if done || self.tally.has_last_counts() {
            return Some(self.release(once));
        }
        (self.held.len() > MOST_HELD).then(|| self.held.split().freeze())
    }

    /// Events without a cost that somebody inside has put where ours may stand.
    fn without_others(&self, events: Bytes) -> Bytes {
        let without = (self.place == CostMember::TopLevel).then(|| member::without(&events));
        without.flatten().map_or(events, Bytes::from)
    }

    /// Whether something is held for which nothing more is to come.
    fn is_ready(&self) -> bool {
        !self.held.is_empty() && self.tally.has_last_counts()
    }

    /// What goes out at last, these events at its end.
    fn end<G: Settle>(&mut self, events: Bytes, once: &mut Once<G>) -> Bytes {
        self.take(events, once)
            .unwrap_or_else(|| self.release(once))
    }

    /// Settles, so that what is shown is what is charged, whatever comes behind it.
    fn release<G: Settle>(&mut self, once: &mut Once<G>) -> Bytes {
        let held = self.held.split().freeze();
        once.end(Ending::Complete);
        let nothing = (Amount::ZERO, self.currency);
        let receipt = self.bill.receipt();
        let (amount, currency) = receipt.map_or(nothing, |it| (it.cost, it.currency));
        let cost = member::Sum { amount, currency };
        member::events(&held, self.carrier, self.place, cost).map_or(held, Bytes::from)
    }
}

impl<R: Body, L: Ledger> ResponseBody<R, L> {
    pub(super) fn stream(
        body: R,
        once: Once<Box<Guard<L>>>,
        scanner: Option<Scanner>,
        writer: Option<Box<Writer>>,
        refill: Option<Pin<Box<Refill<L>>>>,
    ) -> Self {
        Self {
            kind: Which::Stream(Box::pin(Stream {
                body: Metered::scanned(body, once, scanner),
                writer,
                refill,
            })),
        }
    }
}

impl<R, L: Ledger> ResponseBody<R, L> {
    pub(super) fn inner(body: R) -> Self {
        Self {
            kind: Which::Inner(Box::pin(body)),
        }
    }

    pub(super) const fn own(body: Full) -> Self {
        Self {
            kind: Which::Own(body),
        }
    }
}

impl<R, L: Ledger> fmt::Debug for ResponseBody<R, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cost::ResponseBody")
    }
}

impl<R: Body<Data = Bytes>, L: Ledger> Body for ResponseBody<R, L> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let kind = &mut self.get_mut().kind;
        match kind {
            Which::Inner(body) => body.as_mut().poll_frame(cx),
            Which::Own(body) => Poll::Ready(body.frame().map(Ok)),
            Which::Stream(stream) => {
                let mut over = false;
                let polled = stream.as_mut().poll(&mut over, cx);
                if over {
                    // Dropping the stream settles it and cancels the upstream.
                    *kind = Which::Own(Full::default());
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Which::Inner(body) => body.is_end_stream(),
            Which::Own(body) => body.is_end_stream(),
            Which::Stream(stream) => {
                let held = stream.writer.as_ref();
                stream.body.is_end_stream() && held.is_none_or(|writer| writer.held.is_empty())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Which::Inner(body) => body.size_hint(),
            Which::Own(body) => body.size_hint(),
            Which::Stream(_) => SizeHint::default(),
        }
    }
}

impl<R: Body<Data = Bytes>, L: Ledger> Stream<R, L> {
    /// The next frame. It is over with its last events when what is held ran out.
    fn poll(
        self: Pin<&mut Self>,
        over: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        let mut this = self.project();
        loop {
            if let Some(refill) = this.refill {
                let once = this.body.as_mut().once_mut();
                if let Some(end) = ready!(refill.as_mut().poll(once, cx)) {
                    *over = true;
                    return Poll::Ready(Some(Ok(Frame::data(match this.writer {
                        Some(writer) => writer.end(end, once),
                        None => end,
                    }))));
                }
            }
            let polled = this.body.as_mut().poll_frame(cx);
            if let (Some(refill), Poll::Ready(Some(Ok(frame)))) = (&mut *this.refill, &polled) {
                if let Some(events) = frame.data_ref() {
                    refill.as_mut().relay(events);
                }
            }
            let Some(writer) = this.writer else {
                return polled;
            };
            let once = this.body.as_mut().once_mut();
            if polled.is_pending() && writer.is_ready() {
                // The last counts have come, in an event that is not for the client.
                return Poll::Ready(Some(Ok(Frame::data(writer.release(once)))));
            }
            let frame = match ready!(polled) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(events) => match writer.take(events, once) {
                        Some(events) => Some(Ok(Frame::data(events))),
                        None => continue,
                    },
                    Err(trailers) => Some(Ok(trailers)),
                },
                None if !writer.held.is_empty() => Some(Ok(Frame::data(writer.release(once)))),
                other => other,
            };
            return Poll::Ready(frame);
        }
    }
}
