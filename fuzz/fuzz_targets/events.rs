//! The event decoder: whatever comes, in whatever pieces, no byte is lost and no event depends on where the pieces end.
//!
//! Input: a byte that chooses the framing and the size of the pieces, then the body.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use libra_core::sse::{Decoder, Frame, Framing};

fuzz_target!(|input: &[u8]| {
    let Some((&choice, body)) = input.split_first() else { return };
    let framing = if choice & 1 == 0 { Framing::Sse } else { Framing::Array };
    let size = usize::from(choice >> 1) + 1;

    let (whole, whole_rest) = decode(framing, body, body.len().max(1));
    let (frames, rest) = decode(framing, body, size);
    assert_eq!(frames, whole, "events in pieces of {size} bytes");
    assert_eq!(rest, whole_rest, "the rest in pieces of {size} bytes");

    let mut joined: Vec<u8> = frames.iter().flat_map(|frame| frame.raw.iter().copied()).collect();
    joined.extend_from_slice(&rest);
    assert_eq!(joined, body, "bytes lost or invented");

    for frame in &frames {
        // Read for its panics; what it should hold is the unit tests' business.
        let _ = frame.data();
    }
    let _ = Frame::of_rest(framing, rest).data();

    assert_eq!(passed_through(framing, body, size), body, "bytes lost or invented in passing through");
});

fn decode(framing: Framing, body: &[u8], size: usize) -> (Vec<Frame>, Bytes) {
    let mut decoder = Decoder::new(framing);
    let mut frames = Vec::new();
    for piece in body.chunks(size) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(frame) = decoder.next_frame() {
            frames.push(frame);
        }
    }
    let rest = decoder.rest();
    assert_eq!(decoder.held(), 0, "something is left of the rest");
    (frames, rest)
}

/// As a native stream goes through: all whole events in one piece, and what grows too large without waiting for its end.
fn passed_through(framing: Framing, body: &[u8], size: usize) -> Vec<u8> {
    const BOUND: usize = 64;
    let mut decoder = Decoder::new(framing);
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(whole) = decoder.whole() {
            out.extend_from_slice(&whole);
        }
        if decoder.held() > BOUND {
            out.extend_from_slice(&decoder.overflow());
        }
    }
    out.extend_from_slice(&decoder.rest());
    out
}
