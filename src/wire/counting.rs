//! Reading `usage` as OpenAI writes it, and as others do who nearly do the same.

use super::{
    Usage,
    json::{Cursor, Fault, Number, Type},
};

/// Where a provider's counts depart from OpenAI's, in which the total is prompt and completion and
/// both include their details.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Counting {
    /// As OpenAI counts. When the total is larger by just the reasoning tokens, these were left
    /// out of the completion (xAI) and are added.
    #[default]
    Plain,
    /// What the total has beyond prompt and completion is output: thoughts on Gemini's compatible
    /// endpoint.
    OutputInTotal,
    /// What the total has beyond prompt and completion is input: audio at Mistral.
    InputInTotal,
}

/// The members of a `usage` object, as they stand there.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    cached: u64,
    hits: u64,
    written: u64,
    audio_in: u64,
    images: u64,
    reasoning: u64,
    audio_out: u64,
    images_out: u64,
    searches: u64,
    cost: Option<u64>,
    absurd: bool,
}

impl Usage {
    /// Reads the value of a `usage` member at the cursor; `None` when it is not an object or names
    /// neither prompt nor completion. Of a count that stands under both of its names
    /// (`prompt_tokens` and `input_tokens`) the larger one is taken.
    ///
    /// Counts that are missing, negative or not integers are taken as zero, parts larger than their
    /// whole are cut, and [`clamped`](Self::clamped) says so.
    ///
    /// ```
    /// use tower_completions::wire::{Counting, Usage, json::Cursor};
    ///
    /// let text = r#"{"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 303,
    ///     "completion_tokens_details": {"reasoning_tokens": 290}}"#;
    /// let usage = Usage::read(&mut Cursor::new(text), Counting::Plain)?.expect("counts");
    /// assert_eq!((usage.input, usage.output, usage.reasoning), (12, 291, 290));
    /// # Ok::<(), tower_completions::wire::json::Fault>(())
    /// ```
    ///
    /// # Errors
    /// When the text is not JSON.
    pub fn read(cursor: &mut Cursor<'_>, counting: Counting) -> Result<Option<Self>, Fault> {
        if cursor.peek()? != Type::Object {
            cursor.skip()?;
            return Ok(None);
        }
        let mut counts = Counts::default();
        counts.read(cursor)?;
        Ok(counts.settle(counting).map(|(usage, _)| usage))
    }

    /// Whether a `usage` that was read says what cannot be: a count that is negative, a fraction or beyond
    /// all bounds, a part larger than its whole, one count without the other. A total that is larger than
    /// both is the vendor's own affair.
    #[cold]
    pub(crate) fn is_garbled(spelled: &str, counting: Counting) -> bool {
        let mut counts = Counts::default();
        let read = counts.read(&mut Cursor::new(spelled));
        let settled = read.ok().and_then(|()| counts.settle(counting));
        settled.is_none_or(|(mut usage, garbled)| {
            usage.clamped = false;
            garbled || usage.plausible().clamped
        })
    }
}

impl Counts {
    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        cursor.object()?;
        while let Some(key) = cursor.next_key()? {
            match key.bytes() {
                // Some write both names, one of them with zero or null: what is said counts.
                b"prompt_tokens" | b"input_tokens" => {
                    self.prompt = self.whole(cursor)?.max(self.prompt);
                }
                b"completion_tokens" | b"output_tokens" => {
                    self.completion = self.whole(cursor)?.max(self.completion);
                }
                b"total_tokens" => self.total = self.whole(cursor)?,
                // DeepSeek's name for what was cached, and Moonshot's place for it.
                b"prompt_cache_hit_tokens" | b"cached_tokens" => {
                    self.hits = self.count(cursor)?.max(self.hits);
                }
                b"reasoning_tokens" => self.reasoning = self.count(cursor)?.max(self.reasoning),
                b"num_search_queries" => self.searches = self.count(cursor)?,
                b"prompt_tokens_details" | b"input_tokens_details" => {
                    self.input_details(cursor)?;
                }
                b"completion_tokens_details" | b"output_tokens_details" => {
                    self.output_details(cursor)?;
                }
                b"cost" if cursor.peek()? == Type::Number => {
                    self.cost = picodollars(cursor.number()?, 12);
                }
                b"cost" if cursor.peek()? == Type::Object => self.parts_of_cost(cursor)?,
                b"cost_in_usd_ticks" if cursor.peek()? == Type::Number => {
                    self.cost = picodollars(cursor.number()?, 2);
                }
                _ => cursor.skip().map(drop)?,
            }
        }
        Ok(())
    }

    /// What Perplexity states, beside what it is made of.
    fn parts_of_cost(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        cursor.object()?;
        while let Some(key) = cursor.next_key()? {
            if key.bytes() == b"total_cost" && cursor.peek()? == Type::Number {
                self.cost = picodollars(cursor.number()?, 12);
            } else {
                cursor.skip()?;
            }
        }
        Ok(())
    }

    fn input_details(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        if cursor.peek()? != Type::Object {
            return cursor.skip().map(drop);
        }
        cursor.object()?;
        while let Some(key) = cursor.next_key()? {
            match key.bytes() {
                b"cached_tokens" => self.cached = self.count(cursor)?.max(self.cached),
                // OpenAI's name, Alibaba's and LiteLLM's.
                b"cache_write_tokens"
                | b"cache_creation_input_tokens"
                | b"cache_creation_tokens" => {
                    self.written = self.count(cursor)?.max(self.written);
                }
                b"audio_tokens" => self.audio_in = self.count(cursor)?.max(self.audio_in),
                b"image_tokens" => self.images = self.count(cursor)?.max(self.images),
                _ => cursor.skip().map(drop)?,
            }
        }
        Ok(())
    }

    fn output_details(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        if cursor.peek()? != Type::Object {
            return cursor.skip().map(drop);
        }
        cursor.object()?;
        while let Some(key) = cursor.next_key()? {
            match key.bytes() {
                b"reasoning_tokens" => self.reasoning = self.count(cursor)?.max(self.reasoning),
                b"audio_tokens" => self.audio_out = self.count(cursor)?.max(self.audio_out),
                b"image_tokens" => self.images_out = self.count(cursor)?.max(self.images_out),
                _ => cursor.skip().map(drop)?,
            }
        }
        Ok(())
    }

    /// A count; null is none, and so is nonsense, which is remembered.
    fn whole(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<u64>, Fault> {
        // Nearly always it is that.
        if let Some(count) = cursor.plain_integer() {
            return Ok(Some(count));
        }
        if cursor.peek()? == Type::Number {
            let number = cursor.number()?;
            let count = number.as_u64();
            self.absurd |= count.is_none();
            return Ok(Some(count.unwrap_or(0)));
        }
        self.absurd |= cursor.peek()? != Type::Null;
        cursor.skip()?;
        Ok(None)
    }

    fn count(&mut self, cursor: &mut Cursor<'_>) -> Result<u64, Fault> {
        Ok(self.whole(cursor)?.unwrap_or(0))
    }

    /// The usage, and whether anything in it but the total cannot be.
    fn settle(self, counting: Counting) -> Option<(Usage, bool)> {
        if self.prompt.is_none() && self.completion.is_none() {
            return None;
        }
        let mut usage = Usage::new(self.prompt.unwrap_or(0), self.completion.unwrap_or(0));
        let mut garbled = self.absurd || self.prompt.is_none() || self.completion.is_none();
        let beyond = self
            .total
            .map_or(0, |total| total.saturating_sub(usage.total()));
        if beyond > 0 {
            match counting {
                Counting::Plain if beyond == self.reasoning => usage.output += beyond,
                Counting::Plain => usage.clamped = true,
                Counting::OutputInTotal => usage.output += beyond,
                Counting::InputInTotal => usage.input += beyond,
            }
        }
        let mut part = |count: u64, whole: u64| {
            garbled |= count > whole;
            count.min(whole)
        };
        let (input, output) = (usage.input, usage.output);
        let cached = part(self.cached.max(self.hits), input);
        let written = part(self.written, input - cached);
        let audio_in = part(self.audio_in, input);
        let images = part(self.images, input);
        let reasoning = part(self.reasoning, output);
        let audio_out = part(self.audio_out, output);
        let images_out = part(self.images_out, output);
        usage.cached_input = cached;
        usage.cache_write = written;
        usage.audio_input = audio_in;
        usage.image_input = images;
        usage.reasoning = reasoning;
        usage.audio_output = audio_out;
        usage.image_output = images_out;
        usage.web_searches = self.searches;
        usage.reported_cost = self.cost;
        usage.clamped |= garbled;
        Some((usage, garbled))
    }
}

/// The number times a power of ten, by its digits; `None` when it is negative or does not fit.
/// What is smaller than one is cut off.
fn picodollars(number: Number<'_>, power: i64) -> Option<u64> {
    let text = number.text();
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse().ok()?),
        None => (text, 0_i64),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let shift = power
        .checked_add(exponent)?
        .checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let mut value = 0_u64;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = char::from(digit).to_digit(10)?;
        value = value.checked_mul(10)?.checked_add(digit.into())?;
    }
    if value == 0 {
        return Some(0);
    }
    let scale = 10_u64.checked_pow(u32::try_from(shift.unsigned_abs()).unwrap_or(u32::MAX));
    match scale {
        Some(scale) if shift >= 0 => value.checked_mul(scale),
        Some(scale) => Some(value / scale),
        None if shift >= 0 => None,
        None => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, counting: Counting) -> Option<Usage> {
        Usage::read(&mut Cursor::new(text), counting).expect("JSON")
    }

    #[test]
    fn what_each_provider_writes() {
        let plain = |text| read(text, Counting::Plain).expect("counts");
        let openai = plain(
            r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
            "prompt_tokens_details":{"cached_tokens":60,"audio_tokens":3,"text_tokens":97},
            "completion_tokens_details":{"reasoning_tokens":20,"image_tokens":7,"audio_tokens":null}}"#,
        );
        let mut expected = Usage::new(100, 50);
        expected.cached_input = 60;
        expected.audio_input = 3;
        expected.reasoning = 20;
        expected.image_output = 7;
        assert_eq!(openai, expected);

        let deepseek = plain(
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,
            "prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6}"#,
        );
        assert_eq!(deepseek.cached_input, 4);

        let alibaba = plain(
            r#"{"prompt_tokens":30,"completion_tokens":5,"total_tokens":35,"prompt_tokens_details":
            {"cached_tokens":10,"cache_creation_input_tokens":15,"cache_type":"ephemeral"}}"#,
        );
        assert_eq!((alibaba.cached_input, alibaba.cache_write), (10, 15));

        let moonshot = plain(
            r#"{"prompt_tokens":19,"completion_tokens":21,"total_tokens":40,"cached_tokens":10}"#,
        );
        assert_eq!((moonshot.cached_input, moonshot.clamped), (10, false));

        let gemini = r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":40}"#;
        assert!(plain(gemini).clamped);
        let thoughts = read(gemini, Counting::OutputInTotal).expect("counts");
        assert_eq!((thoughts.input, thoughts.output), (10, 30));
        let audio = read(gemini, Counting::InputInTotal).expect("counts");
        assert_eq!((audio.input, audio.output), (35, 5));

        let cut = plain(
            r#"{"prompt_tokens":2,"completion_tokens":-1,"prompt_tokens_details":{"cached_tokens":9}}"#,
        );
        assert!(cut.clamped);
        assert_eq!((cut.cached_input, cut.output), (2, 0));

        assert_eq!(read("null", Counting::Plain), None);
        assert_eq!(read("{}", Counting::Plain), None);
        assert_eq!(read("[1]", Counting::Plain), None);
    }

    #[test]
    fn of_two_names_for_one_count_the_larger_one_counts() {
        let plain = |text: &str| read(text, Counting::Plain).expect("counts");
        let mut expected = Usage::new(9, 12);
        (expected.cached_input, expected.reasoning) = (4, 3);
        for other in [
            r#""input_tokens":0,"output_tokens":0,"input_tokens_details":{"cached_tokens":0},"output_tokens_details":{"reasoning_tokens":0},"reasoning_tokens":0"#,
            r#""input_tokens":null,"output_tokens":null,"input_tokens_details":null,"output_tokens_details":null,"reasoning_tokens":null"#,
            r#""input_tokens":9,"output_tokens":12"#,
        ] {
            let usual = r#""prompt_tokens":9,"completion_tokens":12,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":3}"#;
            for (first, second) in [(usual, other), (other, usual)] {
                let text = format!("{{{first},{second}}}");
                assert_eq!(plain(&text), expected, "{other}");
            }
        }
        let zero = r#"{"prompt_tokens":0,"input_tokens":0,"completion_tokens":0}"#;
        assert_eq!(plain(zero), Usage::new(0, 0), "zero is zero");
    }

    #[test]
    fn the_cost_that_a_provider_states() {
        for (cost, expected) in [
            (r#""cost":0.00014"#, Some(140_000_000)),
            (r#""cost":1e-12"#, Some(1)),
            (r#""cost":2.5E-13"#, Some(0)),
            (r#""cost":0"#, Some(0)),
            (r#""cost":1e30"#, None),
            (r#""cost":-1"#, None),
            // Perplexity's.
            (
                r#""cost":{"input_tokens_cost":1e-5,"request_cost":0.005,"total_cost":0.00501}"#,
                Some(5_010_000_000),
            ),
            (r#""cost":{"total_cost":null}"#, None),
            (r#""cost":{}"#, None),
            (r#""cost":[1]"#, None),
            (r#""cost_in_usd_ticks":37756000"#, Some(3_775_600_000)),
        ] {
            let text = format!(r#"{{"prompt_tokens":1,{cost}}}"#);
            let usage = read(&text, Counting::Plain).expect("counts");
            assert_eq!(usage.reported_cost, expected, "{cost}");
        }
    }
}
