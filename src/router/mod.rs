//! The router: each request to a target of the model it names, and on to the next when that fails.
//!
//! A [`Table`] says which targets a model has; [`Router`] asks them through any service and keeps
//! what it learns of them: breakers, dead and resting keys, load.
//!
//! ```
//! use tower_completions::router::{Candidate, Model, Router, Table};
//!
//! let table = Table::new([
//!     Model::new("openai/gpt-4o-mini")
//!         .alias("gpt-4o-mini")
//!         .target(Candidate::new("openai", "gpt-4o-mini"))
//!         .fallback("anthropic/claude-sonnet-4"),
//!     Model::new("anthropic/claude-sonnet-4")
//!         .target(Candidate::new("anthropic", "claude-sonnet-4")),
//! ])?;
//! # use tower_completions::{mock::Upstream, provider::{Provider, openai::OpenAi}};
//! # let translate = OpenAi::new("http://upstream/v1")?;
//! # let openai = Provider::new("openai", Upstream::new(), translate).with_keys(["sk-1", "sk-2"]);
//! # let anthropic = openai.clone();
//! let router = Router::builder(table)
//!     .provider("openai", openai)
//!     .provider("anthropic", anthropic)
//!     .build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ask;
mod attempt;
mod body;
mod breaker;
mod budget;
mod builder;
mod choose;
pub mod commit;
mod course;
mod fault;
mod future;
mod health;
mod hedge;
mod keys;
mod mistake;
mod names;
mod place;
mod plan;
mod policy;
mod rules;
mod run;
mod service;
mod silence;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod way;

pub use ask::{Needs, Preferences, Routable, Sort, Sticky, Wishes};
pub use body::ResponseBody;
pub use breaker::Breaking;
pub use builder::Builder;
pub use commit::{Commit, CommitLayer};
pub use future::ResponseFuture;
pub use health::{Health, Probe};
pub use hedge::{Hedge, LoserCharge};
pub use mistake::{BuildError, Mistake};
pub use plan::{Balance, Candidate, Model, Plan, Route};
pub use policy::{Blame, Next, Policy};
pub use service::Router;
pub use state::Adaptive;
pub use table::{Live, Table, TableError};
