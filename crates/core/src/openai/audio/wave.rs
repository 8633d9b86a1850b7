//! What Gemini speaks (16 bits, little-endian, mono), and WAV files.

use crate::gemini::response::Text;

/// What Gemini speaks where it does not say otherwise.
pub(in crate::openai) const RATE: u32 = 24_000;

/// The samples a second that `audio/L16;codec=pcm;rate=24000` names.
pub(in crate::openai) fn sample_rate(mime_type: Text<'_>) -> Option<u32> {
    mime_type.escaped().split(';').find_map(|field| field.trim().strip_prefix("rate=")?.parse().ok())
}

/// The header of a WAV file with so many bytes of sound. None: nobody knows how many will come, and the sizes are as
/// large as they can be, by which players know a stream.
pub(in crate::openai) fn header(rate: u32, length: Option<usize>) -> [u8; 44] {
    let length = length.and_then(|length| u32::try_from(length).ok()).unwrap_or(u32::MAX);
    let mut header = *b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\0\0\0\0\0\0\0\0\x02\0\x10\0data\0\0\0\0";
    header[4..8].copy_from_slice(&length.saturating_add(36).to_le_bytes());
    header[24..28].copy_from_slice(&rate.to_le_bytes());
    header[28..32].copy_from_slice(&rate.saturating_mul(2).to_le_bytes());
    header[40..44].copy_from_slice(&length.to_le_bytes());
    header
}

/// How many seconds a WAV file lasts; none where it is no file that says so.
pub(super) fn seconds(file: &[u8]) -> Option<f64> {
    let number = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
    };
    if file.get(..4)? != b"RIFF" || file.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut rest = file.get(12..)?;
    let mut bytes_a_second = None;
    loop {
        let name = rest.get(..4)?;
        let length = number(rest, 4)? as usize;
        let chunk = &rest[8..];
        match name {
            b"fmt " => bytes_a_second = number(chunk, 8).filter(|rate| *rate > 0),
            // A stream's length is not known before its end.
            b"data" => return Some(length.min(chunk.len()) as f64 / f64::from(bytes_a_second?)),
            _ => {}
        }
        // Chunks have even lengths.
        rest = chunk.get(length.checked_add(length % 2)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_tell_how_long_it_is() {
        let header_of = header(24_000, Some(480));
        assert_eq!(header_of[4..8], 516_u32.to_le_bytes());
        assert_eq!(header_of[24..28], 24_000_u32.to_le_bytes());
        assert_eq!(header_of[28..32], 48_000_u32.to_le_bytes());
        assert_eq!(header_of[40..], 480_u32.to_le_bytes());
        assert_eq!(header(24_000, None)[40..], [0xFF; 4]);
        assert_eq!(seconds(&[&header_of[..], &[0; 480]].concat()), Some(0.01));
        assert_eq!(seconds(&[&header(24_000, None)[..], &[0; 48_000]].concat()), Some(1.0));
    }

    #[test]
    fn chunks_before_the_sound_are_skipped() {
        let header = header(8_000, Some(16_000));
        let list = b"LIST\x03\0\0\0abc\0";
        let file = [&header[..36], list, &header[36..], &[0; 16_000]].concat();
        assert_eq!(seconds(&file), Some(1.0));
        for end in 0..file.len().min(60) {
            let _ = seconds(&file[..end]);
        }
        assert_eq!(seconds(b"RIFF\0\0\0\0WAVEdata\xff\xff\xff\xff"), None);
    }
}
