//! Prices, balances and what a request is charged.
