use crate::{
    provider::json::Reader,
    wire::{ServiceTier, Usage, json::Fault},
};

/// The provider's counts: three disjoint ones of the prompt. Any may be absent or null.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    input: Option<u64>,
    cache_write: Option<u64>,
    /// Of `cache_write`.
    cache_write_1h: Option<u64>,
    cache_read: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
    searches: Option<u64>,
    /// How the request was served.
    pub(super) tier: Option<ServiceTier>,
}

impl Counts {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut counts = Self::default();
        // Where an answer took several passes, the counts above them are of one only.
        let mut passes: Option<Self> = None;
        reader.object(|reader, key| {
            match key {
                "input_tokens" => counts.input = reader.count()?,
                "cache_creation_input_tokens" => counts.cache_write = reader.count()?,
                "cache_read_input_tokens" => counts.cache_read = reader.count()?,
                "output_tokens" => counts.output = reader.count()?,
                "cache_creation" => reader.object(|reader, key| {
                    match key {
                        "ephemeral_1h_input_tokens" => counts.cache_write_1h = reader.count()?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?,
                "output_tokens_details" => reader.object(|reader, key| {
                    match key {
                        "thinking_tokens" => counts.thinking = reader.count()?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?,
                "server_tool_use" => reader.object(|reader, key| {
                    match key {
                        "web_search_requests" => counts.searches = reader.count()?,
                        _ => reader.skip()?,
                    }
                    Ok(())
                })?,
                "service_tier" => {
                    let name = reader.string()?.unwrap_or_default();
                    counts.tier = ServiceTier::named(name.0);
                }
                "iterations" => reader.array(|reader| {
                    let pass = Self::read(reader)?;
                    passes.get_or_insert_default().add(pass);
                    Ok(())
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        if let Some(passes) = passes {
            counts.update(passes);
        }
        Ok(counts)
    }

    fn members(&mut self) -> [&mut Option<u64>; 7] {
        [
            &mut self.input,
            &mut self.cache_write,
            &mut self.cache_write_1h,
            &mut self.cache_read,
            &mut self.output,
            &mut self.thinking,
            &mut self.searches,
        ]
    }

    fn add(&mut self, mut other: Self) {
        for (sum, more) in self.members().into_iter().zip(other.members()) {
            if let Some(more) = *more {
                *sum = Some(sum.unwrap_or(0).saturating_add(more));
            }
        }
    }

    /// Takes what a later report says; what it leaves out stays.
    pub(super) fn update(&mut self, mut later: Self) {
        for (known, said) in self.members().into_iter().zip(later.members()) {
            *known = said.or(*known);
        }
        self.tier = later.tier.or(self.tier);
    }

    /// `None` where no count could be read.
    pub(super) fn usage(&self) -> Option<Usage> {
        let counts = [self.input, self.cache_read, self.cache_write, self.output];
        if counts.iter().all(Option::is_none) {
            return None;
        }
        let read = self.cache_read.unwrap_or(0);
        let written = self.cache_write.unwrap_or(0);
        let plain = self.input.unwrap_or(0);
        let long = self.cache_write_1h.unwrap_or(0).min(written);
        let output = self.output.unwrap_or(0);
        let mut usage = Usage::new(plain.saturating_add(read).saturating_add(written), output);
        usage.cached_input = read;
        usage.cache_write = written - long;
        usage.cache_write_1h = long;
        usage.reasoning = self.thinking.unwrap_or(0).min(output);
        usage.web_searches = self.searches.unwrap_or(0);
        Some(usage)
    }
}
