use std::sync::Arc;

use super::{Amount, Price, PriceBook, Unpriced, future::not_priced, layer::Config, quote::Extent};
use crate::{
    error::{Error, Kind},
    parse::Chat,
};

/// What the price book says of all that may answer a request, and what follows of it.
pub(super) struct Candidates {
    /// The price of what was asked for, or what is said for those that have none: nothing, where one that has
    /// a price may still answer in its place. `None` where nobody has one.
    pub(super) price: Option<Arc<Price>>,
    /// Whether that is one.
    pub(super) priced: bool,
    pub(super) otherwise: Otherwise,
    /// The most that the request may cost.
    pub(super) dearest: Amount,
    /// Whether that covers whoever answers. One without a price may, otherwise, and limited callers are refused.
    pub(super) known: bool,
}

/// What is charged for an answer by who has no price of its own.
#[derive(Clone)]
pub(super) enum Otherwise {
    /// The price of what was asked for.
    AsAsked,
    /// Nothing, and no cost is told.
    Nothing,
    /// What is said for all that have none.
    At(Arc<Price>),
}

impl<L> Config<L> {
    /// Who may answer, at which price.
    ///
    /// # Errors
    /// What nobody may be charged for: a price in another currency than the accounts, or none where
    /// all need one.
    pub(super) fn candidates(
        &self,
        book: &dyn PriceBook,
        chat: &Chat,
        extent: &Extent,
    ) -> Result<Candidates, Error> {
        let foreign = |price: &Price| price.currency() != self.currency;
        let (mut dearest, mut known, mut mixed) = (Amount::ZERO, true, false);
        // Whether one that has a price may answer, and whether one that has none and is not refused for it.
        let (mut any, mut bare) = (false, false);
        // The dearest prompt, of whoever may be asked beside who answers.
        let mut beside = Amount::ZERO;
        let mut see = |price: &Price| {
            any = true;
            dearest = dearest.max(extent.most(price));
            if self.rules.losers {
                beside = beside.max(extent.bound(price, 0));
            }
        };
        let mut show = |price: Option<&Price>| match (price, &self.unpriced) {
            (Some(price), _) if foreign(price) => mixed = true,
            (Some(price), _) => see(price),
            (None, Unpriced::Ceiling(price)) if foreign(price) => mixed = true,
            (None, Unpriced::Ceiling(price)) => {
                bare = true;
                see(price);
            }
            (None, Unpriced::Free) => bare = true,
            (None, Unpriced::Refuse | Unpriced::RefuseLimited) => known = false,
        };
        // One may answer itself also where the book has not shown it.
        let mut look_up = |model: &str| {
            let own = book.look_up(model, &mut show);
            if own.is_none() {
                show(None);
            }
            own
        };
        let own = look_up(chat.model());
        if self.rules.wishes {
            for model in chat.wished_models() {
                look_up(&model);
            }
        }
        let priced = own.is_some() || matches!(self.unpriced, Unpriced::Ceiling(_));
        let price = match (own, &self.unpriced) {
            (Some(price), _) => Some(price),
            (None, Unpriced::Ceiling(price)) => Some(Arc::clone(price)),
            (None, _) => any.then(|| Arc::new(Price::nothing(self.currency))),
        };
        if mixed || price.as_deref().is_some_and(foreign) {
            return Err(foreign_currency());
        }
        if !known && matches!(self.unpriced, Unpriced::Refuse) {
            return Err(not_priced());
        }
        let otherwise = match &self.unpriced {
            Unpriced::Ceiling(price) if bare => Otherwise::At(Arc::clone(price)),
            Unpriced::Free if bare => Otherwise::Nothing,
            _ => Otherwise::AsAsked,
        };
        Ok(Candidates {
            price,
            priced,
            otherwise,
            dearest: dearest.plus(beside),
            known,
        })
    }
}

/// The operator's mistake: it is not for the caller to know more of it.
fn foreign_currency() -> Error {
    let message = "The model's price is in another currency than the accounts.";
    Error::new(Kind::Internal, message)
        .with_param("model")
        .with_code("currency_mismatch")
}
