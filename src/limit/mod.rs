//! Limits on requests, tokens and concurrency.
