//! What is measured: four kinds of requests, each of 2 KB, with answers of 4 KB or of 200 events.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde_json::{Value, json};
use xtask::gateway::CLIENT_KEY;

use crate::load::{Call, Expect};

const MODEL: &str = "gemini-2.5-flash";
/// Of the request's body, in bytes.
const REQUEST: usize = 2048;
/// Of the text in a whole answer, in bytes; the body around it is a little larger.
const ANSWER: usize = 4096;
/// Events in a stream, and the size of each as Gemini frames it, in bytes.
const CHUNKS: usize = 200;
const CHUNK: usize = 300;
/// Events in a stream whose first byte is timed. A long one would keep the simulator's core, which the load shares, busy
/// at the very moment when that byte arrives.
const FEW_CHUNKS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    Native,
    NativeStream,
    Chat,
    ChatStream,
}

impl Scenario {
    pub(crate) const ALL: [Self; 4] = [Self::Native, Self::NativeStream, Self::Chat, Self::ChatStream];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::NativeStream => "native-stream",
            Self::Chat => "chat",
            Self::ChatStream => "chat-stream",
        }
    }

    /// The processor time that libra may use, as a multiple of what the bare proxy uses for the native request.
    pub(crate) fn target(self) -> f64 {
        match self {
            Self::Native => 1.3,
            Self::NativeStream => 1.25,
            Self::Chat => 2.0,
            Self::ChatStream => 1.6,
        }
    }

    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::NativeStream | Self::ChatStream)
    }

    /// Requests in one run: about a second's work.
    pub(crate) fn requests(self) -> usize {
        if self.is_stream() { 800 } else { 24_000 }
    }

    /// What the simulator, and a proxy that translates nothing, is asked.
    pub(crate) fn native_call(self, length: Length) -> Call {
        let (order, expect) = self.answer(length);
        native(prompt(order), self.is_stream(), Expect { mark: "finishReason", ..expect })
    }

    /// What libra is asked.
    pub(crate) fn libra_call(self, length: Length) -> Call {
        let (order, expect) = self.answer(length);
        match self {
            Self::Native | Self::NativeStream => self.native_call(length),
            Self::Chat => chat(prompt(order), false, Expect { mark: "\"finish_reason\":\"stop\"", ..expect }),
            // The events' size is the simulator's for the native form; what chat makes of them is up to libra.
            Self::ChatStream => {
                chat(prompt(order), true, Expect { mark: "data: [DONE]", bytes: 0, ..expect })
            }
        }
    }

    /// The order to the simulator that the prompt holds, and what must come of it.
    fn answer(self, length: Length) -> (String, Expect) {
        if self.is_stream() {
            match length {
                Length::Whole => stream_order(CHUNKS, 0),
                Length::Paced => stream_order(CHUNKS, 1),
                Length::Short => stream_order(FEW_CHUNKS, 0),
            }
        } else {
            (format!("{{{{bytes={ANSWER}}}}}"), Expect { bytes: ANSWER, events: 0, mark: "" })
        }
    }
}

/// How much of an answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// What the scenario says.
    Whole,
    /// As the scenario says, a millisecond between the events of a stream, as a model's own pauses keep them apart. Each
    /// event is then a write of its own; without pauses it depends on the moment how many go out together.
    Paced,
    /// Of a stream, only a few events.
    Short,
}

fn stream_order(chunks: usize, delay_ms: usize) -> (String, Expect) {
    let delay = if delay_ms == 0 { String::new() } else { format!("{{{{delay_ms={delay_ms}}}}}") };
    let order = format!("{{{{chunks={chunks}}}}}{{{{chunk_bytes={CHUNK}}}}}{delay}");
    (order, Expect { bytes: chunks * CHUNK, events: chunks, mark: "" })
}

/// A stream that lasts for `events` times `delay_ms`, to have many of them at once.
pub(crate) fn slow_stream(events: usize, delay_ms: usize) -> Call {
    let (order, expect) = stream_order(events, delay_ms);
    native(prompt(order), true, Expect { mark: "finishReason", ..expect })
}

/// The gateway's own word that it is alive: the cheapest request.
pub(crate) fn health() -> Call {
    Call {
        path: Uri::from_static("/health"),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        expect: Expect { bytes: 0, events: 0, mark: "" },
    }
}

/// A text with which the native body has the wanted size; the order comes last, where the simulator looks for it.
fn prompt(order: String) -> String {
    let around = native_body(&order).to_string().len() + 1;
    let words = "What a benchmark asks is long, of no interest and always the same. ";
    let filler: String = words.chars().cycle().take(REQUEST.saturating_sub(around)).collect();
    format!("{filler} {order}")
}

fn native_body(text: &str) -> Value {
    json!({
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"text": text}]}],
        "generationConfig": {"temperature": 0.5, "maxOutputTokens": 8192},
    })
}

fn native(text: String, stream: bool, expect: Expect) -> Call {
    let verb = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    let key = HeaderName::from_static("x-goog-api-key");
    call(&format!("/v1beta/models/{MODEL}:{verb}"), key, CLIENT_KEY, &native_body(&text), expect)
}

fn chat(text: String, stream: bool, expect: Expect) -> Call {
    let body = json!({
        "model": MODEL,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}],
        "temperature": 0.5,
        "max_tokens": 8192,
        "stream": stream,
    });
    call("/v1/chat/completions", AUTHORIZATION, &format!("Bearer {CLIENT_KEY}"), &body, expect)
}

fn call(path: &str, key: HeaderName, value: &str, body: &Value, expect: Expect) -> Call {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(key, HeaderValue::from_str(value).expect("the key is printable"));
    Call {
        path: path.parse().expect("the path is plain"),
        headers,
        body: Bytes::from(body.to_string()),
        expect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_agreed_size() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.native_call(Length::Whole).body.len(), REQUEST, "{}", scenario.name());
            let size = scenario.libra_call(Length::Whole).body.len();
            assert!(size.abs_diff(REQUEST) < 64, "{}: {size}", scenario.name());
        }
    }
}
