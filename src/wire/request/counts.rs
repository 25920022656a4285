//! How much of what a request holds.

/// How much of what a request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Messages.
    pub messages: usize,
    /// Content parts, of all messages together.
    pub parts: usize,
    /// Tool calls of earlier answers.
    pub tool_calls: usize,
    /// Tools and functions declared.
    pub tools: usize,
    /// Images asked to be seen in low detail.
    pub low_images: usize,
    /// All other images.
    pub images: usize,
    /// Files.
    pub files: usize,
    /// Bytes of text as spelled: contents, names, arguments of calls.
    pub text_bytes: u64,
    /// Bytes of the declarations of tools and of the wanted format.
    pub schema_bytes: u64,
    /// Bytes of audio, in base64.
    pub audio_bytes: u64,
    /// Bytes of files, in base64.
    pub file_bytes: u64,
    /// Bytes of what messages have beside what this API knows: the reasoning of earlier answers, for one. What
    /// becomes of it is the upstream's affair, so it is no part of the estimate.
    pub other_bytes: u64,
    /// Members and elements at all levels.
    pub nodes: usize,
}

impl Counts {
    /// A guess at the prompt's tokens, good to some tens of percent for text:
    ///
    /// - text and declarations: a token for every 4 bytes;
    /// - each message: 4 tokens, the request: 3;
    /// - each image: 85 in low detail, else 765 (a square of 1024 pixels in OpenAI's tiling);
    /// - audio: a token for every 2048 bytes of base64 (MP3 at 128 kbit/s, 10 tokens a second);
    /// - each file: 1000, and a token for every 32 bytes of base64.
    #[must_use]
    pub fn input_estimate(&self) -> u64 {
        let text = self.text_bytes.saturating_add(self.schema_bytes);
        text.div_ceil(4)
            .saturating_add(4 * self.messages as u64 + 3)
            .saturating_add(85 * self.low_images as u64)
            .saturating_add(765 * self.images as u64)
            .saturating_add(self.audio_bytes.div_ceil(2048))
            .saturating_add(1000 * self.files as u64)
            .saturating_add(self.file_bytes.div_ceil(32))
    }

    /// The estimate with what else messages have, should the upstream read it.
    pub(crate) fn most_input(&self) -> u64 {
        let other = self.other_bytes.div_ceil(4);
        self.input_estimate().saturating_add(other)
    }
}

/// What a part of a request adds to the counts. A request is shorter than 4 GiB, so nothing of it is
/// more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) parts: u32,
    pub(super) tool_calls: u32,
    pub(super) tools: u32,
    pub(super) low_images: u32,
    pub(super) images: u32,
    pub(super) files: u32,
    pub(super) text_bytes: u32,
    pub(super) schema_bytes: u32,
    pub(super) audio_bytes: u32,
    pub(super) file_bytes: u32,
    pub(super) other_bytes: u32,
}

impl Sums {
    /// All at once, so that the compiler adds several in one step.
    #[inline(always)]
    pub(super) fn add(&mut self, other: &Self) {
        *self = Self {
            parts: self.parts + other.parts,
            tool_calls: self.tool_calls + other.tool_calls,
            tools: self.tools + other.tools,
            low_images: self.low_images + other.low_images,
            images: self.images + other.images,
            files: self.files + other.files,
            text_bytes: self.text_bytes + other.text_bytes,
            schema_bytes: self.schema_bytes + other.schema_bytes,
            audio_bytes: self.audio_bytes + other.audio_bytes,
            file_bytes: self.file_bytes + other.file_bytes,
            other_bytes: self.other_bytes + other.other_bytes,
        };
    }

    pub(super) fn counts(self, messages: usize, nodes: usize) -> Counts {
        Counts {
            messages,
            parts: self.parts as usize,
            tool_calls: self.tool_calls as usize,
            tools: self.tools as usize,
            low_images: self.low_images as usize,
            images: self.images as usize,
            files: self.files as usize,
            text_bytes: self.text_bytes.into(),
            schema_bytes: self.schema_bytes.into(),
            audio_bytes: self.audio_bytes.into(),
            file_bytes: self.file_bytes.into(),
            other_bytes: self.other_bytes.into(),
            nodes,
        }
    }
}
