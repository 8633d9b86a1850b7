//! The keys of a batch's requests. Gemini gives them back with the answers, and nothing else of a request: so what the
//! translation of an answer has to know of it stands there, behind the client's own id.
//!
//! Most requests need nothing of the kind, and their key is their id. Others look like `my-id#libra:base64,2/3`.

use std::borrow::Cow;

/// What stands between the client's id and what is written behind it.
const MARK: &str = "#libra:";

/// A key that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Key<'a> {
    /// The client's own.
    pub(super) id: Cow<'a, str>,
    pub(super) notes: Notes,
}

/// What has to be known of a request to translate its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Notes {
    /// The answer is a response, not a chat's completion.
    pub(super) response: bool,
    /// `parallel_tool_calls: false`
    pub(super) one_call: bool,
    /// Functions in the form of 2023.
    pub(super) legacy: bool,
    /// The model may search, so that citations can come.
    pub(super) search: bool,
    /// A spoken answer, with or without a header.
    pub(super) pcm: bool,
    pub(super) wav: bool,
    /// What `include` of a response asks for.
    pub(super) sealed: bool,
    pub(super) outputs: bool,
    pub(super) sources: bool,
    /// Vectors in base64.
    pub(super) base64: bool,
    /// Of a request that became several: which of how many it is, the first being 0.
    pub(super) part: Option<(u16, u16)>,
}

impl Notes {
    /// Each with its word.
    fn flags(&mut self) -> [(&'static str, &mut bool); 10] {
        [
            ("response", &mut self.response),
            ("one", &mut self.one_call),
            ("legacy", &mut self.legacy),
            ("search", &mut self.search),
            ("pcm", &mut self.pcm),
            ("wav", &mut self.wav),
            ("sealed", &mut self.sealed),
            ("outputs", &mut self.outputs),
            ("sources", &mut self.sources),
            ("base64", &mut self.base64),
        ]
    }

    /// The key of a request with this id.
    pub(super) fn key(mut self, id: &str) -> String {
        let part = self.part.map(|(number, of)| format!("{number}/{of}"));
        let words = self.flags().into_iter().filter(|(_, on)| **on).map(|(word, _)| word.to_owned());
        let words: Vec<String> = words.chain(part).collect();
        // An id that looks like a key of ours must not be read as one.
        if words.is_empty() && !id.contains(MARK) {
            return id.to_owned();
        }
        format!("{id}{MARK}{}", words.join(","))
    }
}

impl<'a> Key<'a> {
    /// Reads a key, whoever has made it.
    pub(super) fn read(key: &'a str) -> Self {
        let plain = || Self { id: Cow::Borrowed(key), notes: Notes::default() };
        let Some((id, words)) = key.rsplit_once(MARK) else { return plain() };
        let mut notes = Notes::default();
        for word in words.split(',').filter(|word| !word.is_empty()) {
            if let Some((_, on)) = notes.flags().into_iter().find(|(known, _)| *known == word) {
                *on = true;
                continue;
            }
            let part =
                word.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
            match part {
                Some((number, of)) if number < of => notes.part = Some((number, of)),
                _ => return plain(),
            }
        }
        Self { id: Cow::Borrowed(id), notes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_were_written() {
        let check = |notes: Notes, id: &str, expected: &str| {
            assert_eq!(notes.key(id), expected);
            assert_eq!(Key::read(expected), Key { id: Cow::Borrowed(id), notes });
        };
        let none = Notes::default();
        check(none, "request-1", "request-1");
        check(none, "", "");
        check(none, "a#libra:b", "a#libra:b#libra:");
        check(Notes { response: true, sealed: true, ..none }, "r", "r#libra:response,sealed");
        check(Notes { base64: true, part: Some((1, 3)), ..none }, "e", "e#libra:base64,1/3");
        let all = Notes {
            response: true,
            one_call: true,
            legacy: true,
            search: true,
            pcm: true,
            wav: true,
            sealed: true,
            outputs: true,
            sources: true,
            base64: true,
            part: Some((0, 1)),
        };
        check(all, "#", "##libra:response,one,legacy,search,pcm,wav,sealed,outputs,sources,base64,0/1");
    }

    #[test]
    fn keys_of_others_are_ids() {
        for key in ["a#libra:unknown", "a#libra:3/2", "a#libra:1/1", "a#libra:1/x", "a#libra:1/70000"] {
            assert_eq!(Key::read(key), Key { id: Cow::Borrowed(key), notes: Notes::default() });
        }
    }
}
