//! Providers: translation to and from their own APIs.
