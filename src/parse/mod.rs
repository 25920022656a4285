//! One parse of the request, shared by every layer.
