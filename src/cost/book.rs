use std::sync::Arc;

use super::Price;
use crate::ext::Served;

/// Knows what models cost.
///
/// It is asked on the way of each request, and again when an answer is settled, which may be in `Drop`:
/// it must neither block nor panic. What has to be fetched is fetched beside it, and looked up here. A
/// closure is a book too:
///
/// ```
/// use std::sync::Arc;
/// use tower_completions::cost::{CostLayer, MemoryLedger, Price};
///
/// let price = Arc::new(Price::new("0.15", "0.60")?);
/// let book = move |model: &str| model.starts_with("gpt-").then(|| Arc::clone(&price));
/// let layer = CostLayer::new(book, MemoryLedger::new());
/// # let _ = layer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not know prices",
    label = "not a `PriceBook`",
    note = "`cost::Prices` is one, and so is `Fn(&str) -> Option<Arc<Price>>`"
)]
pub trait PriceBook: Send + Sync {
    /// The price of a model by its configured id, or by any name that clients use for it; `None`
    /// when it is not known, which is not the same as free.
    fn price(&self, model: &str) -> Option<Arc<Price>>;

    /// Shows the prices of all that may answer in a model's place, itself included: what a hold must
    /// cover. One without a price is `None`. Default: its own alone.
    fn candidates(&self, model: &str, see: &mut dyn FnMut(Option<&Price>)) {
        see(self.price(model).as_deref());
    }

    /// Both: shows the [candidates](Self::candidates) and returns the [price](Self::price), as each
    /// request needs them. For a book that finds them together. Default: one after the other.
    fn look_up(&self, model: &str, see: &mut dyn FnMut(Option<&Price>)) -> Option<Arc<Price>> {
        self.candidates(model, see);
        self.price(model)
    }

    /// The price of what has answered: who served, and the model that the provider named in its
    /// answer, as far as that is known. Default: the price of the configured model that was served.
    fn answered(&self, served: &Served, _model: Option<&str>) -> Option<Arc<Price>> {
        self.price(&served.name())
    }

    /// The book as it stands now: a request asks once, when it arrives, and keeps to that until it
    /// is settled. Default: `None`, for a book that never changes.
    fn snapshot(&self) -> Option<Arc<dyn PriceBook>> {
        None
    }
}

impl<F> PriceBook for F
where
    F: Fn(&str) -> Option<Arc<Price>> + Send + Sync,
{
    fn price(&self, model: &str) -> Option<Arc<Price>> {
        self(model)
    }
}
