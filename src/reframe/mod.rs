//! The re-framer of streams.
