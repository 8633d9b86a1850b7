//! Sound: [`speech`] makes it out of text, [`transcription`] text out of it.

mod mp3;
pub mod speech;
mod subtitles;
pub mod transcription;
pub(super) mod wave;
