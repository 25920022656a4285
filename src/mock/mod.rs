//! A scriptable provider to test against.
