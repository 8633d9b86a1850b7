//! Events of a stream, numbered.

use crate::json;

/// What numbers the events of one answer, or keeps silent where the answer comes whole.
#[derive(Debug)]
pub(super) struct Events {
    next: Option<u64>,
}

impl Events {
    /// For a stream.
    pub(super) fn numbered() -> Self {
        Self { next: Some(0) }
    }

    /// For a whole answer.
    pub(super) fn silent() -> Self {
        Self { next: None }
    }

    /// Writes an event. `fields` writes what it holds besides its name and number, each with a comma before.
    pub(super) fn say(&mut self, out: &mut Vec<u8>, name: &str, fields: impl FnOnce(&mut Vec<u8>)) {
        let Some(number) = self.next else { return };
        self.next = Some(number + 1);
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: {\"type\":\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(br#"","sequence_number":"#);
        json::number(out, number);
        fields(out);
        out.extend_from_slice(b"}\n\n");
    }
}
