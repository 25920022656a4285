//! Server-sent events and their kin: bytes in, events out, and back.
