//! What a response turned out to be: its usage, its ending, and the guard that settles on it.
//!
//! Usage travels from the inside out: the innermost body that sees token usage puts a shared
//! [`Tally`] into the response's extensions. An outer layer keeps a guard in the body it returns,
//! through [`Metered`], and settles it once with what the tally says at the end. Where nobody inside
//! keeps one, a [`Scanner`] reads the answer as it passes.

mod metered;
mod quote;
mod scan;
mod tally;

pub use metered::{Ending, Metered, Once, Settle};
pub use quote::{Known, Purpose, Quote};
pub use scan::Scanner;
pub(crate) use scan::{Answer, speech};
pub(crate) use tally::Seen;
pub use tally::{Outcome, Tally};
