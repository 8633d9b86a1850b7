//! Who speaks when: what a model tells of it, and files that players read.

use std::fmt::Write as _;

use serde::Deserialize;
use serde::de::{self, Deserializer};

/// The longest recording that is believed, in seconds: more than any model hears at once.
const LONGEST: f64 = 86_400.0;

/// What a model heard, and when.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Timed {
    /// In English, as `german`.
    #[serde(default)]
    pub(super) language: String,
    #[serde(default)]
    pub(super) segments: Vec<Segment>,
    #[serde(default)]
    pub(super) words: Vec<Segment>,
}

/// A stretch of speech: a sentence or so, or a word.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Segment {
    /// In seconds from the beginning.
    #[serde(deserialize_with = "seconds")]
    pub(super) start: f64,
    #[serde(deserialize_with = "seconds")]
    pub(super) end: f64,
    #[serde(alias = "word")]
    pub(super) text: String,
}

impl Timed {
    /// Reads what a model wrote. None: it is not what was asked for.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        // Models that cannot be held to JSON fence it in.
        let fenced = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
        let text = fenced.map_or(text, |fenced| fenced.trim_end().trim_end_matches('`'));
        let mut timed: Self = serde_json::from_str(text).ok()?;
        in_order(&mut timed.segments);
        in_order(&mut timed.words);
        timed.language = timed.language.trim().to_lowercase();
        Some(timed)
    }

    /// All that was said.
    pub(super) fn text(&self) -> String {
        let texts: Vec<&str> = self.segments.iter().map(|segment| segment.text.as_str()).collect();
        texts.join(" ")
    }

    /// When the last word was spoken.
    pub(super) fn end(&self) -> f64 {
        self.segments.iter().chain(&self.words).map(|segment| segment.end).fold(0.0, f64::max)
    }

    /// Nothing lies behind the end of the recording.
    pub(super) fn limit(&mut self, duration: f64) {
        for segment in self.segments.iter_mut().chain(&mut self.words) {
            segment.start = segment.start.min(duration);
            segment.end = segment.end.min(duration);
        }
    }

    /// A SubRip file.
    pub(super) fn to_srt(&self) -> String {
        let mut file = String::new();
        for (number, segment) in self.segments.iter().enumerate() {
            let (start, end) = (clock(segment.start, ','), clock(segment.end, ','));
            let _ = write!(file, "{}\n{start} --> {end}\n{}\n\n", number + 1, segment.line());
        }
        file
    }

    /// A WebVTT file.
    pub(super) fn to_vtt(&self) -> String {
        let mut file = "WEBVTT\n\n".to_owned();
        for segment in &self.segments {
            let (start, end) = (clock(segment.start, '.'), clock(segment.end, '.'));
            let _ = write!(file, "{start} --> {end}\n{}\n\n", segment.line());
        }
        file
    }
}

impl Segment {
    /// On one line, and without the arrow that would be taken for a time.
    fn line(&self) -> String {
        let words: Vec<&str> = self.text.split_whitespace().collect();
        words.join(" ").replace("-->", "->")
    }
}

/// Models now and then err in a number; players want rising times, and a beginning before each end.
fn in_order(segments: &mut Vec<Segment>) {
    for segment in segments.iter_mut() {
        segment.text = segment.text.trim().to_owned();
        segment.end = segment.end.max(segment.start);
    }
    segments.retain(|segment| !segment.text.is_empty());
    segments.sort_by(|a, b| a.start.total_cmp(&b.start));
}

/// `01:02:03,004`
fn clock(seconds: f64, mark: char) -> String {
    let millis = (seconds * 1_000.0).round() as u64;
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    format!("{:02}:{:02}:{:02}{mark}{millis:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// A number of seconds, or a time as `01:02.5`, which models write who know subtitles.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Time {
        Seconds(f64),
        Clock(String),
    }
    let seconds = match Time::deserialize(deserializer)? {
        Time::Seconds(seconds) => Some(seconds),
        Time::Clock(text) => text.trim().trim_end_matches('s').split(':').try_fold(0.0, |sum, part| {
            let part: f64 = part.replace(',', ".").parse().ok()?;
            Some(sum * 60.0 + part)
        }),
    };
    seconds
        .filter(|seconds| (0.0..=LONGEST).contains(seconds))
        .ok_or_else(|| de::Error::custom("expected a time in seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_models_write_is_read() {
        let check = |text: &str, expected: Option<&[(f64, f64, &str)]>| {
            let timed = Timed::read(text);
            let segments: Option<Vec<_>> = timed.as_ref().map(|timed| {
                timed.segments.iter().map(|one| (one.start, one.end, one.text.as_str())).collect()
            });
            assert_eq!(segments.as_deref(), expected, "{text}");
        };
        check(r#"{"language":"German","segments":[]}"#, Some(&[]));
        check(
            r#"{"segments":[{"start":2,"end":1.5,"text":" b "},{"start":0.25,"end":"00:01.5","text":"a"},{"start":1,"end":2,"text":" "}]}"#,
            Some(&[(0.25, 1.5, "a"), (2.0, 2.0, "b")]),
        );
        check(
            "```json\n{\"segments\":[{\"start\":\"1:00:02\",\"end\":\"3603s\",\"text\":\"a\"}]}\n```",
            Some(&[(3_602.0, 3_603.0, "a")]),
        );
        check(r#"{"segments":[{"start":-1,"end":1,"text":"a"}]}"#, None);
        check(r#"{"segments":[{"start":"soon","end":1,"text":"a"}]}"#, None);
        check(r#"{"segments":[{"start":1e300,"end":1,"text":"a"}]}"#, None);
        check("Hello.", None);
        check("", None);
    }

    #[test]
    fn files_for_players() {
        let mut timed = Timed::read(
            r#"{"segments":[{"start":0,"end":1.2345,"text":"Hi\nthere -->"},{"start":3599.9996,"end":3700,"text":"Bye"}]}"#,
        )
        .expect("as asked");
        assert_eq!(
            timed.to_srt(),
            "1\n00:00:00,000 --> 00:00:01,235\nHi there ->\n\n2\n01:00:00,000 --> 01:01:40,000\nBye\n\n"
        );
        assert_eq!(
            timed.to_vtt(),
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.235\nHi there ->\n\n01:00:00.000 --> 01:01:40.000\nBye\n\n"
        );
        assert_eq!((timed.text().as_str(), timed.end()), ("Hi\nthere --> Bye", 3_700.0));
        timed.limit(60.0);
        assert_eq!(timed.end(), 60.0);
    }
}
