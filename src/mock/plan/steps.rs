//! How an answer is sent: in which pieces, and where it breaks.

use std::time::Duration;

use bytes::Bytes;

use super::{
    super::script::{Fault, Script},
    Step,
    answer::broken,
};

/// The events of a stream as steps, with what goes wrong among them.
pub(super) fn play(events: Vec<String>, script: &Script) -> Vec<Step> {
    let mut steps = Vec::with_capacity(events.len() + 1);
    // Whatever was asked for happens, at the end where there are fewer events.
    let last = events.len();
    let fault = script.fault.map(|(after, fault)| (after.min(last), fault));
    for (at, event) in events.into_iter().map(Some).chain([None]).enumerate() {
        if let Some((_, fault)) = fault.filter(|(after, _)| *after == at) {
            let (step, goes_on) = match fault {
                Fault::Cut => (Step::Break, false),
                Fault::Stall => (Step::Stall, false),
                Fault::Panic => (Step::Panic, false),
                Fault::Error => (frame(&broken().to_string()), false),
                Fault::Malformed => (frame("{\"choices\":[{\"delta\":{\"content\":\"half"), true),
                Fault::End => break,
            };
            steps.push(step);
            if !goes_on {
                break;
            }
        }
        let Some(event) = event else {
            break;
        };
        if at > 0 && !script.event_delay.is_zero() {
            steps.push(Step::Wait(script.event_delay));
        }
        steps.push(frame(&event));
    }
    steps
}

fn frame(data: &str) -> Step {
    Step::Data(format!("data: {data}\n\n").into())
}

pub(super) fn length(steps: &[Step]) -> usize {
    let of = |step: &Step| match step {
        Step::Data(bytes) => bytes.len(),
        _ => 0,
    };
    steps.iter().map(of).sum()
}

/// Breaks the connection after `limit` bytes, when there are so many.
pub(super) fn cut(steps: Vec<Step>, limit: usize) -> Vec<Step> {
    let mut left = limit;
    let mut kept = Vec::new();
    for step in steps {
        match step {
            Step::Data(bytes) if bytes.len() > left => {
                kept.extend([Step::Data(bytes.slice(..left)), Step::Break]);
                return kept;
            }
            Step::Data(bytes) => {
                left -= bytes.len();
                kept.push(Step::Data(bytes));
            }
            other => kept.push(other),
        }
    }
    kept
}

/// Frames of `size` bytes that pay no heed to where events begin. A wait of the script ends a frame.
pub(super) fn slice(steps: Vec<Step>, size: usize, delay: Duration) -> Vec<Step> {
    fn flush(
        pending: &mut Vec<u8>,
        whole: bool,
        size: usize,
        delay: Duration,
        out: &mut Vec<Step>,
    ) {
        let end = if whole {
            pending.len()
        } else {
            pending.len() / size * size
        };
        for piece in pending[..end].chunks(size) {
            if !out.is_empty() && !delay.is_zero() {
                out.push(Step::Wait(delay));
            }
            out.push(Step::Data(Bytes::copy_from_slice(piece)));
        }
        pending.drain(..end);
    }
    let (mut out, mut pending) = (Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Data(bytes) => {
                pending.extend_from_slice(&bytes);
                flush(&mut pending, false, size, delay, &mut out);
            }
            other => {
                flush(&mut pending, true, size, delay, &mut out);
                out.push(other);
            }
        }
    }
    flush(&mut pending, true, size, delay, &mut out);
    out
}
