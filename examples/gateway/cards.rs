//! What `GET /v1/models` tells of each model, and for whom.

use tower_completions::{
    Error,
    cost::{PriceBook, Prices},
    error::Kind,
    models::Card,
};

use crate::config::{Config, Model};

/// Marks a key whose account has an end, by a balance or a budget: it may use no model without a price.
pub struct Limited;

pub fn of(config: &Config, prices: &Prices) -> Vec<Card> {
    let models = config.models.iter();
    models.map(|model| card(model, prices)).collect()
}

fn card(model: &Model, prices: &Prices) -> Card {
    let owner = model.id.split_once('/');
    let owner = owner.map_or("gateway", |(owner, _)| owner);
    let mut card = Card::new(model.id.as_str()).owned_by(owner);
    for alias in &model.aliases {
        card = card.alias(alias.as_str());
    }
    let prices = prices.clone();
    card.refused_to(move |caller, asked| {
        caller.get::<Limited>()?;
        let mut is_priced = true;
        prices.candidates(asked, &mut |price| is_priced &= price.is_some());
        (!is_priced).then(not_priced)
    })
}

/// As a completion is refused.
fn not_priced() -> Error {
    let message = "The model, or one that may answer in its place, has no price to charge.";
    Error::new(Kind::Permission, message)
        .with_param("model")
        .with_code("model_not_priced")
}
