//! What every test that moves money asks of the books when it is done: what users ask of theirs.

#![allow(
    unused_imports,
    unreachable_pub,
    reason = "each test file uses its part"
)]

pub use tower_completions::mock::{assert_conserved as conserved, assert_settled as settled};
