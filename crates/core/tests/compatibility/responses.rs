//! OpenAI's responses.

use libra_core::error::Error;
use libra_core::gemini::request::Known;
use libra_core::openai::responses::{Conversation, ResponsesRequest, from_gemini, to_gemini};
use serde_json::{Value, json};

use crate::case::{Answered, Asked, Dialect, answered, asked};

const ID: &str = "resp_0123456789abcdef01234567";

pub(crate) fn dialect() -> Dialect {
    Dialect {
        title: ["OpenAI: responses", "OpenAI：Responses"],
        intro: [
            "`POST /v1/responses`, with and without `stream`; `POST /v1/responses/input_tokens` reads the same fields. \
             What messages, functions and settings come to is as in chat completions; here is how they are written. What \
             was kept of `previous_response_id` comes before `input`; 400 where nothing was.",
            "`POST /v1/responses`，流式与非流式；`POST /v1/responses/input_tokens` 读取相同的字段。消息、函数和参数的处理与 \
             Chat Completions 相同，这里列出它们的写法。`previous_response_id` 所保存的内容排在 `input` 之前；没有保存时返回 400。",
        ],
        plain: json!({ "model": "m", "input": [{ "role": "user", "content": "Hi" }] }),
        request,
        answer,
        requests: requests(),
        answers: answers(),
    }
}

fn read(body: &Value) -> Result<(ResponsesRequest, Conversation), Error> {
    let request = ResponsesRequest::parse(body.to_string().as_bytes())?;
    let conversation = request.conversation(None, &request.items(ID)?)?;
    Ok((request, conversation))
}

fn request(body: &Value, model: &str) -> Result<Value, Error> {
    let (_, conversation) = read(body)?;
    let written = to_gemini::request(&conversation, model, &Known::default())?;
    Ok(serde_json::from_slice(&written.body).expect("JSON"))
}

fn answer(body: &Value, native: &Value) -> Value {
    let (request, conversation) = read(body).expect("a request");
    let context = request.context(&conversation, ID, 1_800_000_000);
    let (answer, _) = from_gemini::answer(native.to_string().as_bytes(), &context).expect("an answer");
    serde_json::from_slice(&answer).expect("JSON")
}

fn requests() -> Vec<Asked> {
    let mut cases = items();
    cases.extend(content());
    cases.extend(tools());
    cases.extend(settings());
    cases.extend(ignored());
    cases
}

/// Items after a plain message.
fn said(items: &[Value]) -> Value {
    let plain = json!({ "role": "user", "content": "Hi" });
    let all: Vec<Value> = std::iter::once(plain).chain(items.iter().cloned()).collect();
    json!({ "input": all })
}

fn items() -> Vec<Asked> {
    let call = json!({ "type": "function_call", "call_id": "x", "name": "f", "arguments": "{\"a\":1}" });
    let result = json!({ "type": "function_call_output", "call_id": "x", "output": "{\"b\":2}" });
    let custom = json!({ "type": "custom_tool_call", "call_id": "x", "name": "f", "input": "a" });
    let sealed = |sealed: &str| json!({ "type": "reasoning", "summary": [], "encrypted_content": sealed });
    let words = json!({ "role": "assistant", "content": "Yes." });
    let again = json!({ "role": "user", "content": "And?" });
    let instruction = "/systemInstruction/parts/0/text";
    vec![
        asked("input as a string", json!({ "input": "Hello" }))
            .becomes("/contents/0/parts/0/text", json!("Hello")),
        asked("instructions", json!({ "instructions": "Be short." }))
            .becomes(instruction, json!("Be short."))
            .says("Of this request alone.", "只用于本次请求。"),
        asked("input[] of role system, developer", said(&[json!({ "role": "developer", "content": "Be short." })]))
            .becomes(instruction, json!("Be short.")),
        asked("input[] of role assistant", said(std::slice::from_ref(&words)))
            .becomes("/contents/1/role", json!("model")),
        asked("input[] of type function_call, function_call_output", said(&[call.clone(), result]))
            .becomes(
                "/contents/1/parts/0/functionCall",
                json!({ "id": "x", "name": "f", "args": { "a": 1 } }),
            )
            .becomes(
                "/contents/2/parts/0/functionResponse",
                json!({ "id": "x", "name": "f", "response": { "b": 2 } }),
            ),
        asked("function_call_output.output as parts", said(&[
            call.clone(),
            json!({ "type": "function_call_output", "call_id": "x", "output": [
                { "type": "input_image", "image_url": "data:image/png;base64,AAAA" },
            ] }),
        ]))
        .becomes("/contents/2/parts/0/functionResponse/parts/0/inlineData/mimeType", json!("image/png")),
        asked("function_call.namespace", said(&[
            json!({ "type": "function_call", "call_id": "x", "namespace": "n", "name": "f", "arguments": "" }),
        ]))
        .becomes("/contents/1/parts/0/functionCall/name", json!("n.f")),
        asked("input[] of type custom_tool_call", said(&[custom]))
            .becomes("/contents/1/parts/0/functionCall/args", json!({ "input": "a" })),
        asked("input[] of type reasoning, before a call", said(&[sealed("libra1.call.x.c2ln"), call]))
            .becomes("/contents/1/parts/0/thoughtSignature", json!("c2ln"))
            .says(
                "Its `encrypted_content`, if it is of Libra's making; the summary is not sent.",
                "取其 `encrypted_content`（须由 Libra 生成）；摘要不会发送。",
            ),
        asked("input[] of type reasoning, before a text", said(&[sealed("libra1.next.c2ln"), words.clone()]))
            .becomes("/contents/1/parts/0/thoughtSignature", json!("c2ln")),
        asked("input[] of type reasoning, of another service", said(&[sealed("gAAAA"), words, again]))
            .becomes("/contents/1/parts/0/thoughtSignature", json!(null))
            .says("Dropped.", "丢弃。"),
        asked("input[] of type local_shell_call, shell_call, apply_patch_call, mcp_call", said(&[
            json!({ "type": "shell_call", "call_id": "x", "action": { "commands": ["ls"] } }),
        ]))
        .becomes("/contents/1/parts/0/functionCall/args", json!({ "commands": ["ls"] }))
        .says("Calls of earlier turns, and their outputs likewise.", "先前轮次中的调用，其结果同理。"),
        asked("input[] of type code_interpreter_call", said(&[
            json!({ "type": "code_interpreter_call", "id": "ci_1", "code": "print(1)", "outputs": [] }),
        ]))
        .becomes("/contents/1/parts/0/text", json!("```python\nprint(1)\n```")),
        asked("input[] of type image_generation_call", said(&[
            json!({ "type": "image_generation_call", "id": "ig_1", "result": "iVBORw0KGgo=" }),
        ]))
        .becomes("/contents/1/parts/0/inlineData/mimeType", json!("image/png")),
        asked("input[] of type additional_tools", said(&[
            json!({ "type": "additional_tools", "role": "developer", "tools": [{ "type": "function", "name": "f" }] }),
        ]))
        .becomes("/tools/0/functionDeclarations/0/name", json!("f")),
        asked("input[] of type item_reference", said(&[json!({ "type": "item_reference", "id": "msg_1" })]))
            .refused("input[1].id")
            .says(
                "Where the item is not one that was kept; else the item stands in its place.",
                "所指条目未保存时；否则以该条目代替。",
            ),
        asked("input[] of type web_search_call, file_search_call, computer_call, compaction, …", said(&[
            json!({ "type": "web_search_call", "id": "ws_1", "action": { "type": "search", "query": "q" } }),
        ])),
    ]
}

/// A part of the only message.
fn part(part: Value) -> Value {
    json!({ "input": [{ "role": "user", "content": [part] }] })
}

fn content() -> Vec<Asked> {
    let first = "/contents/0/parts/0";
    let uri = "/contents/0/parts/0/fileData/fileUri";
    let image = json!({ "mimeType": "image/png", "data": "AAAA" });
    let pdf =
        json!({ "type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA" });
    vec![
        asked("content[].input_text", part(json!({ "type": "input_text", "text": "Hello" })))
            .becomes(first, json!({ "text": "Hello" })),
        asked(
            "content[].input_image",
            part(
                json!({ "type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low" }),
            ),
        )
        .becomes("/contents/0/parts/0/inlineData", image)
        .says("`detail` is ignored.", "忽略 `detail`。"),
        asked("content[].input_image.file_id", part(json!({ "type": "input_image", "file_id": "files/a" })))
            .becomes(uri, json!("https://generativelanguage.googleapis.com/v1beta/files/a"))
            .says("Of Gemini's Files API.", "Gemini Files API 的文件。"),
        asked("content[].input_file.file_data", part(pdf))
            .becomes("/contents/0/parts/0/inlineData/mimeType", json!("application/pdf")),
        asked(
            "content[].input_file.file_url",
            part(json!({ "type": "input_file", "file_url": "https://example.com/a.pdf" })),
        )
        .becomes(uri, json!("https://example.com/a.pdf")),
        asked("content[].input_file.file_id", part(json!({ "type": "input_file", "file_id": "file-a" })))
            .becomes(uri, json!("https://generativelanguage.googleapis.com/v1beta/files/a"))
            .says("Of `/v1/files` here.", "此处 `/v1/files` 的文件。"),
        asked("content[].input_file.file_id", part(json!({ "type": "input_file", "file_id": "file-AbC" })))
            .refused("input[0].content[0].file_id")
            .says("Of OpenAI.", "OpenAI 的文件。"),
        asked(
            "content[].input_audio",
            part(json!({ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "mp3" } })),
        )
        .becomes("/contents/0/parts/0/inlineData/mimeType", json!("audio/mp3")),
        asked("content[] of another type", part(json!({ "type": "input_smell" })))
            .refused("input[0].content[0].type"),
    ]
}

fn tools() -> Vec<Asked> {
    let offered = |tool: Value| json!({ "tools": [tool] });
    let chosen = |choice: Value| json!({ "tools": [{ "type": "function", "name": "f" }, { "type": "custom", "name": "g" }], "tool_choice": choice });
    let name = "/tools/0/functionDeclarations/0/name";
    let calling = "/toolConfig/functionCallingConfig";
    let within = json!([{ "type": "function", "name": "f" }, { "type": "custom", "name": "g" }]);
    vec![
        asked(
            "tools[] of type function",
            offered(json!({ "type": "function", "name": "f", "strict": true })),
        )
        .becomes(name, json!("f"))
        .says("`strict` is ignored.", "忽略 `strict`。"),
        asked("tools[] of type custom", offered(json!({ "type": "custom", "name": "g" })))
            .becomes(name, json!("g"))
            .says(
                "A function of one string, `input`; a grammar is said in its description.",
                "只有一个字符串参数 `input` 的函数；语法写入描述。",
            ),
        asked(
            "tools[] of type namespace",
            offered(json!({ "type": "namespace", "name": "n", "description": "", "tools": within })),
        )
        .becomes(name, json!("n.f"))
        .becomes("/tools/0/functionDeclarations/1/name", json!("n.g")),
        asked(
            "tools[] of type web_search",
            offered(json!({ "type": "web_search", "search_context_size": "low" })),
        )
        .becomes("/tools/0/googleSearch", json!({}))
        .says("Its settings are ignored.", "忽略其设置。"),
        asked("tools[] of type code_interpreter", offered(json!({ "type": "code_interpreter" })))
            .becomes("/tools/0/codeExecution", json!({})),
        asked(
            "tools[] of type file_search, mcp, computer, image_generation, local_shell, shell, …",
            offered(json!({ "type": "mcp", "server_label": "a", "server_url": "https://example.com" })),
        )
        .says("Models that draw do so without a tool.", "能绘图的模型无需工具。"),
        asked("tool_choice: none", chosen(json!("none"))).becomes(calling, json!({ "mode": "NONE" })),
        asked("tool_choice: required", chosen(json!("required"))).becomes(calling, json!({ "mode": "ANY" })),
        asked("tool_choice of type function", chosen(json!({ "type": "function", "name": "f" })))
            .becomes(calling, json!({ "mode": "ANY", "allowedFunctionNames": ["f"] })),
        asked("tool_choice of type custom", chosen(json!({ "type": "custom", "name": "g" })))
            .becomes(calling, json!({ "mode": "ANY", "allowedFunctionNames": ["g"] })),
        asked("tool_choice of no tool", chosen(json!({ "type": "function", "name": "h" })))
            .refused("tool_choice"),
        asked(
            "tool_choice of type allowed_tools",
            chosen(json!({
                "type": "allowed_tools", "mode": "auto", "tools": [{ "type": "function", "name": "f" }],
            })),
        )
        .becomes(calling, json!({ "mode": "VALIDATED", "allowedFunctionNames": ["f"] })),
        asked("tool_choice of type web_search, …", chosen(json!({ "type": "web_search_preview" })))
            .becomes(calling, json!(null))
            .says("The model decides.", "由模型决定。"),
        asked("parallel_tool_calls", json!({ "parallel_tool_calls": false })).says(
            "Gemini cannot be told; of the calls in an answer only the first is passed on.",
            "Gemini 没有此设置；响应中的多个调用只返回第一个。",
        ),
        asked("max_tool_calls", json!({ "max_tool_calls": 3 })),
    ]
}

fn settings() -> Vec<Asked> {
    let thinking = "/generationConfig/thinkingConfig";
    let schema = json!({ "type": "object" });
    vec![
        asked("reasoning.effort", json!({ "reasoning": { "effort": "low" } }))
            .becomes(thinking, json!({ "includeThoughts": false, "thinkingLevel": "LOW" }))
            .says("As `reasoning_effort` of chats.", "同 Chat Completions 的 `reasoning_effort`。"),
        asked("reasoning.effort", json!({ "reasoning": { "effort": "much" } })).refused("reasoning.effort"),
        asked("reasoning.summary", json!({ "reasoning": { "summary": "auto" } }))
            .becomes(thinking, json!({ "includeThoughts": true })),
        asked("text.format: json_schema", json!({ "text": { "format": { "type": "json_schema", "name": "a", "schema": schema } } }))
            .becomes("/generationConfig/responseMimeType", json!("application/json"))
            .becomes("/generationConfig/responseJsonSchema", schema),
        asked("text.format: json_object", json!({ "text": { "format": { "type": "json_object" } } }))
            .becomes("/generationConfig/responseMimeType", json!("application/json")),
        asked("text.format of another type", json!({ "text": { "format": { "type": "xml" } } }))
            .refused("text.format.type"),
        asked("text.verbosity", json!({ "text": { "verbosity": "low" } })),
        asked("temperature", json!({ "temperature": 0.5 })).becomes("/generationConfig/temperature", json!(0.5)),
        asked("top_p", json!({ "top_p": 0.9 })).becomes("/generationConfig/topP", json!(0.9)),
        asked("max_output_tokens", json!({ "max_output_tokens": 100 }))
            .becomes("/generationConfig/maxOutputTokens", json!(100))
            .says("Thoughts count.", "思考计算在内。"),
        asked("top_logprobs", json!({ "top_logprobs": 3 })).becomes("/generationConfig/logprobs", json!(3)),
        asked("include: message.output_text.logprobs", json!({ "include": ["message.output_text.logprobs"] }))
            .becomes("/generationConfig/responseLogprobs", json!(true)),
        asked(
            "include: reasoning.encrypted_content, web_search_call.action.sources, code_interpreter_call.outputs",
            json!({ "include": ["reasoning.encrypted_content"] }),
        )
        .says("For the answer.", "用于响应。"),
        asked("service_tier: flex, priority", json!({ "service_tier": "flex" }))
            .becomes("/serviceTier", json!("flex")),
        asked("extra_body.google", json!({ "extra_body": { "google": { "cached_content": "cachedContents/a" } } }))
            .becomes("/cachedContent", json!("cachedContents/a"))
            .says("As in chats.", "同 Chat Completions。"),
        asked("background", json!({ "background": true })).refused("background"),
        asked("conversation", json!({ "conversation": "conv_1" })).refused("conversation"),
        asked("prompt", json!({ "prompt": { "id": "pmpt_1" } })).refused("prompt"),
    ]
}

fn ignored() -> Vec<Asked> {
    vec![
        asked("store", json!({ "store": false })).says(
            "Whether the response is kept; it is unless this is `false`.",
            "是否保存响应；除非为 `false`，否则保存。",
        ),
        asked("client_metadata", json!({ "client_metadata": { "a": "b" } })),
        asked("context_management", json!({ "context_management": [{ "type": "compaction" }] })),
        asked("metadata", json!({ "metadata": { "a": "b" } }))
            .says("Stands in the answer.", "在响应中原样给出。"),
        asked("moderation", json!({ "moderation": { "model": "a" } })),
        asked("prompt_cache_key", json!({ "prompt_cache_key": "a" })),
        asked("prompt_cache_options", json!({ "prompt_cache_options": { "mode": "implicit" } })),
        asked("safety_identifier", json!({ "safety_identifier": "a" })),
        asked("stream_options", json!({ "stream_options": { "include_obfuscation": false } })),
        asked("truncation", json!({ "truncation": "auto" })),
        asked("user", json!({ "user": "anna" })),
    ]
}

fn answers() -> Vec<Answered> {
    let parts =
        |parts: Value| json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }] });
    let ends = |reason: &str| json!({ "candidates": [{ "content": { "parts": [{ "text": "a" }] }, "finishReason": reason }] });
    let grounded = json!({ "candidates": [{
        "content": { "parts": [{ "text": "ab" }] }, "finishReason": "STOP",
        "groundingMetadata": {
            "webSearchQueries": ["q"],
            "groundingChunks": [{ "web": { "uri": "https://a", "title": "A" } }],
            "groundingSupports": [{ "segment": { "startIndex": 0, "endIndex": 2, "text": "ab" }, "groundingChunkIndices": [0] }],
        },
    }] });
    let ran = json!([
        { "executableCode": { "language": "PYTHON", "code": "print(1)" } },
        { "codeExecutionResult": { "outcome": "OUTCOME_OK", "output": "1\n" } },
    ]);
    let first = "/output/0/type";
    let sealed = "/output/0/encrypted_content";
    vec![
        answered("parts[].text", parts(json!([{ "text": "a" }, { "text": "b" }])))
            .becomes(first, json!("message"))
            .becomes("/output/0/content/0/text", json!("ab")),
        answered("parts[].text of a thought", parts(json!([{ "text": "a", "thought": true }, { "text": "b" }])))
            .becomes(first, json!("reasoning"))
            .becomes("/output/0/summary/0/text", json!("a")),
        answered("parts[].functionCall", parts(json!([{ "functionCall": { "name": "f", "args": { "a": 1 } } }])))
            .becomes(first, json!("function_call"))
            .becomes("/output/0/arguments", json!("{\"a\":1}"))
            .says("Ids are Libra's own, short and unique.", "id 由 Libra 生成，简短且唯一。"),
        answered("parts[].functionCall", parts(json!([{ "functionCall": { "name": "g", "args": { "input": "x" } } }])))
            .to(json!({ "tools": [{ "type": "custom", "name": "g" }] }))
            .becomes(first, json!("custom_tool_call"))
            .becomes("/output/0/input", json!("x"))
            .says("Of a custom tool.", "custom 工具。"),
        answered("parts[].functionCall", parts(json!([{ "functionCall": { "name": "n.f" } }])))
            .to(json!({ "tools": [{ "type": "namespace", "name": "n", "tools": [{ "type": "function", "name": "f" }] }] }))
            .becomes("/output/0/namespace", json!("n"))
            .becomes("/output/0/name", json!("f"))
            .says("Of a namespace.", "命名空间中的函数。"),
        answered(
            "parts[].thoughtSignature of a call",
            parts(json!([{ "functionCall": { "name": "f" }, "thoughtSignature": "c2ln" }])),
        )
        .becomes(first, json!("reasoning"))
        .becomes(sealed, json!("libra1.call.call_0123456789abcdef01234567_0_0.c2ln"))
        .says("In an item before the call.", "位于调用之前的条目中。"),
        answered("parts[].thoughtSignature", parts(json!([{ "text": "a", "thoughtSignature": "c2ln" }])))
            .becomes(sealed, json!("libra1.next.c2ln"))
            .becomes("/output/1/extra_content", json!({ "google": { "thought_signature": "c2ln" } })),
        answered(
            "parts[].inlineData of an image",
            parts(json!([{ "inlineData": { "mimeType": "image/png", "data": "AAAA" } }])),
        )
        .becomes(first, json!("image_generation_call"))
        .becomes("/output/0/result", json!("AAAA")),
        answered("parts[].executableCode, codeExecutionResult", parts(ran))
            .to(json!({ "include": ["code_interpreter_call.outputs"] }))
            .becomes(first, json!("code_interpreter_call"))
            .becomes("/output/0/code", json!("print(1)"))
            .becomes("/output/0/outputs/0/logs", json!("1\n"))
            .says("Outputs where `include` asks for them.", "`include` 要求时给出输出。"),
        answered("candidates[].groundingMetadata", grounded)
            .to(json!({ "tools": [{ "type": "web_search" }] }))
            .becomes(first, json!("web_search_call"))
            .becomes("/output/0/action/query", json!("q"))
            .becomes("/output/1/content/0/annotations/0/url", json!("https://a"))
            .says(
                "In a stream the search follows its text, as Gemini tells it then.",
                "流式响应中，搜索条目在文本之后，因为 Gemini 那时才给出。",
            ),
        answered("candidates[].logprobsResult", json!({ "candidates": [{
            "content": { "parts": [{ "text": "a" }] }, "finishReason": "STOP",
            "logprobsResult": { "chosenCandidates": [{ "token": "a", "logProbability": -0.5 }] },
        }] }))
        .becomes("/output/0/content/0/logprobs/0/logprob", json!(-0.5)),
        answered("finishReason: STOP", ends("STOP")).becomes("/status", json!("completed")),
        answered("finishReason: MAX_TOKENS", ends("MAX_TOKENS"))
            .becomes("/status", json!("incomplete"))
            .becomes("/incomplete_details/reason", json!("max_output_tokens")),
        answered("finishReason: SAFETY, RECITATION, …", ends("SAFETY"))
            .becomes("/status", json!("incomplete"))
            .becomes("/incomplete_details/reason", json!("content_filter")),
        answered("finishReason: MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, …", ends("MALFORMED_FUNCTION_CALL"))
            .becomes("/status", json!("failed"))
            .becomes("/error/code", json!("server_error")),
        answered("promptFeedback.blockReason", json!({ "promptFeedback": { "blockReason": "SAFETY" } }))
            .becomes("/status", json!("incomplete"))
            .becomes("/output/0/content/0/refusal", json!("Gemini blocked the prompt (SAFETY).")),
        answered("usageMetadata", json!({
            "candidates": [{ "content": { "parts": [{ "text": "a" }] }, "finishReason": "STOP" }],
            "usageMetadata": { "promptTokenCount": 10, "cachedContentTokenCount": 4, "toolUsePromptTokenCount": 1, "candidatesTokenCount": 5, "thoughtsTokenCount": 3, "totalTokenCount": 19 },
        }))
        .becomes("/usage/input_tokens", json!(11))
        .becomes("/usage/output_tokens", json!(8))
        .becomes("/usage/total_tokens", json!(19))
        .becomes("/usage/input_tokens_details/cached_tokens", json!(4))
        .becomes("/usage/output_tokens_details/reasoning_tokens", json!(3)),
    ]
}
