//! Reading one chunk of a stream, or one whole answer, and gathering what must change in it.

use super::{
    choices::Choices,
    config::Config,
    edits::{Edits, Object, Pinned},
    fault,
    names::Has,
    pass::{Bad, Form, Pass, Seen},
    whole,
};
use crate::{
    error::{Error, Kind},
    meter::Tally,
    wire::{
        ServiceTier, Usage,
        json::{Cursor, Type},
        shape,
    },
};

/// Reads the texts of one answer, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) config: Config,
    pub(super) tally: Tally,
    pub(super) pinned: Pinned,
    pub(super) edits: Edits,
    /// The last usage that was stated, as it was spelled; kept only when it must be sent again.
    pub(super) usage_text: Vec<u8>,
    pub(super) choices: Choices,
    pub(super) model_told: bool,
    tier_told: bool,
    /// The usage in the tally is what was read here.
    counts: bool,
    /// The last usage that was stated cannot be: what is charged is told in its place.
    pub(super) garbled: bool,
}

impl Reader {
    pub(super) fn new(config: Config, tally: Tally) -> Self {
        let pinned = Pinned {
            model: config.model.clone(),
            ..Pinned::default()
        };
        Self {
            config,
            tally,
            pinned,
            edits: Edits::default(),
            usage_text: Vec::new(),
            choices: Choices::default(),
            model_told: false,
            tier_told: false,
            counts: false,
            garbled: false,
        }
    }

    /// Reads one text; the changes it needs are in `edits`.
    ///
    /// # Errors
    /// It is not JSON, or has more choices or calls than anything sensible.
    pub(super) fn read(&mut self, text: &str, form: Form) -> Result<Seen, Error> {
        self.edits.clear();
        self.answer(text, form).map_err(|bad| match bad {
            Bad::Json(fault) => Error::new(
                Kind::BadUpstream,
                "The provider sent an answer that is not valid JSON.",
            )
            .with_source(fault.to_string()),
            Bad::Limit(what) => Error::new(
                Kind::BadUpstream,
                format!("The provider sent an answer with too many {what}."),
            ),
            Bad::Shape(what) => {
                fault::nonsense("The provider sent an answer that no client could read.")
                    .with_source(format!("`{what}` is of another type"))
            }
        })
    }

    fn answer(&mut self, text: &str, form: Form) -> Result<Seen, Bad> {
        let mut seen = Seen::default();
        let mut cursor = Cursor::new(text);
        let c = &mut cursor;
        c.object()?;
        let mut object = Object::new(c.at());
        let mut has = Has::default();
        // Some errors are flat objects, without a member that says so.
        let mut said = false;
        // Usage stands where it belongs.
        let mut on_top = false;
        while let Some(key) = c.next_key()? {
            let start = key.range().start - 1;
            object.key(start, &mut self.edits);
            let kind = c.peek()?;
            match (key.bytes(), kind) {
                (b"id", kind) => self.id(text, c.next_value()?, kind, form, &mut has),
                (b"object", _) => self.object(text, c.next_value()?, form, &mut has),
                (b"created", _) => self.created(text, c.next_value()?, form, &mut has),
                (b"model", kind) => self.model(text, c.next_value()?, kind, form, &mut has),
                (b"choices", Type::Array) => {
                    has.choices = true;
                    self.choices(text, c, form, &mut seen)?;
                }
                (b"choices", _) => {
                    let at = c.next_value()?;
                    if !shape::is_nothing(&text[at.clone()]) {
                        return Err(Bad::Shape("choices"));
                    }
                    has.choices = true;
                    self.edits.replace(at, "[]");
                }
                (b"usage", _) => {
                    let at = c.at();
                    on_top = self.usage(text, c, &mut seen)?;
                    seen.usage_at = Some(at..c.at());
                    if form == Form::Chunk && !self.config.include_usage {
                        object.remove(start, c.at(), &mut self.edits);
                        continue;
                    }
                }
                (b"error", kind) => {
                    c.next_value()?;
                    seen.failed |= kind != Type::Null;
                }
                (b"message" | b"detail", kind) => {
                    c.next_value()?;
                    said |= kind != Type::Null;
                }
                (b"service_tier", Type::String) if !self.tier_told => {
                    self.tell_tier(&c.string()?.cow());
                }
                (b"obfuscation", Type::String) => seen.filler = Some(c.string()?.range()),
                (b"x_groq", Type::Object) => self.usage_within(text, c, &mut seen)?,
                _ if self.config.cost_is_ours && *key.cow() == *"cost" => {
                    let end = c.next_value()?.end;
                    object.remove(start, end, &mut self.edits);
                    continue;
                }
                (name, kind) => {
                    let usual: [&[u8]; 2] = [b"service_tier", b"system_fingerprint"];
                    seen.more |= kind != Type::Null && !usual.contains(&name);
                    c.next_value()?;
                }
            }
            object.keep(c.at());
        }
        c.end()?;
        object.close(&mut self.edits);
        if on_top {
            seen.usage_elsewhere = None;
        }
        seen.failed |= said && seen.choices.is_none() && seen.usage_at.is_none();
        self.name_all(form, &has, &mut object);
        if form == Form::Chunk && self.config.include_usage && !seen.is_usage_alone() {
            match seen.usage_at.clone() {
                None => object.add("\"usage\":null", &mut self.edits),
                Some(at) if text[at.clone()] != *"null" => self.edits.replace(at, "null"),
                Some(_) => {}
            }
        }
        Ok(seen)
    }

    fn choices(
        &mut self,
        text: &str,
        c: &mut Cursor<'_>,
        form: Form,
        seen: &mut Seen,
    ) -> Result<(), Bad> {
        let mut pass = Pass {
            text,
            form,
            edits: &mut self.edits,
            seen,
        };
        let choices = self.choices.read(c, &mut pass)?;
        seen.choices = Some(choices);
        if let Some(at) = seen.inner_usage {
            let mut inner = Cursor::within(text.as_bytes(), at, usize::MAX);
            if self.usage(text, &mut inner, seen)? {
                seen.usage_elsewhere = Some(at..inner.at());
            }
        }
        Ok(())
    }

    /// The `usage` within a member of a vendor's own, and what says there why a stream is broken off.
    fn usage_within(&mut self, text: &str, c: &mut Cursor<'_>, seen: &mut Seen) -> Result<(), Bad> {
        c.object()?;
        while let Some(key) = c.key()? {
            if key.bytes() != b"usage" {
                seen.failed |= key.bytes() == b"error" && c.peek()? != Type::Null;
                c.skip()?;
                continue;
            }
            c.peek()?;
            let at = c.at();
            if self.usage(text, c, seen)? {
                seen.usage_elsewhere = Some(at..c.at());
            }
        }
        Ok(())
    }

    /// The tier that the answer names is the one that is priced, whatever was asked for.
    #[cold]
    pub(super) fn tell_tier(&mut self, name: &str) {
        self.tier_told = true;
        if let Some(tier) = ServiceTier::named(name) {
            self.tally.record_service_tier(tier);
        }
    }

    /// A `usage`, wherever it stands; whether it says anything.
    fn usage(&mut self, text: &str, c: &mut Cursor<'_>, seen: &mut Seen) -> Result<bool, Bad> {
        if c.peek()? == Type::Null {
            c.null()?;
            return Ok(false);
        }
        let at = c.at();
        let usage = Usage::read(c, self.config.counting)?;
        let stated = usage.is_some();
        if let Some(usage) = usage {
            self.note_usage(usage, &text.as_bytes()[at..c.at()], seen);
        }
        Ok(stated)
    }

    /// Notes of which moment the counts are: those that come with the finish or behind it are of the whole
    /// answer. What a provider counts itself, it has done before its finish is read.
    pub(super) fn date_counts(&self, seen: &Seen) {
        if (seen.usage || !self.counts) && self.choices.is_finished() {
            self.tally.counts_are_whole(seen.is_usage_alone());
        }
    }

    pub(super) fn note_usage(&mut self, usage: Usage, spelled: &[u8], seen: &mut Seen) {
        seen.usage = true;
        let mut usage = usage.plausible();
        self.garbled = usage.clamped
            && (whole::is_partial(usage) || {
                let text = String::from_utf8_lossy(spelled);
                Usage::is_garbled(&text, self.config.counting)
            });
        if usage.clamped && usage.input == 0 {
            // Those further out cannot tell.
            usage.input = self.config.input_estimate;
        }
        // What a provider has counted itself says more than what it tells in our terms.
        if self.counts {
            self.tally.record_usage(usage);
        } else {
            self.counts = self.tally.record_first_usage(usage);
            self.garbled |= !self.counts && self.tally.usage().is_some_and(whole::is_partial);
        }
        if self.config.include_usage {
            self.usage_text.clear();
            self.usage_text.extend_from_slice(spelled);
        }
    }
}
