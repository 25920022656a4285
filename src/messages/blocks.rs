//! The blocks of a message in their order, one at a time.

use std::collections::VecDeque;

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde_json::{Value, json};

/// Bytes of blocks that may wait for the open one.
const MOST_HELD: usize = 8 << 20;

/// The blocks of a stream that are not over.
///
/// Anthropic's grammar knows one open block, in which pieces of several calls that come in turns, or
/// text amid a call, have no place. So the first block goes out as it comes, and the others wait
/// until it is over: text when another block begins, a call when its arguments are a whole object.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// The first is open; what is written to the others is held back.
    queue: VecDeque<Block>,
    /// The number of the next.
    next: usize,
    /// Calls whose block has been closed.
    told: Vec<u64>,
}

#[derive(Debug)]
struct Block {
    kind: Kind,
    index: usize,
    /// Nothing more is to come, though no other has begun.
    over: bool,
    arguments: Arguments,
    held: BytesMut,
}

/// What a block is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Thinking,
    /// Reasoning that is not shown.
    Redacted,
    /// The call with this ordinal.
    Call(u64),
}

/// Where the pieces of a call go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It has not begun.
    Nowhere,
    At(usize),
    /// Its block has been closed.
    Closed,
}

/// How far the arguments of a call have come, an object of JSON.
#[derive(Clone, Copy, Debug, Default)]
struct Arguments {
    begun: bool,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Arguments {
    fn take(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => {
                    self.begun = true;
                    self.depth += 1;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn are_whole(self) -> bool {
        self.begun && self.depth == 0
    }
}

impl Block {
    /// Whether nothing more can come of it once another block has begun.
    fn is_whole(&self) -> bool {
        match self.kind {
            Kind::Call(_) => self.arguments.are_whole(),
            Kind::Text | Kind::Thinking | Kind::Redacted => true,
        }
    }
}

impl Blocks {
    /// The last block, if it is of this kind and more may come of it.
    pub(super) fn last(&self, kind: Kind) -> Option<usize> {
        let last = self.queue.back()?;
        (last.kind == kind && !last.over).then(|| self.queue.len() - 1)
    }

    /// Where the pieces of this call go.
    pub(super) fn of_call(&self, ordinal: u64) -> Place {
        let kind = Kind::Call(ordinal);
        match self.queue.iter().position(|block| block.kind == kind) {
            Some(at) => Place::At(at),
            None if self.told.contains(&ordinal) => Place::Closed,
            None => Place::Nowhere,
        }
    }

    /// Begins the next block; its place.
    pub(super) fn begin(&mut self, kind: Kind, block: &Value, out: &mut BytesMut) -> usize {
        self.queue.push_back(Block {
            kind,
            index: self.next,
            over: false,
            arguments: Arguments::default(),
            held: BytesMut::new(),
        });
        self.next += 1;
        self.advance(out);
        let at = self.queue.len() - 1;
        let index = self.queue[at].index;
        let event =
            json!({ "type": "content_block_start", "index": index, "content_block": block });
        write(self.room(at, out), "content_block_start", &event);
        at
    }

    /// Writes a piece of a block.
    pub(super) fn delta(&mut self, at: usize, delta: impl Serialize, out: &mut BytesMut) {
        let event = "content_block_delta";
        let data = Delta {
            event,
            index: self.queue[at].index,
            delta,
        };
        write(self.room(at, out), event, &data);
    }

    /// Notes a piece of a call's arguments, which has been written: it may be the last.
    pub(super) fn argued(&mut self, at: usize, piece: &str, out: &mut BytesMut) {
        self.queue[at].arguments.take(piece);
        self.advance(out);
    }

    /// Nothing more is to come of a block.
    pub(super) fn close(&mut self, at: usize, out: &mut BytesMut) {
        self.queue[at].over = true;
        self.advance(out);
    }

    /// Nothing more is to come of any.
    pub(super) fn finish(&mut self, out: &mut BytesMut) {
        for block in &mut self.queue {
            block.over = true;
        }
        self.advance(out);
    }

    /// Whether more waits than is to be kept.
    pub(super) fn are_too_long(&self) -> bool {
        let held = self.queue.iter().skip(1).map(|block| block.held.len());
        held.sum::<usize>() > MOST_HELD
    }

    /// Where the events of a block are written.
    fn room<'a>(&'a mut self, at: usize, out: &'a mut BytesMut) -> &'a mut BytesMut {
        if at == 0 {
            out
        } else {
            &mut self.queue[at].held
        }
    }

    /// Closes what is over, and lets the next ones out.
    fn advance(&mut self, out: &mut BytesMut) {
        while let Some(first) = self.queue.front() {
            if !first.over && (self.queue.len() == 1 || !first.is_whole()) {
                return;
            }
            let event = json!({ "type": "content_block_stop", "index": first.index });
            write(out, "content_block_stop", &event);
            if let Kind::Call(ordinal) = first.kind {
                self.told.push(ordinal);
            }
            self.queue.pop_front();
            if let Some(next) = self.queue.front_mut() {
                out.put_slice(&std::mem::take(&mut next.held));
            }
        }
    }
}

/// A piece of a block.
#[derive(Serialize)]
struct Delta<T> {
    #[serde(rename = "type")]
    event: &'static str,
    index: usize,
    delta: T,
}

/// Writes an event where it is to stand. JSON that is written here has no line ends: those within
/// strings are escaped.
pub(super) fn write(out: &mut BytesMut, name: &str, data: &impl Serialize) {
    out.put_slice(b"event: ");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\ndata: ");
    serde_json::to_writer(out.writer(), data).expect("strings serialise into memory");
    out.put_slice(b"\n\n");
}
