//! The whole gateway as one service.
