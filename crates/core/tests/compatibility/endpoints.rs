//! OpenAI's endpoints besides chats.

use libra_core::error::Error;
use libra_core::gemini::remote::Media;
use libra_core::openai::endpoint::{Endpoint, Request};
use serde_json::{Value, json};

use crate::case::{Answered, Asked, Dialect, answered, asked};

const DRAWS: &str = "gemini-2.5-flash-image";
const DRAWS_LARGE: &str = "gemini-3-pro-image-preview";

pub(crate) fn dialects() -> Vec<Dialect> {
    vec![
        Dialect {
            title: ["OpenAI: embeddings", "OpenAI：嵌入"],
            intro: [
                "`POST /v1/embeddings`. More than a hundred texts are several requests to Gemini.",
                "`POST /v1/embeddings`。超过一百段文本时分成几个发给 Gemini 的请求。",
            ],
            plain: json!({ "model": "m", "input": "Hi" }),
            request: |body, model| request(Endpoint::Embeddings, body, model),
            answer: |body, native| answer(Endpoint::Embeddings, body, native),
            requests: embeddings(),
            answers: vec![
                answered("embeddings[].values", json!({ "embeddings": [{ "values": [3, 4] }] }))
                    .becomes("/data/0/embedding", json!([0.6, 0.8]))
                    .says("Of length one, as OpenAI's are.", "长度为 1，与 OpenAI 一致。"),
                answered("embeddings[].values", json!({ "embeddings": [{ "values": [3, 4] }] }))
                    .to(json!({ "encoding_format": "base64" }))
                    .becomes("/data/0/embedding", json!("mpkZP83MTD8="))
                    .says("Little-endian 32-bit floats.", "小端 32 位浮点数。"),
                answered(
                    "usageMetadata.promptTokenCount",
                    json!({ "embeddings": [{ "values": [1] }], "usageMetadata": { "promptTokenCount": 7 } }),
                )
                .becomes("/usage/prompt_tokens", json!(7))
                .says("An estimate where Gemini does not count.", "Gemini 没有计数时为估计值。"),
            ],
        },
        Dialect {
            title: ["OpenAI: images", "OpenAI：图像"],
            intro: [
                "`POST /v1/images/generations`; `n` of them are as many requests to Gemini.",
                "`POST /v1/images/generations`；`n` 张图是同样数量的 Gemini 请求。",
            ],
            plain: json!({ "model": "m", "prompt": "A dot" }),
            request: |body, model| request(Endpoint::ImageGeneration, body, model),
            answer: |body, native| answer(Endpoint::ImageGeneration, body, native),
            requests: images(),
            answers: vec![
                answered("parts[].inlineData", image())
                    .becomes("/data/0", json!({ "b64_json": "AAAA" }))
                    .says("In the format in which Gemini draws it.", "格式以 Gemini 的输出为准。"),
                answered("parts[].inlineData", image())
                    .to(json!({ "response_format": "url" }))
                    .becomes("/data/0", json!({ "url": "data:image/png;base64,AAAA" })),
                answered("usageMetadata", image())
                    .becomes("/usage/input_tokens", json!(4))
                    .becomes("/usage/output_tokens", json!(6)),
            ],
        },
        Dialect {
            title: ["OpenAI: edits of images", "OpenAI：图像编辑"],
            intro: [
                "`POST /v1/images/edits`, as a form or as JSON. All else is as for new images.",
                "`POST /v1/images/edits`，表单或 JSON。其余与生成图像相同。",
            ],
            plain: json!({ "prompt": "Blue", "image": "a.png" }),
            request: |body, model| request(Endpoint::ImageEdit, body, model),
            answer: |body, native| answer(Endpoint::ImageEdit, body, native),
            requests: edits(),
            answers: Vec::new(),
        },
        Dialect {
            title: ["OpenAI: speech", "OpenAI：语音合成"],
            intro: [
                "`POST /v1/audio/speech`. All but WAV comes as it is spoken.",
                "`POST /v1/audio/speech`。除 WAV 外均边生成边发送。",
            ],
            plain: json!({ "model": "m", "input": "Hi" }),
            request: |body, model| request(Endpoint::Speech, body, model),
            answer: |body, native| answer(Endpoint::Speech, body, native),
            requests: speech(),
            answers: Vec::new(),
        },
        Dialect {
            title: ["OpenAI: transcriptions and translations", "OpenAI：转写与翻译"],
            intro: [
                "`POST /v1/audio/transcriptions`, and likewise `/v1/audio/translations`: forms.",
                "`POST /v1/audio/transcriptions`，`/v1/audio/translations` 同理：表单。",
            ],
            plain: json!({ "model": "m", "file": "a.wav" }),
            request: |body, model| request(Endpoint::Transcription, body, model),
            answer: |body, native| answer(Endpoint::Transcription, body, native),
            requests: transcriptions(),
            answers: transcripts(),
        },
        Dialect {
            title: ["OpenAI: completions", "OpenAI：Completions"],
            intro: [
                "`POST /v1/completions`. Each choice of each prompt is a request to Gemini.",
                "`POST /v1/completions`。每段提示的每个答案都是一个 Gemini 请求。",
            ],
            plain: json!({ "model": "m", "prompt": "Once" }),
            request: |body, model| request(Endpoint::Completion, body, model),
            answer: |body, native| answer(Endpoint::Completion, body, native),
            requests: completions(),
            answers: vec![
                answered("parts[].text", text(" upon")).becomes("/choices/0/text", json!(" upon")),
                answered("parts[].text", text(" upon"))
                    .to(json!({ "echo": true }))
                    .becomes("/choices/0/text", json!("Once upon")),
                answered("finishReason: STOP", text("a")).becomes("/choices/0/finish_reason", json!("stop")),
                answered("promptFeedback.blockReason", json!({ "promptFeedback": { "blockReason": "SAFETY" } }))
                    .becomes("/choices/0/finish_reason", json!("content_filter")),
                answered(
                    "candidates[].logprobsResult",
                    json!({ "candidates": [{ "content": { "parts": [{ "text": "a" }] }, "finishReason": "STOP",
                        "logprobsResult": { "chosenCandidates": [{ "token": "a", "logProbability": -0.5 }] } }] }),
                )
                .becomes("/choices/0/logprobs/tokens", json!(["a"]))
                .becomes("/choices/0/logprobs/token_logprobs", json!([-0.5])),
            ],
        },
    ]
}

/// The first four bytes of what files are, by the ends of their names.
const FILES: [(&str, &[u8]); 2] = [(".png", b"\x89PNG\r\n\x1a\n"), (".wav", b"RIFF\0\0\0\0WAVEdata")];

/// The fields as a form where one is a file, and as JSON elsewhere.
fn read(endpoint: Endpoint, fields: &Value) -> Result<Request, Error> {
    let file = |value: &Value| {
        let name = value.as_str().unwrap_or_default();
        FILES.iter().find(|(end, _)| name.ends_with(end)).map(|(_, start)| *start)
    };
    let object = fields.as_object().expect("an object");
    if !object.values().any(|value| file(value).is_some()) {
        let body = fields.to_string();
        return endpoint.read(&body.into(), "application/json", "cmpl-a".to_owned(), 1_800_000_000);
    }
    let mut form = Vec::new();
    for (name, value) in object {
        form.extend_from_slice(format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"").as_bytes());
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match file(value) {
            Some(start) => {
                form.extend_from_slice(format!("; filename=\"{text}\"\r\n\r\n").as_bytes());
                form.extend_from_slice(start);
            }
            None => form.extend_from_slice(format!("\r\n\r\n{text}").as_bytes()),
        }
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--X--");
    endpoint.read(&form.into(), "multipart/form-data; boundary=X", String::new(), 1_800_000_000)
}

fn request(endpoint: Endpoint, body: &Value, model: &str) -> Result<Value, Error> {
    let written = read(endpoint, body)?.to_gemini(model, 0, &Media::default())?;
    Ok(serde_json::from_slice(&written.body).expect("JSON"))
}

fn answer(endpoint: Endpoint, body: &Value, native: &Value) -> Value {
    let request = read(endpoint, body).expect("a request");
    let fragment = request.fragment(native.to_string().as_bytes(), 0).expect("an answer");
    let answer = request.answer(&[fragment]);
    serde_json::from_slice(&answer).unwrap_or_else(|_| String::from_utf8_lossy(&answer).into())
}

fn image() -> Value {
    json!({
        "candidates": [{ "content": { "parts": [{ "inlineData": { "mimeType": "image/png", "data": "AAAA" } }] },
            "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 4, "candidatesTokenCount": 6, "totalTokenCount": 10 },
    })
}

fn text(text: &str) -> Value {
    json!({ "candidates": [{ "content": { "parts": [{ "text": text }] }, "finishReason": "STOP" }] })
}

/// Fields that Gemini has no word for.
fn ignored(fields: &[(&'static str, Value)]) -> Vec<Asked> {
    fields.iter().map(|(field, value)| asked(field, json!({ *field: value }))).collect()
}

fn embeddings() -> Vec<Asked> {
    let mut cases = vec![
        asked("input", json!({ "input": "a" })).becomes("/requests/0/content/parts/0/text", json!("a")),
        asked("input of several texts", json!({ "input": ["a", "b"] }))
            .becomes("/requests/1/content/parts/0/text", json!("b"))
            .says("Up to 2,048.", "最多 2,048 段。"),
        asked("input of tokens", json!({ "input": [[1, 2]] }))
            .refused("input[0]")
            .says("Their numbers mean nothing to Gemini.", "这些编号对 Gemini 没有意义。"),
        asked("input of an empty text", json!({ "input": ["a", ""] })).refused("input[1]"),
        asked("dimensions", json!({ "dimensions": 256 }))
            .becomes("/requests/0/outputDimensionality", json!(256)),
        asked("encoding_format", json!({ "encoding_format": "base64" }))
            .of_answer()
            .says("`float` or `base64`.", "`float` 或 `base64`。"),
        asked("encoding_format of another kind", json!({ "encoding_format": "int8" }))
            .refused("encoding_format"),
    ];
    cases.extend(ignored(&[("user", json!("a"))]));
    cases
}

fn images() -> Vec<Asked> {
    let shape = "/generationConfig/imageConfig/aspectRatio";
    let mut cases = vec![
        asked("prompt", json!({ "prompt": "A dot" })).becomes("/contents/0/parts/0/text", json!("A dot")),
        asked("n", json!({ "n": 2 }))
            .of_answer()
            .says("As many requests, up to 10.", "同样数量的请求，最多 10 个。"),
        asked("n above 10", json!({ "n": 11 })).refused("n"),
        asked("size", json!({ "size": "1536x1024" }))
            .on(DRAWS)
            .becomes(shape, json!("3:2"))
            .says("The nearest shape.", "最接近的比例。"),
        asked("size", json!({ "size": "2048x2048" }))
            .on(DRAWS_LARGE)
            .becomes(shape, json!("1:1"))
            .becomes("/generationConfig/imageConfig/imageSize", json!("2K"))
            .says("More than 1,536 pixels, from Gemini 3 on.", "超过 1,536 像素，Gemini 3 起。"),
        asked("size", json!({ "size": "16:9" })).on(DRAWS).becomes(shape, json!("16:9")),
        asked("size: auto", json!({ "size": "auto" })),
        asked("size of another kind", json!({ "size": "large" })).refused("size"),
        asked("response_format", json!({ "response_format": "url" })).of_answer().says(
            "`b64_json`, or `url`, which is a data URL and what `dall-e-…` answers without a word.",
            "`b64_json` 或 `url`；后者是 data URL，也是 `dall-e-…` 的默认值。",
        ),
        asked("stream", json!({ "stream": true }))
            .of_answer()
            .says("An event an image, no partial ones.", "每张图一个事件，没有中间图。"),
    ];
    cases.extend(ignored(&[
        ("quality", json!("high")),
        ("style", json!("vivid")),
        ("background", json!("transparent")),
        ("moderation", json!("low")),
        ("output_format", json!("webp")),
        ("output_compression", json!(50)),
        ("partial_images", json!(2)),
        ("user", json!("a")),
    ]));
    cases
}

fn edits() -> Vec<Asked> {
    let png = json!({ "mimeType": "image/png", "data": "iVBORw0KGgo=" });
    let mut cases = vec![
        asked("image", json!({ "image": "a.png" }))
            .becomes("/contents/0/parts/0/inlineData", png.clone())
            .says("Before the prompt.", "位于提示之前。"),
        asked("image[]", json!({ "image[]": "b.png" }))
            .becomes("/contents/0/parts/1/inlineData", png.clone()),
        asked("image that is none", json!({ "image": "a.wav" })).refused("image"),
        asked("mask", json!({ "mask": "m.png" }))
            .becomes("/contents/0/parts/1/inlineData", png)
            .says("One more image, with words about what it is.", "作为另一张图片，并用文字说明。"),
        asked(
            "images[].image_url",
            json!({ "image": null, "images": [{ "image_url": "data:image/png;base64,AAAA" }] }),
        )
        .becomes("/contents/0/parts/0/inlineData/data", json!("AAAA"))
        .says("In JSON.", "用于 JSON。"),
        asked("images[].file_id", json!({ "image": null, "images": [{ "file_id": "files/a" }] }))
            .becomes(
                "/contents/0/parts/0/fileData/fileUri",
                json!("https://generativelanguage.googleapis.com/v1beta/files/a"),
            )
            .says("Of Gemini's Files API, in JSON.", "Gemini Files API 的文件，用于 JSON。"),
        asked("images[].file_id", json!({ "image": null, "images": [{ "file_id": "file-A" }] }))
            .refused("images")
            .says("Of OpenAI.", "OpenAI 的文件。"),
    ];
    cases.extend(ignored(&[("input_fidelity", json!("high"))]));
    cases
}

fn speech() -> Vec<Asked> {
    let voice = "/generationConfig/speechConfig/voiceConfig/prebuiltVoiceConfig/voiceName";
    let script = "/contents/0/parts/0/text";
    vec![
        asked("input", json!({ "input": "Hi" })).becomes(script, json!("Hi")),
        asked("voice", json!({ "voice": "alloy" }))
            .becomes(voice, json!("Kore"))
            .says("OpenAI's names stand for Google's.", "OpenAI 的名称对应 Google 的声音。"),
        asked("voice", json!({ "voice": "Puck" })).becomes(voice, json!("Puck")),
        asked("instructions", json!({ "instructions": "Softly." }))
            .becomes(script, json!("### DIRECTOR'S NOTES\nSoftly.\n\n### TRANSCRIPT\nHi"))
            .says("In words before the text.", "用文字放在正文之前。"),
        asked("speed", json!({ "speed": 2 }))
            .becomes(
                script,
                json!("### DIRECTOR'S NOTES\nPace: 2 times as fast as usual.\n\n### TRANSCRIPT\nHi"),
            )
            .says("Likewise.", "同上。"),
        asked("response_format", json!({ "response_format": "wav" }))
            .of_answer()
            .says("`mp3`, `wav` or `pcm`.", "`mp3`、`wav` 或 `pcm`。"),
        asked("response_format of another kind", json!({ "response_format": "opus" }))
            .refused("response_format"),
        asked("stream_format", json!({ "stream_format": "sse" })).of_answer(),
        asked("user", json!({ "user": "a" })),
    ]
}

fn transcriptions() -> Vec<Asked> {
    let mut cases = vec![
        asked("file", json!({ "file": "a.wav" }))
            .becomes("/contents/0/parts/0/inlineData/mimeType", json!("audio/wav")),
        asked("file that is no sound", json!({ "file": "a.png" })).refused("file"),
        asked("temperature", json!({ "temperature": 0.5 }))
            .becomes("/generationConfig/temperature", json!(0.5)),
        asked("language", json!({ "language": "de" })).becomes(
            "/contents/0/parts/1/text",
            json!("Write down what is said in this recording, word for word and in the language that is spoken, with punctuation. The language that is spoken is de. Answer with that text alone; if nobody speaks, with [no speech]"),
        ),
        asked("prompt", json!({ "prompt": "Libra" })).becomes(
            "/contents/0/parts/1/text",
            json!("Write down what is said in this recording, word for word and in the language that is spoken, with punctuation. The following may help with names and style, and is not part of the recording: <context>Libra</context> Answer with that text alone; if nobody speaks, with [no speech]"),
        ),
        asked("response_format: json, text", json!({ "response_format": "text" }))
            .of_answer(),
        asked("response_format: verbose_json, srt, vtt", json!({ "response_format": "srt" }))
            .becomes("/generationConfig/responseMimeType", json!("application/json"))
            .says("JSON with a time for each sentence, which is checked.", "每句带时间的 JSON，并经过检查。"),
        asked("response_format of another kind", json!({ "response_format": "docx" })).refused("response_format"),
        asked(
            "timestamp_granularities[]: word",
            json!({ "response_format": "verbose_json", "timestamp_granularities[]": "word" }),
        )
        .becomes(
            "/generationConfig/responseJsonSchema/required",
            json!(["language", "segments", "words"]),
        ),
        asked("stream", json!({ "stream": true }))
            .of_answer()
            .says("With `json` and `text`.", "用于 `json` 和 `text`。"),
    ];
    cases.extend(ignored(&[("include[]", json!("logprobs")), ("chunking_strategy", json!("auto"))]));
    cases
}

fn transcripts() -> Vec<Answered> {
    let timed = || text(r#"{"language":"German","segments":[{"start":0,"end":1.5,"text":"Hallo."}]}"#);
    let verbose = || json!({ "response_format": "verbose_json" });
    vec![
        answered("parts[].text", text("Hallo.")).becomes("/text", json!("Hallo.")),
        answered("parts[].text", timed())
            .to(verbose())
            .becomes("/text", json!("Hallo."))
            .becomes("/language", json!("german"))
            .becomes("/segments/0/start", json!(0.0))
            .says("The times are the model's estimate.", "时间是模型的估计。"),
        answered("nothing", timed())
            .to(verbose())
            .becomes("/segments/0/avg_logprob", json!(0.0))
            .becomes("/segments/0/no_speech_prob", json!(0.0))
            .becomes("/segments/0/tokens", json!([]))
            .says("Gemini does not tell.", "Gemini 不提供。"),
    ]
}

fn completions() -> Vec<Asked> {
    let config = |name: &'static str| -> &'static str {
        match name {
            "temperature" => "/generationConfig/temperature",
            "top_p" => "/generationConfig/topP",
            "seed" => "/generationConfig/seed",
            _ => "/generationConfig/maxOutputTokens",
        }
    };
    let mut cases = vec![
        asked("prompt", json!({ "prompt": "Once" }))
            .becomes("/contents/0/parts/0/text", json!("Once"))
            .says("With an instruction to go on with it.", "并指示模型续写。"),
        asked("prompt of tokens", json!({ "prompt": [1] })).refused("prompt[0]"),
        asked("suffix", json!({ "suffix": "end." }))
            .becomes("/contents/0/parts/0/text", json!("Once<gap/>end."))
            .says("With an instruction to fill the gap.", "并指示模型补上空缺。"),
        asked("n", json!({ "n": 2 }))
            .of_answer()
            .says("As many requests, 128 with all prompts.", "同样数量的请求，连同所有提示最多 128 个。"),
    ];
    for (field, value) in
        [("temperature", json!(0.5)), ("top_p", json!(0.5)), ("seed", json!(7)), ("max_tokens", json!(16))]
    {
        cases.push(asked(field, json!({ field: value.clone() })).becomes(config(field), value));
    }
    cases.extend([
        asked("stop", json!({ "stop": "a" })).becomes("/generationConfig/stopSequences", json!(["a"])),
        asked("presence_penalty, frequency_penalty", json!({ "presence_penalty": 0.5 }))
            .says("Of use to older models only.", "只对较早的模型有效。"),
        asked("logprobs", json!({ "logprobs": 2 }))
            .becomes("/generationConfig/responseLogprobs", json!(true))
            .becomes("/generationConfig/logprobs", json!(2)),
        asked("echo", json!({ "echo": true })).of_answer(),
        asked(
            "stream, stream_options",
            json!({ "stream": true, "stream_options": { "include_usage": true } }),
        )
        .of_answer(),
    ]);
    cases.extend(ignored(&[("best_of", json!(2)), ("logit_bias", json!({})), ("user", json!("a"))]));
    cases
}
