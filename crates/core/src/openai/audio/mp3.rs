//! Sound as MP3.

use std::fmt;

use rusty_mp3::{Mp3Encoder, Mp3EncoderConfig};

use crate::error::{Error, Kind};

/// Twice what speech of one voice at 24 kHz needs to be told from the original by nobody.
const KILOBITS_A_SECOND: u32 = 96;

/// Packs sound as it comes.
pub(super) struct Packer {
    encoder: Mp3Encoder,
    rate: u32,
    /// The first packet says how long the whole is, which nobody knows yet; it is left out.
    begun: bool,
}

impl Packer {
    /// For so many samples a second.
    pub(super) fn new(rate: u32) -> Self {
        let config = Mp3EncoderConfig { bitrate_kbps: KILOBITS_A_SECOND, vbr_quality: None };
        Self { encoder: Mp3Encoder::new(config), rate, begun: false }
    }

    /// Packs whole samples.
    ///
    /// # Errors
    /// 502 for a rate that MP3 does not have.
    pub(super) fn push(&mut self, samples: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        self.encoder
            .push_pcm_s16le(samples, 1, self.rate)
            .map_err(|_| Error::new(Kind::BadGateway, "the upstream's sound does not fit into MP3"))?;
        self.take(out);
        Ok(())
    }

    /// The end of it.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        self.encoder.finish();
        self.take(out);
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        while let Ok(packet) = self.encoder.next_packet() {
            if self.begun {
                out.extend_from_slice(&packet);
            }
            self.begun = true;
        }
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").field("rate", &self.rate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone, packed in pieces of so many bytes.
    fn packed(piece: usize) -> Vec<u8> {
        let samples: Vec<u8> = (0..24_000_u32)
            .flat_map(|at| {
                let phase = f64::from(at) * 440.0 * std::f64::consts::TAU / 24_000.0;
                ((phase.sin() * 12_000.0) as i16).to_le_bytes()
            })
            .collect();
        let mut packer = Packer::new(24_000);
        let mut out = Vec::new();
        for piece in samples.chunks(piece) {
            packer.push(piece, &mut out).expect("MP3 has this rate");
        }
        packer.finish(&mut out);
        out
    }

    #[test]
    fn a_second_becomes_frames_of_mp3() {
        let whole = packed(usize::MAX);
        // A second of 96 kbit/s, and what the codec needs around it.
        assert!((12_000..14_000).contains(&whole.len()), "{}", whole.len());
        // MPEG-2 Layer III, 96 kbit/s, 24 kHz, mono: a frame is 288 bytes for 576 samples.
        let frames: Vec<&[u8]> = whole.chunks(288).collect();
        for frame in &frames {
            assert_eq!(frame[..3], [0xFF, 0xF3, 0xA4], "a frame's header");
            assert_eq!(frame[3] >> 6, 3, "mono");
        }
        assert_eq!(packed(962), whole, "pieces make no difference");
    }

    #[test]
    fn what_was_packed_can_be_heard() {
        let mut decoder = rusty_mp3::Mp3Decoder::new();
        decoder.push(&packed(4_800));
        decoder.flush();
        let mut heard = Vec::new();
        while let Ok(frame) = decoder.next_frame() {
            assert_eq!((frame.sample_rate, frame.channels), (24_000, 1));
            heard.extend(frame.samples);
        }
        // How often the middle half second crosses zero says its pitch.
        let middle = &heard[6_000..18_000];
        let crossings = middle.windows(2).filter(|pair| pair[0] <= 0.0 && pair[1] > 0.0).count();
        assert!((218..=222).contains(&crossings), "{crossings}");
    }

    #[test]
    fn a_rate_that_mp3_has_not_is_refused() {
        assert!(Packer::new(23_999).push(&[0; 64], &mut Vec::new()).is_err());
    }
}
