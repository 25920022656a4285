//! The list of models.
