//! The request validator.
