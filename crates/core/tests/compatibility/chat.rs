//! OpenAI's chat completions.

use libra_core::error::Error;
use libra_core::gemini::request::Known;
use libra_core::openai::chat::{ChatRequest, from_gemini, to_gemini};
use serde_json::{Value, json};

use crate::case::{Answered, Asked, Dialect, answered, asked};

pub(crate) fn dialect() -> Dialect {
    Dialect {
        title: ["OpenAI: chat completions", "OpenAI：Chat Completions"],
        intro: [
            "`POST /v1/chat/completions`, with and without `stream`. An event of a stream says the same as the whole \
             answer, piece by piece.",
            "`POST /v1/chat/completions`，流式与非流式。流中的事件逐段给出与完整响应相同的内容。",
        ],
        plain: json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }] }),
        request,
        answer,
        requests: requests(),
        answers: answers(),
    }
}

fn request(body: &Value, model: &str) -> Result<Value, Error> {
    let chat = ChatRequest::parse(body.to_string().as_bytes())?;
    let written = to_gemini::request(&chat, model, &Known::default())?;
    Ok(serde_json::from_slice(&written.body).expect("JSON"))
}

fn answer(body: &Value, native: &Value) -> Value {
    let chat = ChatRequest::parse(body.to_string().as_bytes()).expect("a request");
    let context = chat.context("chatcmpl-a", 1_800_000_000);
    let (answer, _) = from_gemini::answer(native.to_string().as_bytes(), &context).expect("an answer");
    serde_json::from_slice(&answer).expect("JSON")
}

fn requests() -> Vec<Asked> {
    let mut cases = messages();
    cases.extend(tools());
    cases.extend(settings());
    cases.extend(ignored());
    cases
}

/// One message after a plain one.
fn said(message: Value) -> Value {
    json!({ "messages": [{ "role": "user", "content": "Hi" }, message] })
}

/// A part of the only message.
fn part(part: Value) -> Value {
    json!({ "messages": [{ "role": "user", "content": [part] }] })
}

fn messages() -> Vec<Asked> {
    let call = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let calls = json!({ "role": "assistant", "content": null, "tool_calls": [call("x"), call("y")] });
    let result = |id: &str, content: Value| json!({ "role": "tool", "tool_call_id": id, "content": content });
    let system = |role: &str| {
        json!({ "messages": [
        { "role": "user", "content": "Hi" }, { "role": role, "content": "Be short." },
    ] })
    };
    let steps = json!({ "messages": [
        { "role": "user", "content": "Hi" }, calls, result("y", json!("{\"b\":2}")),
    ] });
    let instruction = "/systemInstruction/parts/0/text";
    vec![
        asked("messages[] of role system", system("system")).becomes(instruction, json!("Be short.")).says(
            "Wherever it stands.",
            "无论位于何处。",
        ),
        asked("messages[] of role developer", system("developer")).becomes(instruction, json!("Be short.")),
        asked("messages[] of role user", said(json!({ "role": "user", "content": "And?" })))
            .becomes("/contents/0/parts/1/text", json!("And?"))
            .becomes("/contents/1", json!(null))
            .says("Messages of one role that follow each other are one turn.", "同一角色的连续消息合并为一轮。"),
        asked("messages[] of role assistant", said(json!({ "role": "assistant", "content": "Yes." })))
            .becomes("/contents/1/role", json!("model")),
        asked("messages[] that end with assistant", said(json!({ "role": "assistant", "content": "Yes." })))
            .on("gemini-4-argon")
            .becomes("/contents/2/parts/0/text", json!("Continue."))
            .says("Earlier models continue their own words.", "较早的模型会接着自己的话继续。"),
        asked("messages[].refusal", said(json!({ "role": "assistant", "refusal": "No." })))
            .becomes("/contents/1/parts/0/text", json!("No.")),
        asked(
            "messages[].reasoning_content",
            json!({ "messages": [{ "role": "user", "content": "Hi", "reasoning_content": "Hm." }] }),
        )
        .says("What Gemini needs back is in the signatures.", "Gemini 所需的内容都在签名里。"),
        asked("messages[].name", json!({ "messages": [{ "role": "user", "content": "Hi", "name": "anna" }] })),
        asked("messages[].audio", said(json!({ "role": "assistant", "audio": { "id": "audio_1" } })))
            .says("Nothing is kept here.", "这里不保存任何内容。"),
        asked(
            "messages[].images",
            said(json!({ "role": "assistant", "images": [{ "image_url": { "url": "data:image/png;base64,AAAA" } }] })),
        )
        .becomes("/contents/1/parts/0/inlineData", json!({ "mimeType": "image/png", "data": "AAAA" }))
        .says("Images of the model, handed back.", "模型生成的图像，由客户端带回。"),
        asked("content[].text", part(json!({ "type": "text", "text": "Hello" })))
            .becomes("/contents/0/parts/0/text", json!("Hello"))
            .says("Empty texts are left out.", "空文本会被去掉。"),
        asked(
            "content[].image_url",
            part(json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA", "detail": "low" } })),
        )
        .becomes("/contents/0/parts/0/inlineData", json!({ "mimeType": "image/png", "data": "AAAA" }))
        .says("`detail` is ignored.", "忽略 `detail`。"),
        asked(
            "content[].image_url of http(s)",
            part(json!({ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } })),
        )
        .becomes("/contents/0/parts/0/fileData/fileUri", json!("https://example.com/a.png")),
        asked(
            "content[].input_audio",
            part(json!({ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "mp3" } })),
        )
        .becomes("/contents/0/parts/0/inlineData/mimeType", json!("audio/mp3")),
        asked(
            "content[].file.file_data",
            part(json!({ "type": "file", "file": { "file_data": "AAAA", "filename": "a.pdf" } })),
        )
        .becomes("/contents/0/parts/0/inlineData/mimeType", json!("application/pdf")),
        asked("content[].file.file_id", part(json!({ "type": "file", "file": { "file_id": "files/abc" } })))
            .becomes(
                "/contents/0/parts/0/fileData/fileUri",
                json!("https://generativelanguage.googleapis.com/v1beta/files/abc"),
            )
            .says("Of Gemini's Files API.", "Gemini Files API 的文件。"),
        asked("content[].file.file_id", part(json!({ "type": "file", "file": { "file_id": "file-abc" } })))
            .becomes(
                "/contents/0/parts/0/fileData/fileUri",
                json!("https://generativelanguage.googleapis.com/v1beta/files/abc"),
            )
            .says("Of `/v1/files` here.", "此处 `/v1/files` 的文件。"),
        asked("content[].file.file_id", part(json!({ "type": "file", "file": { "file_id": "file-A1" } })))
            .refused("messages[0].content[0].file.file_id")
            .says("Of OpenAI.", "OpenAI 的文件。"),
        asked("content[].video_url", part(json!({ "type": "video_url", "video_url": { "url": "https://youtu.be/a" } })))
            .becomes("/contents/0/parts/0/fileData/fileUri", json!("https://youtu.be/a")),
        asked("content[] of another type", part(json!({ "type": "hologram" })))
            .refused("messages[0].content[0].type"),
        asked("messages[].tool_calls", steps.clone())
            .becomes("/contents/1/parts/0/functionCall", json!({ "id": "x", "name": "f", "args": { "a": 1 } })),
        asked("messages[] of role tool", steps)
            .becomes(
                "/contents/2/parts/1/functionResponse",
                json!({ "id": "y", "name": "f", "response": { "b": 2 } }),
            )
            .becomes("/contents/2/parts/0/functionResponse/response/error", json!("There is no result of this call."))
            .says(
                "In the order of the calls; for a missing result an error stands in. A text that is no object becomes `{\"result\": …}`.",
                "按调用的顺序排列；缺少的结果用错误代替。不是对象的文本变为 `{\"result\": …}`。",
            ),
        asked("messages[] of role tool without its call", said(result("z", json!("4"))))
            .becomes("/contents/0/parts/1/text", json!("Result of the tool call z: 4")),
        asked(
            "messages[].function_call",
            said(json!({ "role": "assistant", "function_call": { "name": "f", "arguments": "" } })),
        )
        .becomes("/contents/1/parts/0/functionCall", json!({ "name": "f", "args": {} })),
        asked(
            "messages[].tool_calls[].extra_content",
            json!({ "messages": [{ "role": "user", "content": "Hi" }, { "role": "assistant", "tool_calls": [{
                "id": "x", "type": "function", "function": { "name": "f", "arguments": "{}" },
                "extra_content": { "google": { "thought_signature": "c2ln" } },
            }] }] }),
        )
        .becomes("/contents/1/parts/0/thoughtSignature", json!("c2ln"))
        .says(
            "See [Thought signatures](behaviour.md#thought-signatures).",
            "参见[思维签名](behaviour.zh-CN.md#思维签名)。",
        ),
    ]
}

fn tools() -> Vec<Asked> {
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let function = json!({ "type": "function", "function": { "name": "f", "description": "d", "parameters": schema, "strict": true } });
    let with = |name: &str, value: Value| {
        let mut body = json!({ "tools": [function] });
        body[name] = value;
        body
    };
    let calling = "/toolConfig/functionCallingConfig";
    vec![
        asked("tools[].function", with("stream", json!(false)))
            .becomes(
                "/tools/0/functionDeclarations/0",
                json!({ "name": "f", "description": "d", "parametersJsonSchema": schema }),
            )
            .says(
                "Schemas are cleaned of what Gemini refuses. Names that it refuses are changed, and changed back. `strict` is ignored.",
                "schema 会去除 Gemini 拒绝的内容；Gemini 不接受的名称会被替换，并在响应中还原。忽略 `strict`。",
            ),
        asked("tools[].custom", json!({ "tools": [{ "type": "custom", "custom": { "name": "say" } }] }))
            .becomes("/tools/0/functionDeclarations/0/name", json!("say"))
            .says("A function of one string, `input`; a grammar is said in its description.", "变为只有一个字符串参数 `input` 的函数；语法写入描述。"),
        asked("tools[] of type web_search", json!({ "tools": [{ "type": "web_search" }] }))
            .becomes("/tools/0/googleSearch", json!({})),
        asked("tools[] of type code_interpreter", json!({ "tools": [{ "type": "code_interpreter" }] }))
            .becomes("/tools/0/codeExecution", json!({})),
        asked("tools[].google_search", json!({ "tools": [{ "google_search": {} }] }))
            .becomes("/tools/0/googleSearch", json!({})),
        asked("tools[].code_execution", json!({ "tools": [{ "code_execution": {} }] }))
            .becomes("/tools/0/codeExecution", json!({})),
        asked("tools[].url_context", json!({ "tools": [{ "url_context": {} }] }))
            .becomes("/tools/0/urlContext", json!({})),
        asked("tools[].google_maps", json!({ "tools": [{ "google_maps": {} }] }))
            .becomes("/tools/0/googleMaps", json!({})),
        asked("tools[].file_search", json!({ "tools": [{ "file_search": { "file_search_store_names": ["fileSearchStores/a"] } }] }))
            .becomes("/tools/0/fileSearch/file_search_store_names/0", json!("fileSearchStores/a")),
        asked("tools[] of another type", json!({ "tools": [{ "type": "computer" }] })),
        asked("web_search_options", json!({ "web_search_options": { "search_context_size": "low" } }))
            .becomes("/tools/0/googleSearch", json!({}))
            .says("Its settings are ignored.", "其中的设置会被忽略。"),
        asked("web_search_options with functions", with("web_search_options", json!({})))
            .on("gemini-2.5-flash")
            .becomes("/tools/1", json!(null))
            .says("Such models refuse both together, and the functions go first. From Gemini 3 on both go up.", "这类模型拒绝两者同时使用，因此保留函数；Gemini 3 起两者都会发送。"),
        asked("tool_choice: auto", with("tool_choice", json!("auto"))).becomes(calling, json!(null)).says("What Gemini does anyway.", "Gemini 的默认行为。"),
        asked("tool_choice: none", with("tool_choice", json!("none"))).becomes(calling, json!({ "mode": "NONE" })),
        asked("tool_choice: required", with("tool_choice", json!("required")))
            .becomes(calling, json!({ "mode": "ANY" })),
        asked("tool_choice.function", with("tool_choice", json!({ "type": "function", "function": { "name": "f" } })))
            .becomes(calling, json!({ "mode": "ANY", "allowedFunctionNames": ["f"] })),
        asked("tool_choice.function of no tool", with("tool_choice", json!({ "type": "function", "function": { "name": "g" } })))
            .refused("tool_choice"),
        asked(
            "tool_choice.allowed_tools",
            with("tool_choice", json!({ "type": "allowed_tools", "allowed_tools": { "mode": "auto", "tools": [{ "type": "function", "function": { "name": "f" } }] } })),
        )
        .becomes(calling, json!({ "mode": "VALIDATED", "allowedFunctionNames": ["f"] })),
        asked("parallel_tool_calls", json!({ "parallel_tool_calls": false }))
            .says("Gemini cannot be told; of the calls in an answer only the first is passed on.", "Gemini 没有对应的设置；响应中只保留第一个调用。"),
        asked("functions", json!({ "functions": [{ "name": "f", "parameters": schema }] }))
            .becomes("/tools/0/functionDeclarations/0", json!({ "name": "f", "parametersJsonSchema": schema }))
            .says("The form of 2023; calls come as `function_call`.", "2023 年的写法；调用以 `function_call` 返回。"),
        asked("function_call", json!({ "functions": [{ "name": "f" }], "function_call": { "name": "f" } }))
            .becomes(calling, json!({ "mode": "ANY", "allowedFunctionNames": ["f"] })),
        asked("response_format: json_object", json!({ "response_format": { "type": "json_object" } }))
            .becomes("/generationConfig/responseMimeType", json!("application/json")),
        asked(
            "response_format: json_schema",
            json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": schema } } }),
        )
        .becomes("/generationConfig/responseMimeType", json!("application/json"))
        .becomes("/generationConfig/responseJsonSchema", schema),
        asked("response_format with tools", with("response_format", json!({ "type": "json_object" })))
            .on("gemini-2.5-flash")
            .becomes("/generationConfig", json!(null))
            .becomes(
                "/systemInstruction/parts/0/text",
                json!("Answer with one JSON value and nothing else: no explanation, no code fence."),
            )
            .says("Such models refuse both together, and are asked in words. From Gemini 3 on both go up.", "这类模型拒绝两者同时使用，因此改用文字要求；Gemini 3 起两者都会发送。"),
        asked("response_format of another type", json!({ "response_format": { "type": "grammar" } }))
            .refused("response_format.type"),
    ]
}

fn settings() -> Vec<Asked> {
    let config = |name: &'static str, value: Value, place: &'static str| {
        let mut body = json!({});
        body[name] = value.clone();
        asked(name, body).becomes(place, value)
    };
    let google = |value: Value| json!({ "extra_body": { "google": value } });
    let thinking = "/generationConfig/thinkingConfig";
    vec![
        config("temperature", json!(0.5), "/generationConfig/temperature"),
        config("top_p", json!(0.9), "/generationConfig/topP"),
        config("top_k", json!(20), "/generationConfig/topK"),
        config("seed", json!(7), "/generationConfig/seed").says("Of larger ones 31 bits.", "更大的值取 31 位。"),
        config("n", json!(2), "/generationConfig/candidateCount"),
        asked("n", json!({ "n": 2 })).on("gemini-4-argon").refused("n"),
        config("stop", json!(["a", "b"]), "/generationConfig/stopSequences")
            .says("A string or a list; five at most.", "字符串或数组；最多五个。"),
        config("max_completion_tokens", json!(100), "/generationConfig/maxOutputTokens")
            .says("Thoughts count. 0 and -1 mean no limit.", "思考也计算在内。0 和 -1 表示不限制。"),
        config("max_tokens", json!(100), "/generationConfig/maxOutputTokens")
            .says("Where the other is not set.", "未设置上一项时有效。"),
        asked("presence_penalty", json!({ "presence_penalty": 0.5 }))
            .says("Gemini 2.5 and later refuse it.", "Gemini 2.5 及之后的模型拒绝该参数。"),
        config("presence_penalty", json!(0.5), "/generationConfig/presencePenalty").on("gemini-2.0-flash"),
        asked("frequency_penalty", json!({ "frequency_penalty": 0.5 })),
        config("frequency_penalty", json!(0.5), "/generationConfig/frequencyPenalty").on("gemini-2.0-flash"),
        asked("logprobs", json!({ "logprobs": true })).becomes("/generationConfig/responseLogprobs", json!(true)),
        asked("top_logprobs", json!({ "logprobs": true, "top_logprobs": 3 }))
            .becomes("/generationConfig/logprobs", json!(3)),
        asked("reasoning_effort: none", json!({ "reasoning_effort": "none" }))
            .becomes(thinking, json!({ "thinkingLevel": "MINIMAL" }))
            .says("As little as the model can.", "该模型所能的最少。"),
        asked("reasoning_effort: medium", json!({ "reasoning_effort": "medium" }))
            .becomes(thinking, json!({ "includeThoughts": true, "thinkingLevel": "MEDIUM" })),
        asked("reasoning_effort: xhigh", json!({ "reasoning_effort": "xhigh" }))
            .becomes(thinking, json!({ "includeThoughts": true, "thinkingLevel": "HIGH" })),
        asked("reasoning_effort: none", json!({ "reasoning_effort": "none" }))
            .on("gemini-2.5-flash")
            .becomes(thinking, json!({ "thinkingBudget": 0 })),
        asked("reasoning_effort: medium", json!({ "reasoning_effort": "medium" }))
            .on("gemini-2.5-flash")
            .becomes(thinking, json!({ "includeThoughts": true, "thinkingBudget": 8192 }))
            .says("minimal 512, low 1024, high 24576.", "minimal 512，low 1024，high 24576。"),
        asked("reasoning_effort: none", json!({ "reasoning_effort": "none" }))
            .on("gemini-2.5-pro")
            .becomes(thinking, json!({ "thinkingBudget": 128 })),
        asked("reasoning_effort of another word", json!({ "reasoning_effort": "much" }))
            .refused("reasoning_effort"),
        asked("modalities: [text, image]", json!({ "modalities": ["text", "image"] }))
            .on("gemini-3-pro-image-preview")
            .becomes("/generationConfig/responseModalities", json!(["TEXT", "IMAGE"])),
        asked("modalities: [audio], audio", json!({ "modalities": ["text", "audio"], "audio": { "voice": "alloy", "format": "wav" } }))
            .on("gemini-2.5-flash-preview-tts")
            .becomes("/generationConfig/responseModalities", json!(["AUDIO"]))
            .becomes("/generationConfig/speechConfig/voiceConfig/prebuiltVoiceConfig/voiceName", json!("Kore"))
            .says("A voice of Gemini's, or one like OpenAI's.", "Gemini 的音色，或与 OpenAI 音色相近的音色。"),
        asked("audio.format: mp3", json!({ "modalities": ["audio"], "audio": { "format": "mp3" } }))
            .refused("audio.format")
            .says("`pcm16`, and `wav` without `stream`.", "支持 `pcm16`；非流式时还支持 `wav`。"),
        asked("service_tier: flex, priority", json!({ "service_tier": "flex" })).becomes("/serviceTier", json!("flex")),
        asked("service_tier: auto, default", json!({ "service_tier": "auto" })),
        asked("extra_body.google.thinking_config", google(json!({ "thinking_config": { "thinking_level": "low" } })))
            .becomes(thinking, json!({ "includeThoughts": true, "thinkingLevel": "LOW" }))
            .says("Goes before `reasoning_effort`; budgets and levels are put in the model's words.", "优先于 `reasoning_effort`；预算与级别会换成该模型的写法。"),
        asked("extra_body.google.cached_content", google(json!({ "cached_content": "cachedContents/a" })))
            .becomes("/cachedContent", json!("cachedContents/a")),
        asked(
            "extra_body.google.safety_settings",
            google(json!({ "safety_settings": [{ "category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF" }] })),
        )
        .becomes("/safetySettings/0/threshold", json!("OFF")),
        asked("extra_body.google.image_config", google(json!({ "image_config": { "aspect_ratio": "16:9" } })))
            .becomes("/generationConfig/imageConfig", json!({ "aspect_ratio": "16:9" }))
            .says("Also as `image_config`.", "也可写作 `image_config`。"),
        asked("extra_body.google.media_resolution", google(json!({ "media_resolution": "MEDIA_RESOLUTION_LOW" })))
            .becomes("/generationConfig/mediaResolution", json!("MEDIA_RESOLUTION_LOW")),
        asked("google", json!({ "google": { "cached_content": "cachedContents/a" } }))
            .becomes("/cachedContent", json!("cachedContents/a"))
            .says("The same as `extra_body.google`.", "与 `extra_body.google` 相同。"),
        asked("stream_options.include_usage", json!({ "stream": true, "stream_options": { "include_usage": true } }))
            .says("A last event with `usage`.", "流末尾会多一个带 `usage` 的事件。"),
    ]
}

fn ignored() -> Vec<Asked> {
    vec![
        asked("logit_bias", json!({ "logit_bias": { "50256": -100 } })),
        asked("metadata", json!({ "metadata": { "a": "b" } })),
        asked("prediction", json!({ "prediction": { "type": "content", "content": "a" } })),
        asked("prompt_cache_key", json!({ "prompt_cache_key": "a" })),
        asked("safety_identifier", json!({ "safety_identifier": "a" })),
        asked("store", json!({ "store": true })),
        asked("user", json!({ "user": "anna" })),
        asked("verbosity", json!({ "verbosity": "low" })),
    ]
}

fn answers() -> Vec<Answered> {
    let parts =
        |parts: Value| json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }] });
    let ends = |reason: &str| json!({ "candidates": [{ "content": { "parts": [{ "text": "a" }] }, "finishReason": reason }] });
    let message = "/choices/0/message";
    let reason = "/choices/0/finish_reason";
    let native = "/choices/0/native_finish_reason";
    vec![
        answered("modelVersion", parts(json!([{ "text": "a" }])))
            .becomes("/model", json!("m"))
            .says("The model as the client asked for it.", "客户端请求的模型名。"),
        answered("parts[].text", parts(json!([{ "text": "a" }, { "text": "b" }])))
            .becomes("/choices/0/message/content", json!("ab")),
        answered("parts[].text of a thought", parts(json!([{ "text": "a", "thought": true }, { "text": "b" }])))
            .becomes("/choices/0/message/reasoning_content", json!("a"))
            .becomes("/choices/0/message/content", json!("b")),
        answered("parts[].functionCall", parts(json!([{ "functionCall": { "id": "1", "name": "f", "args": { "a": 1 } } }])))
            .becomes("/choices/0/message/content", json!(null))
            .becomes(
                "/choices/0/message/tool_calls/0",
                json!({ "id": "call_a_0_0", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } }),
            )
            .becomes(reason, json!("tool_calls"))
            .says("Ids are Libra's own, short and unique.", "id 由 Libra 生成，简短且唯一。"),
        answered("parts[].functionCall", parts(json!([{ "functionCall": { "name": "f" } }])))
            .to(json!({ "functions": [{ "name": "f" }] }))
            .becomes("/choices/0/message/function_call", json!({ "name": "f", "arguments": "{}" }))
            .becomes(reason, json!("function_call"))
            .says("Where the request has `functions`.", "请求使用 `functions` 时。"),
        answered("parts[].functionCall", parts(json!([{ "functionCall": { "name": "say", "args": { "input": "x" } } }])))
            .to(json!({ "tools": [{ "type": "custom", "custom": { "name": "say" } }] }))
            .becomes("/choices/0/message/tool_calls/0/custom", json!({ "name": "say", "input": "x" }))
            .says("Of a custom tool.", "custom 工具。"),
        answered("parts[].thoughtSignature of a call", parts(json!([{ "functionCall": { "name": "f" }, "thoughtSignature": "c2ln" }])))
            .becomes(
                "/choices/0/message/tool_calls/0/extra_content",
                json!({ "google": { "thought_signature": "c2ln" } }),
            ),
        answered("parts[].thoughtSignature", parts(json!([{ "text": "a", "thoughtSignature": "c2ln" }])))
            .becomes("/choices/0/message/extra_content", json!({ "google": { "thought_signature": "c2ln" } })),
        answered("parts[].inlineData of an image", parts(json!([{ "inlineData": { "mimeType": "image/png", "data": "AAAA" } }])))
            .becomes(
                "/choices/0/message/images/0",
                json!({ "type": "image_url", "index": 0, "image_url": { "url": "data:image/png;base64,AAAA" } }),
            ),
        answered("parts[].inlineData of sound", parts(json!([{ "inlineData": { "mimeType": "audio/L16;rate=24000", "data": "AAAA" } }])))
            .to(json!({ "modalities": ["audio"], "audio": { "format": "pcm16" } }))
            .becomes("/choices/0/message/audio/data", json!("AAAA")),
        answered("parts[].executableCode", parts(json!([{ "executableCode": { "language": "PYTHON", "code": "print(1)" } }])))
            .becomes("/choices/0/message/content", json!("\n\n```python\nprint(1)\n```\n\n")),
        answered("parts[].codeExecutionResult", parts(json!([{ "codeExecutionResult": { "outcome": "OUTCOME_OK", "output": "1\n" } }])))
            .becomes("/choices/0/message/content", json!("\n\n```\n1\n```\n\n")),
        answered("candidates[].groundingMetadata", json!({ "candidates": [{
            "content": { "parts": [{ "text": "ab" }] }, "finishReason": "STOP",
            "groundingMetadata": {
                "groundingChunks": [{ "web": { "uri": "https://a", "title": "A" } }],
                "groundingSupports": [{ "segment": { "startIndex": 0, "endIndex": 2, "text": "ab" }, "groundingChunkIndices": [0] }],
            },
        }] }))
        .to(json!({ "web_search_options": {} }))
        .becomes(
            "/choices/0/message/annotations/0",
            json!({ "type": "url_citation", "url_citation": { "start_index": 0, "end_index": 2, "url": "https://a", "title": "A" } }),
        ),
        answered("candidates[].logprobsResult", json!({ "candidates": [{
            "content": { "parts": [{ "text": "a" }] }, "finishReason": "STOP",
            "logprobsResult": { "chosenCandidates": [{ "token": "a", "logProbability": -0.5 }] },
        }] }))
        .becomes("/choices/0/logprobs/content/0/logprob", json!(-0.5)),
        answered("candidates[] without content", json!({ "candidates": [{ "finishReason": "MAX_TOKENS" }] }))
            .becomes("/choices/0/message/content", json!(""))
            .becomes(reason, json!("length")),
        answered("finishReason: STOP", ends("STOP")).becomes(reason, json!("stop")).becomes(native, json!(null)),
        answered("finishReason: MAX_TOKENS", ends("MAX_TOKENS")).becomes(reason, json!("length")),
        answered("finishReason: SAFETY, RECITATION, …", ends("SAFETY"))
            .becomes(reason, json!("content_filter"))
            .becomes(native, json!("SAFETY")),
        answered("finishReason of another kind", ends("MALFORMED_FUNCTION_CALL"))
            .becomes(reason, json!("stop"))
            .becomes(native, json!("MALFORMED_FUNCTION_CALL")),
        answered("promptFeedback.blockReason", json!({ "promptFeedback": { "blockReason": "SAFETY" } }))
            .becomes(message, json!({ "role": "assistant", "content": "", "refusal": "Gemini blocked the prompt (SAFETY)." }))
            .becomes(reason, json!("content_filter")),
        answered("usageMetadata", json!({
            "candidates": [{ "content": { "parts": [{ "text": "a" }] }, "finishReason": "STOP" }],
            "usageMetadata": { "promptTokenCount": 10, "cachedContentTokenCount": 4, "toolUsePromptTokenCount": 1, "candidatesTokenCount": 5, "thoughtsTokenCount": 3, "totalTokenCount": 19 },
        }))
        .becomes("/usage/prompt_tokens", json!(11))
        .becomes("/usage/completion_tokens", json!(8))
        .becomes("/usage/total_tokens", json!(19))
        .becomes("/usage/prompt_tokens_details/cached_tokens", json!(4))
        .becomes("/usage/completion_tokens_details/reasoning_tokens", json!(3))
        .says("Thoughts count as completion, what tools read as prompt.", "思考计入 completion，工具读取的内容计入 prompt。"),
    ]
}
