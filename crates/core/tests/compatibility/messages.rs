//! Anthropic's messages.

use libra_core::anthropic::messages::{MessagesRequest, from_gemini, to_gemini};
use libra_core::error::Error;
use libra_core::gemini::request::Known;
use serde_json::{Value, json};

use crate::case::{Answered, Asked, Dialect, answered, asked};

pub(crate) fn dialect() -> Dialect {
    Dialect {
        title: ["Anthropic: messages", "Anthropic：Messages"],
        intro: [
            "`POST /v1/messages`, with and without `stream`, and `POST /v1/messages/count_tokens`, which takes the same \
             fields. The events of a stream make up the same message; only which signature a text will have it cannot \
             know in time (a reference stands for it), and what was searched for comes as citations alone, if Gemini \
             tells it last.",
            "`POST /v1/messages`（流式与非流式），以及接受相同字段的 `POST /v1/messages/count_tokens`。流中的事件组成同一条\
             消息；只有文本的签名当时还不知道（以引用代替），而搜索内容若由 Gemini 最后给出，则只以引文形式出现。",
        ],
        plain: json!({ "model": "m", "max_tokens": 1024, "messages": [{ "role": "user", "content": "Hi" }] }),
        request,
        answer,
        requests: requests(),
        answers: answers(),
    }
}

fn request(body: &Value, model: &str) -> Result<Value, Error> {
    let messages = MessagesRequest::parse(body.to_string().as_bytes())?;
    let written = to_gemini::request(&messages, model, &Known::default())?;
    Ok(serde_json::from_slice(&written.body).expect("JSON"))
}

fn answer(body: &Value, native: &Value) -> Value {
    let messages = MessagesRequest::parse(body.to_string().as_bytes()).expect("a request");
    let (answer, _) =
        from_gemini::answer(native.to_string().as_bytes(), &messages.context("msg_a")).expect("an answer");
    serde_json::from_slice(&answer).expect("JSON")
}

fn requests() -> Vec<Asked> {
    let mut cases = messages();
    cases.extend(tools());
    cases.extend(settings());
    cases.extend(ignored());
    cases
}

/// Messages after a plain one.
fn said(more: &[Value]) -> Value {
    let mut messages = vec![json!({ "role": "user", "content": "Hi" })];
    messages.extend_from_slice(more);
    json!({ "messages": messages })
}

/// A block of the only message.
fn block(block: Value) -> Value {
    json!({ "messages": [{ "role": "user", "content": [block] }] })
}

fn source(kind: &str, source: Value) -> Value {
    block(json!({ "type": kind, "source": source }))
}

fn messages() -> Vec<Asked> {
    let instruction = "/systemInstruction/parts/0/text";
    let part = "/contents/0/parts/0";
    let inline = "/contents/0/parts/0/inlineData";
    let uri = "/contents/0/parts/0/fileData/fileUri";
    let text = "/contents/0/parts/0/text";
    vec![
        asked("system", json!({ "system": "Be short." })).becomes(instruction, json!("Be short.")),
        asked("system[]", json!({ "system": [
            { "type": "text", "text": "x-anthropic-billing-header: a=b" }, { "type": "text", "text": "Be short." },
        ] }))
        .becomes(instruction, json!("Be short."))
        .says(
            "Without Claude Code's line for the bill, which would keep caches from working.",
            "去掉 Claude Code 的计费行，否则缓存无法命中。",
        ),
        asked(
            "messages[] of role system",
            json!({ "messages": [{ "role": "system", "content": "Be short." }, { "role": "user", "content": "Hi" }] }),
        )
        .becomes(instruction, json!("Be short."))
        .says("At the beginning.", "位于开头时。"),
        asked("messages[] of role system", said(&[json!({ "role": "system", "content": "Now." })]))
            .becomes("/contents/0/parts/1/text", json!("<system-reminder>\nNow.\n</system-reminder>"))
            .says("Later: it stays where it is.", "位于后面时：保持原位。"),
        asked("messages[] of role user", said(&[json!({ "role": "user", "content": "And?" })]))
            .becomes("/contents/0/parts/1/text", json!("And?"))
            .becomes("/contents/1", json!(null))
            .says("Messages of one role that follow each other are one turn.", "同一角色的连续消息合并为一轮。"),
        asked("messages[] of role assistant", said(&[json!({ "role": "assistant", "content": "Yes." })]))
            .becomes("/contents/1/role", json!("model"))
            .says("At the end it is continued.", "位于结尾时由模型续写。"),
        asked("content[] of type text", block(json!({ "type": "text", "text": "a" }))).becomes(text, json!("a")),
        asked(
            "content[] of type image, source base64",
            source("image", json!({ "type": "base64", "media_type": "image/png", "data": "AAAA" })),
        )
        .becomes(inline, json!({ "mimeType": "image/png", "data": "AAAA" })),
        asked(
            "content[] of type image, source url",
            source("image", json!({ "type": "url", "url": "https://example.com/a.png" })),
        )
        .becomes(uri, json!("https://example.com/a.png"))
        .says(
            "Fetched, for clients of the pool; see [Images and files by address](behaviour.md#images-and-files-by-address).",
            "为密钥池的客户端抓取；见[以地址引用的图片和文件](behaviour.zh-CN.md#以地址引用的图片和文件)。",
        ),
        asked(
            "content[] of type image, source file",
            source("image", json!({ "type": "file", "file_id": "files/a" })),
        )
        .becomes(uri, json!("https://generativelanguage.googleapis.com/v1beta/files/a"))
        .says("Of Gemini's Files API.", "Gemini Files API 中的文件。"),
        asked(
            "content[] of type image, source file",
            source("image", json!({ "type": "file", "file_id": "file-a" })),
        )
        .becomes(uri, json!("https://generativelanguage.googleapis.com/v1beta/files/a"))
        .says("Of `/v1/files` here.", "此处 `/v1/files` 的文件。"),
        asked(
            "content[] of type image, source file",
            source("image", json!({ "type": "file", "file_id": "file_a" })),
        )
        .refused("messages.0.content.0.source.file_id")
        .says("Of Anthropic.", "Anthropic 的文件。"),
        asked(
            "content[] of type document, source base64",
            source("document", json!({ "type": "base64", "media_type": "application/pdf", "data": "AAAA" })),
        )
        .becomes(inline, json!({ "mimeType": "application/pdf", "data": "AAAA" })),
        asked(
            "content[] of type document, source text",
            source("document", json!({ "type": "text", "media_type": "text/plain", "data": "a" })),
        )
        .becomes(part, json!({ "text": "a" }))
        .says("Title and context come before it. `citations` is ignored.", "标题和上下文放在前面；`citations` 被忽略。"),
        asked(
            "content[] of type document, source content",
            source("document", json!({ "type": "content", "content": [{ "type": "text", "text": "a" }] })),
        )
        .becomes(text, json!("a")),
        asked(
            "content[] of type search_result",
            block(json!({ "type": "search_result", "source": "u", "title": "t",
                "content": [{ "type": "text", "text": "a" }] })),
        )
        .becomes(text, json!("<search_result title=\"t — u\">\na\n</search_result>")),
        asked("content[] of another type", block(json!({ "type": "smell" }))).refused("messages.0.content.0.type"),
    ]
}

fn tools() -> Vec<Asked> {
    let tool =
        json!({ "name": "f", "description": "d", "input_schema": { "type": "object" }, "strict": true });
    let call = |id: &str| json!({ "type": "tool_use", "id": id, "name": "f", "input": { "a": 1 } });
    let result = |id: &str| json!({ "type": "tool_result", "tool_use_id": id, "content": "{\"b\":2}" });
    let thought = json!({ "type": "thinking", "thinking": "Hm.", "signature": "c2ln" });
    let steps = said(&[
        json!({ "role": "assistant", "content": [thought, call("x"), call("y")] }),
        json!({ "role": "user", "content": [{ "type": "text", "text": "So?" }, result("y")] }),
    ]);
    let with = |kind: &str| json!({ "tools": [{ "type": kind, "name": "n" }] });
    let choice = |choice: Value| json!({ "tools": [tool], "tool_choice": choice });
    let mode = "/toolConfig/functionCallingConfig";
    vec![
        asked("content[] of type tool_use", steps.clone()).becomes(
            "/contents/1/parts/0/functionCall",
            json!({ "id": "x", "name": "f", "args": { "a": 1 } }),
        ),
        asked("content[] of type tool_result", steps.clone())
            .becomes(
                "/contents/2/parts/1/functionResponse",
                json!({ "id": "y", "name": "f", "response": { "b": 2 } }),
            )
            .becomes(
                "/contents/2/parts/0/functionResponse/response/error",
                json!("There is no result of this call."),
            )
            .becomes("/contents/3/parts/0/text", json!("So?"))
            .says(
                "In the order of the calls, before other words; for a missing result an error stands in. A text that is \
                 no object becomes `{\"result\": …}`, with `is_error` `{\"error\": …}`.",
                "按调用顺序排列，位于其他内容之前；缺失的结果以错误代替。非对象的文本变为 `{\"result\": …}`，\
                 带 `is_error` 时为 `{\"error\": …}`。",
            ),
        asked(
            "content[] of type tool_result without its call",
            said(&[json!({ "role": "user", "content": [result("z")] })]),
        )
        .becomes("/contents/0/parts/1/text", json!("Result of the tool call z: {\"b\":2}")),
        asked("content[] of type thinking", steps)
            .becomes("/contents/1/parts/0/thoughtSignature", json!("c2ln"))
            .becomes("/contents/1/parts/1/thoughtSignature", Value::Null)
            .says(
                "Its signature goes to the next call, else to the next text; signatures of Anthropic's own are left out. \
                 See [Thought signatures](behaviour.md#thought-signatures).",
                "其签名交给下一个调用，否则交给下一段文本；Anthropic 自己的签名被去掉。见[思维签名](behaviour.zh-CN.md#思维签名)。",
            ),
        asked(
            "content[] of type redacted_thinking",
            said(&[json!({ "role": "assistant", "content": [
                { "type": "redacted_thinking", "data": "a" }, { "type": "text", "text": "b" } ] })]),
        )
        .becomes("/contents/1/parts", json!([{ "text": "b" }])),
        asked(
            "content[] of type server_tool_use, web_search_tool_result",
            said(&[json!({ "role": "assistant", "content": [
                { "type": "server_tool_use", "id": "s", "name": "web_search", "input": {} },
                { "type": "web_search_tool_result", "tool_use_id": "s", "content": [] },
                { "type": "text", "text": "b" } ] })]),
        )
        .becomes("/contents/1/parts", json!([{ "text": "b" }]))
        .says("What was found is in the text.", "搜索结果已体现在文本中。"),
        asked(
            "content[] of type code_execution_tool_result",
            said(&[json!({ "role": "assistant", "content": [
                { "type": "code_execution_tool_result", "tool_use_id": "s",
                  "content": { "type": "code_execution_result", "stdout": "4\n", "stderr": "", "return_code": 0 } } ] })]),
        )
        .becomes("/contents/1/parts/0/text", json!("```\n4\n```"))
        .says("The code likewise.", "代码同理。"),
        asked("tools[]", json!({ "tools": [tool] }))
            .becomes(
                "/tools/0/functionDeclarations/0",
                json!({ "name": "f", "description": "d", "parametersJsonSchema": { "type": "object" } }),
            )
            .says(
                "Schemas are cleaned of what Gemini refuses. Names that it refuses are changed, and changed back. \
                 `strict`, `cache_control`, `defer_loading` and `eager_input_streaming` are ignored.",
                "去掉 schema 中 Gemini 拒绝的内容；被拒绝的名称会被改写并还原。`strict`、`cache_control`、\
                 `defer_loading` 和 `eager_input_streaming` 被忽略。",
            ),
        asked("tools[] of type web_search_…", with("web_search_20250305"))
            .becomes("/tools/0/googleSearch", json!({}))
            .says("`max_uses`, domains and place are ignored.", "`max_uses`、域名和地点被忽略。"),
        asked("tools[] of type web_fetch_…", with("web_fetch_20250910")).becomes("/tools/0/urlContext", json!({})),
        asked("tools[] of type code_execution_…", with("code_execution_20250825"))
            .becomes("/tools/0/codeExecution", json!({})),
        asked("tools[] of type web_search_… with functions", json!({ "tools": [
            tool, { "type": "web_search_20250305", "name": "web_search" } ] }))
        .on("gemini-2.5-flash")
        .becomes("/tools/1", Value::Null)
        .says(
            "Such models refuse both together, and the functions go first. From Gemini 3 on both go up.",
            "这类模型不接受两者并用，函数优先。从 Gemini 3 起两者都会发送。",
        ),
        asked("tools[] of type bash_…, text_editor_…, memory_…, computer_…", with("bash_20250124"))
            .becomes("/tools/0/functionDeclarations/0/name", json!("n"))
            .says(
                "Functions, with the input that Anthropic defines for them.",
                "作为函数声明，使用 Anthropic 为其定义的输入。",
            ),
        asked("tools[] of another type", with("tool_search_tool_regex_20251119")),
        asked("tool_choice: auto", choice(json!({ "type": "auto" })))
            .becomes(mode, Value::Null)
            .says("What Gemini does anyway.", "Gemini 本来就如此。"),
        asked("tool_choice: any", choice(json!({ "type": "any" }))).becomes(mode, json!({ "mode": "ANY" })),
        asked("tool_choice: tool", choice(json!({ "type": "tool", "name": "f" })))
            .becomes(mode, json!({ "mode": "ANY", "allowedFunctionNames": ["f"] })),
        asked("tool_choice: none", choice(json!({ "type": "none" }))).becomes(mode, json!({ "mode": "NONE" })),
        asked("tool_choice of a tool that is not there", json!({ "tool_choice": { "type": "tool", "name": "g" } }))
            .refused("tool_choice.name"),
        asked("tool_choice.disable_parallel_tool_use", json!({ "tool_choice": {
            "type": "auto", "disable_parallel_tool_use": true } }))
        .says("Further calls are left out of the answer.", "响应中多余的调用会被去掉。"),
    ]
}

fn settings() -> Vec<Asked> {
    let thinking = "/generationConfig/thinkingConfig";
    let schema = json!({ "type": "object" });
    let most = "gemini-2.5-flash";
    vec![
        asked("max_tokens", json!({ "max_tokens": 7 }))
            .becomes("/generationConfig/maxOutputTokens", json!(7)),
        asked("temperature", json!({ "temperature": 0.5 }))
            .becomes("/generationConfig/temperature", json!(0.5)),
        asked("top_p", json!({ "top_p": 0.5 })).becomes("/generationConfig/topP", json!(0.5)),
        asked("top_k", json!({ "top_k": 5 })).becomes("/generationConfig/topK", json!(5)),
        asked("stop_sequences", json!({ "stop_sequences": ["a"] }))
            .becomes("/generationConfig/stopSequences", json!(["a"]))
            .says("The first five.", "前五个。"),
        asked("thinking: enabled", json!({ "thinking": { "type": "enabled", "budget_tokens": 1000 } }))
            .on(most)
            .becomes(thinking, json!({ "includeThoughts": true, "thinkingBudget": 1000 }))
            .says(
                "Below `max_tokens`, and within the model's bounds.",
                "小于 `max_tokens`，并在模型允许的范围内。",
            ),
        asked(
            "thinking: enabled",
            json!({
            "max_tokens": 8192, "thinking": { "type": "enabled", "budget_tokens": 4096 } }),
        )
        .becomes(thinking, json!({ "includeThoughts": true, "thinkingLevel": "MEDIUM" })),
        asked("thinking: adaptive", json!({ "thinking": { "type": "adaptive" } }))
            .becomes(thinking, json!({ "includeThoughts": true })),
        asked("thinking: adaptive", json!({ "thinking": { "type": "adaptive" } }))
            .on(most)
            .becomes(thinking, json!({ "includeThoughts": true, "thinkingBudget": -1 })),
        asked("thinking: disabled", json!({ "thinking": { "type": "disabled" } }))
            .becomes(thinking, json!({ "thinkingLevel": "MINIMAL" }))
            .says("As little as the model can.", "模型允许的最低程度。"),
        asked(
            "thinking.display: omitted",
            json!({
            "thinking": { "type": "adaptive", "display": "omitted" }, "output_config": { "effort": "low" } }),
        )
        .becomes(thinking, json!({ "thinkingLevel": "LOW" })),
        asked("output_config.effort", json!({ "output_config": { "effort": "high" } }))
            .becomes(thinking, json!({ "thinkingLevel": "HIGH" })),
        asked(
            "output_config.format",
            json!({ "output_config": {
            "format": { "type": "json_schema", "schema": schema } } }),
        )
        .becomes("/generationConfig/responseMimeType", json!("application/json"))
        .becomes("/generationConfig/responseJsonSchema", schema)
        .says(
            "`output_format` likewise. Where a model does not take it beside tools, it is told in words.",
            "`output_format` 同理。模型不支持与工具并用时，改用文字说明。",
        ),
    ]
}

fn ignored() -> Vec<Asked> {
    vec![
        asked("cache_control", json!({ "cache_control": { "type": "ephemeral" } }))
            .says("Everywhere. Gemini caches by itself.", "任何位置。Gemini 自行缓存。"),
        asked("context_management", json!({ "context_management": { "edits": [] } })),
        asked("metadata", json!({ "metadata": { "user_id": "a" } })),
        asked("betas", json!({ "betas": ["a"] }))
            .says("And the header `anthropic-beta`.", "以及 `anthropic-beta` 请求头。"),
        asked("mcp_servers", json!({ "mcp_servers": [] })),
        asked("container", json!({ "container": "a" })),
        asked("service_tier", json!({ "service_tier": "auto" })),
        asked("speed", json!({ "speed": "fast" })),
        asked("inference_geo", json!({ "inference_geo": "eu" })),
    ]
}

fn answers() -> Vec<Answered> {
    let parts =
        |parts: Value| json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }] });
    let ended = |reason: &str| json!({ "candidates": [{ "content": {}, "finishReason": reason }] });
    let thinks = json!({ "thinking": { "type": "adaptive" } });
    let search = json!({ "tools": [{ "type": "web_search_20250305", "name": "web_search" }] });
    let first = "/content/0";
    let signed_call =
        json!({ "functionCall": { "name": "f", "args": { "a": 1 } }, "thoughtSignature": "c2ln" });
    vec![
        told("parts[].text", json!({}), parts(json!([{ "text": "a" }, { "text": "b" }])))
            .becomes(first, json!({ "type": "text", "text": "ab" })),
        told(
            "parts[].thought",
            thinks.clone(),
            parts(json!([{ "text": "Hm.", "thought": true }, { "text": "a", "thoughtSignature": "c2ln" }])),
        )
        .becomes(first, json!({ "type": "thinking", "thinking": "Hm.", "signature": "c2ln" })),
        told("parts[].thoughtSignature", thinks, parts(json!([signed_call])))
            .becomes(first, json!({ "type": "thinking", "thinking": "", "signature": "c2ln" }))
            .says("A block of thoughts is there, if thinking is on.", "开启思考时总会有一个思考块。"),
        told("parts[].functionCall", json!({}), parts(json!([signed_call])))
            .becomes("/content/0/type", json!("tool_use"))
            .becomes("/content/0/input", json!({ "a": 1 }))
            .becomes("/stop_reason", json!("tool_use")),
        told("parts[].executableCode", json!({}), parts(json!([{ "executableCode": { "code": "1" } }])))
            .becomes("/content/0/type", json!("server_tool_use"))
            .becomes("/content/0/input", json!({ "code": "1" })),
        told(
            "parts[].codeExecutionResult",
            json!({}),
            parts(json!([{ "codeExecutionResult": { "outcome": "OUTCOME_OK", "output": "1" } }])),
        )
        .becomes("/content/0/type", json!("code_execution_tool_result"))
        .becomes("/content/0/content/stdout", json!("1")),
        told(
            "parts[].inlineData",
            json!({}),
            parts(json!([{ "inlineData": { "mimeType": "image/png", "data": "AAAA" } }])),
        )
        .becomes("/content/0/text", json!("![image](data:image/png;base64,AAAA)"))
        .says("There is no block for it; Markdown shows it.", "没有对应的块；以 Markdown 表示。"),
        told(
            "groundingMetadata",
            search,
            json!({ "candidates": [{ "content": { "parts": [{ "text": "a" }] }, "finishReason": "STOP",
                "groundingMetadata": { "webSearchQueries": ["q"], "groundingChunks": [{ "web": { "uri": "u" } }] } }] }),
        )
        .becomes("/content/0/name", json!("web_search"))
        .becomes("/content/1/type", json!("web_search_tool_result"))
        .becomes("/content/2/citations/0/url", json!("u")),
        told("finishReason: STOP", json!({}), ended("STOP")).becomes("/stop_reason", json!("end_turn")),
        told("finishReason: MAX_TOKENS", json!({}), ended("MAX_TOKENS"))
            .becomes("/stop_reason", json!("max_tokens")),
        told("finishReason: SAFETY and the like", json!({}), ended("SAFETY"))
            .becomes("/stop_reason", json!("refusal"))
            .becomes("/stop_details/explanation", json!("Gemini blocked the answer (SAFETY).")),
        told("promptFeedback.blockReason", json!({}), json!({ "promptFeedback": { "blockReason": "OTHER" } }))
            .becomes("/stop_reason", json!("refusal")),
        told("a stop sequence that was met", json!({ "stop_sequences": ["b"] }), ended("STOP"))
            .becomes("/stop_sequence", Value::Null)
            .says("Gemini does not tell which.", "Gemini 不会说明是哪一个。"),
        told(
            "usageMetadata",
            json!({}),
            json!({ "candidates": [{ "finishReason": "STOP" }], "usageMetadata": { "promptTokenCount": 9,
                "cachedContentTokenCount": 4, "candidatesTokenCount": 2, "thoughtsTokenCount": 3 } }),
        )
        .becomes("/usage/input_tokens", json!(5))
        .becomes("/usage/cache_read_input_tokens", json!(4))
        .becomes("/usage/output_tokens", json!(5)),
    ]
}

fn told(field: &'static str, request: Value, native: Value) -> Answered {
    answered(field, native).to(request)
}
