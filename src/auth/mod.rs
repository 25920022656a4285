//! Authentication by bearer keys.
