//! From a model to an upstream that answers.
