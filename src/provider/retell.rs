//! Events that have been written, told anew.

use bytes::{BufMut, BytesMut};
use memchr::memmem::find;

/// Writes a text of events, each anew where `tell` makes something else of its data. All others stay as they
/// are, and so does what is no whole event.
pub(super) fn retell(
    text: &[u8],
    out: &mut BytesMut,
    mut tell: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) {
    let mut rest = text;
    while let Some(end) = find(rest, b"\n\n") {
        let (event, behind) = rest.split_at(end + 2);
        let data = event.strip_prefix(b"data: ");
        match data.and_then(|data| tell(data.trim_ascii_end())) {
            Some(json) => {
                out.put_slice(b"data: ");
                out.put_slice(&json);
                out.put_slice(b"\n\n");
            }
            None => out.put_slice(event),
        }
        rest = behind;
    }
    out.put_slice(rest);
}
