//! Longer texts: how the parts work together, and what they promise.

#[doc = include_str!("../docs/layers.md")]
pub mod layers {}
#[doc = include_str!("../docs/validation.md")]
pub mod validation {}
#[doc = include_str!("../docs/money.md")]
pub mod money {}
#[doc = include_str!("../docs/limits.md")]
pub mod limits {}
#[doc = include_str!("../docs/streaming.md")]
pub mod streaming {}
#[doc = include_str!("../docs/routing.md")]
pub mod routing {}
#[doc = include_str!("../docs/providers.md")]
pub mod providers {}
#[doc = include_str!("../docs/nodes.md")]
pub mod nodes {}
#[doc = include_str!("../docs/migrating.md")]
pub mod migrating {}
#[doc = include_str!("../docs/comparison.md")]
pub mod comparison {}
