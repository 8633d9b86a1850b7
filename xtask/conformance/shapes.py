"""What answers have to look like: the SDKs' own types, strictly, and what those types are too lenient to say.

The SDKs' types know every enum and every type of a field. They do not know which fields may be null, and let unknown
ones pass; the tables here do.
"""

import functools
import json

import anthropic.types
import openai.types
import openai.types.chat
import openai.types.responses
import pydantic


class Wrong(AssertionError):
    """An answer that a strict client would not take."""


def need(condition, why):
    if not condition:
        raise Wrong(why)


@functools.cache
def adapter(kind):
    return pydantic.TypeAdapter(kind)


def typed(value, kind, where):
    """Every type and every enum is as the SDK has it."""
    try:
        return adapter(kind).validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise Wrong(f"{where}: {first['loc']} {first['msg']}, of {error.error_count()} errors") from None


def fields(value, where, required, optional="", nullable=""):
    """The object has the fields that it must have, no others than it may have, and null only where that is allowed."""
    required, optional, nullable = required.split(), optional.split(), nullable.split()
    need(isinstance(value, dict), f"{where} is no object")
    missing = [name for name in required if name not in value]
    unknown = [name for name in value if name not in required and name not in optional]
    nulls = [name for name, one in value.items() if one is None and name not in nullable]
    need(not missing, f"{where} lacks {missing}")
    need(not unknown, f"{where} has unknown {unknown}")
    need(not nulls, f"{where} has null {nulls}")


def events(body):
    """The events of a stream: pairs of the event's name, if it has one, and its data."""
    found = []
    for block in body.replace("\r\n", "\n").split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            names = [line.removeprefix("event:").strip() for line in lines if line.startswith("event:")]
            data = "\n".join(line.removeprefix("data:").strip() for line in lines if line.startswith("data:"))
            found.append((names[0] if names else None, data))
    return found


# --- OpenAI: chat completions


def chat_usage(usage, where):
    fields(usage, where, "prompt_tokens completion_tokens total_tokens",
           "prompt_tokens_details completion_tokens_details")
    need(usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"],
         f"{where}: the total is not the sum: {usage}")


def chat_calls(calls, where, more=""):
    for call in calls:
        fields(call, where, "id type function" + more, "extra_content")
        fields(call["function"], f"{where}.function", "name arguments")
        need(isinstance(json.loads(call["function"]["arguments"]), dict), f"{where}: arguments are no object")
    need(len({call["id"] for call in calls}) == len(calls), f"{where}: ids are not unique")


def chat(body):
    typed(body, openai.types.chat.ChatCompletion, "completion")
    fields(body, "completion", "id object created model choices usage", "system_fingerprint service_tier",
           "service_tier")
    for choice in body["choices"]:
        fields(choice, "choice", "index message finish_reason logprobs", "native_finish_reason extra_content", "logprobs")
        message = choice["message"]
        fields(message, "message", "role content refusal",
               "tool_calls annotations audio reasoning_content images extra_content", "content refusal")
        chat_calls(message.get("tool_calls", []), "tool call")
        need("tool_calls" not in message or message["tool_calls"], "tool_calls is empty")
    chat_usage(body["usage"], "usage")
    return body


def chat_stream(body):
    """The completion that the stream adds up to."""
    found = events(body)
    need(found and found[-1] == (None, "[DONE]"), "the stream does not end with [DONE]")
    chunks = [json.loads(data) for _, data in found[:-1]]
    need(all(name is None for name, _ in found), "events have names")
    choices, usage, ids = {}, None, set()
    for chunk in chunks:
        typed(chunk, openai.types.chat.ChatCompletionChunk, "chunk")
        fields(chunk, "chunk", "id object created model choices", "usage system_fingerprint service_tier",
               "usage service_tier")
        ids.add((chunk["id"], chunk["created"], chunk["model"]))
        if chunk.get("usage"):
            need(usage is None and chunk is chunks[-1] and not chunk["choices"], "usage is not in the last chunk alone")
            usage = chunk["usage"]
            chat_usage(usage, "usage")
        for choice in chunk["choices"]:
            add_chunk(choices, choice)
    need(len(ids) == 1, "id, created or model change")
    need(usage is not None, "there is no usage, though it was asked for")
    for choice in choices.values():
        need(choice["finish_reason"], "a choice has no finish_reason")
        chat_calls(choice["message"]["tool_calls"], "tool call")
    return {"choices": [choices[index] for index in sorted(choices)], "usage": usage}


def add_chunk(choices, choice):
    fields(choice, "choice", "index delta finish_reason", "logprobs native_finish_reason extra_content", "finish_reason logprobs")
    delta = choice["delta"]
    fields(delta, "delta", "", "role content refusal tool_calls annotations audio reasoning_content images extra_content",
           "content refusal")
    whole = choices.get(choice["index"])
    if whole is None:
        need(delta.get("role") == "assistant", "the first delta has no role")
        message = {"content": "", "refusal": "", "reasoning_content": "", "tool_calls": []}
        whole = choices[choice["index"]] = {"message": message, "finish_reason": None}
    need(not whole["finish_reason"], "something comes after finish_reason")
    message = whole["message"]
    for name in ("content", "refusal", "reasoning_content"):
        message[name] += delta.get(name) or ""
    for call in delta.get("tool_calls", []):
        need(isinstance(call.get("index"), int), "a call has no index")
        calls = message["tool_calls"]
        if call["index"] == len(calls):
            fields(call, "first delta of a call", "index id type function", "extra_content")
            calls.append({"id": call["id"], "type": call["type"], "function": {"name": call["function"]["name"], "arguments": ""}})
        else:
            fields(call, "delta of a call", "index function", "type")
        need(call["index"] == len(calls) - 1, "calls are not told one after another")
        calls[-1]["function"]["arguments"] += call["function"].get("arguments", "")
    whole["finish_reason"] = choice["finish_reason"]


# --- OpenAI: Responses

RESPONSE_REQUIRED = ("id object created_at status error incomplete_details instructions model tools output "
                     "parallel_tool_calls metadata tool_choice temperature top_p")
RESPONSE_OPTIONAL = ("usage text reasoning previous_response_id max_output_tokens max_tool_calls truncation user store "
                     "background service_tier top_logprobs prompt_cache_key safety_identifier completed_at conversation "
                     "prompt_cache_retention presence_penalty frequency_penalty")
RESPONSE_NULLABLE = ("error incomplete_details instructions temperature top_p metadata previous_response_id reasoning "
                     "max_output_tokens max_tool_calls truncation completed_at conversation background user "
                     "prompt_cache_key safety_identifier service_tier prompt_cache_retention top_logprobs")


def response(body, is_done=True):
    typed(body, openai.types.responses.Response, "response")
    # What is not known before the end is null until then.
    fields(body, "response", RESPONSE_REQUIRED + (" usage" if is_done else ""), RESPONSE_OPTIONAL,
           RESPONSE_NULLABLE + ("" if is_done else " usage"))
    for item in body["output"]:
        response_item(item)
    if is_done:
        usage = body["usage"]
        fields(usage, "usage", "input_tokens input_tokens_details output_tokens output_tokens_details total_tokens")
        need("cached_tokens" in usage["input_tokens_details"], "usage lacks cached_tokens")
        need("reasoning_tokens" in usage["output_tokens_details"], "usage lacks reasoning_tokens")
        need(usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], f"the total is not the sum: {usage}")
    return body


def response_item(item):
    kind = item.get("type")
    if kind == "message":
        fields(item, "message", "id type role status content", "phase")
        for part in item["content"]:
            if part.get("type") == "output_text":
                fields(part, "output_text", "type text annotations", "logprobs")
            else:
                fields(part, "refusal", "type refusal")
    elif kind == "function_call":
        fields(item, "function_call", "type call_id name arguments", "id status namespace")
    elif kind == "reasoning":
        fields(item, "reasoning", "id type summary", "content encrypted_content status", "encrypted_content")


def response_stream(body):
    """The response that the stream ends with, after what came before was held against it."""
    found = [(name, json.loads(data)) for name, data in events(body)]
    items, open_items, texts, arguments = [], set(), {}, {}
    for place, (name, event) in enumerate(found):
        typed(event, openai.types.responses.ResponseStreamEvent, name)
        kind = event["type"]
        need(name == kind, f"the event {kind} is called {name}")
        need(event["sequence_number"] == place, f"sequence_number {event['sequence_number']} at {place}")
        nulls = [key for key, value in event.items() if value is None]
        need(not nulls, f"{kind} has null {nulls}")
        if kind == "response.output_item.added":
            need(event["output_index"] == len(items), "items are not added one after another")
            items.append(event["item"].get("id"))
            open_items.add(event["output_index"])
        elif kind == "response.output_item.done":
            need(event["output_index"] in open_items, "an item is done that is not open")
            need(event["item"].get("id") == items[event["output_index"]], "an item's id changes")
            response_item(event["item"])
            open_items.remove(event["output_index"])
        elif kind == "response.output_text.delta":
            need("logprobs" in event, "a text delta lacks logprobs")
            key = event["output_index"], event["content_index"]
            texts[key] = texts.get(key, "") + event["delta"]
        elif kind == "response.output_text.done":
            need(event["text"] == texts.get((event["output_index"], event["content_index"]), ""), "text and deltas differ")
        elif kind == "response.function_call_arguments.delta":
            arguments[event["output_index"]] = arguments.get(event["output_index"], "") + event["delta"]
        elif kind == "response.function_call_arguments.done":
            need(event["arguments"] == arguments.get(event["output_index"], ""), "arguments and deltas differ")
    kinds = [event["type"] for _, event in found]
    need(kinds[:2] == ["response.created", "response.in_progress"], f"the stream begins with {kinds[:2]}")
    for _, event in found[:2]:
        response(event["response"], is_done=False)
    need(kinds[-1] in ("response.completed", "response.incomplete", "response.failed"), f"the stream ends with {kinds[-1]}")
    need(not open_items, "items are still open at the end")
    last = found[-1][1]["response"]
    need([item.get("id") for item in last["output"]] == items, "the last response has other items than the stream")
    need(f"response.{last['status']}" == kinds[-1], f"{kinds[-1]} has the status {last['status']}")
    return response(last)


# --- Anthropic: Messages

MESSAGE_BLOCKS = {
    "text": ("type text", "citations", "citations"),
    "thinking": ("type thinking signature", "", ""),
    "redacted_thinking": ("type data", "", ""),
    "tool_use": ("type id name input", "caller", ""),
}


def message_usage(usage, where):
    fields(usage, where, "input_tokens output_tokens",
           "cache_creation_input_tokens cache_read_input_tokens cache_creation server_tool_use service_tier "
           "output_tokens_details inference_geo",
           "cache_creation_input_tokens cache_read_input_tokens cache_creation server_tool_use service_tier "
           "output_tokens_details inference_geo")


def message(body):
    typed(body, anthropic.types.Message, "message")
    fields(body, "message", "id type role content model stop_reason stop_sequence usage", "container stop_details",
           "stop_sequence container stop_details")
    need(body["stop_reason"], "there is no stop_reason")
    for block in body["content"]:
        message_block(block)
    message_usage(body["usage"], "usage")
    return body


def message_block(block):
    shape = MESSAGE_BLOCKS.get(block.get("type"))
    if shape:
        fields(block, block["type"], *shape)
    if block.get("type") == "tool_use":
        need(all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in block["id"]),
             f"the id {block['id']} has letters that ids do not have")


def message_stream(body):
    """The message that the stream adds up to."""
    found = [(name, json.loads(data)) for name, data in events(body)]
    found = [(name, event) for name, event in found if name != "ping"]
    need(found and found[0][0] == "message_start", "the stream does not begin with message_start")
    need(found[-1][0] == "message_stop", f"the stream ends with {found[-1][0]}")
    whole, current = None, None
    for name, event in found:
        typed(event, anthropic.types.RawMessageStreamEvent, name)
        need(name == event["type"], f"the event {event['type']} is called {name}")
        if name == "message_start":
            need(whole is None, "there are two message_start")
            whole = event["message"]
            fields(whole, "message", "id type role content model stop_reason stop_sequence usage", "container stop_details",
                   "stop_reason stop_sequence container stop_details")
            need(whole["content"] == [] and whole["stop_reason"] is None, "the message begins with content")
        elif name == "content_block_start":
            need(current is None and event["index"] == len(whole["content"]), "blocks do not follow one another")
            current, partial = event["content_block"], ""
            message_block(current)
            whole["content"].append(current)
        elif name == "content_block_delta":
            need(current is not None and event["index"] == len(whole["content"]) - 1, "a delta is of no open block")
            delta = event["delta"]
            if delta["type"] == "text_delta":
                current["text"] += delta["text"]
            elif delta["type"] == "thinking_delta":
                current["thinking"] += delta["thinking"]
            elif delta["type"] == "signature_delta":
                current["signature"] = delta["signature"]
            elif delta["type"] == "input_json_delta":
                partial += delta["partial_json"]
        elif name == "content_block_stop":
            need(current is not None and event["index"] == len(whole["content"]) - 1, "a block is stopped that is not open")
            if current["type"] == "tool_use":
                current["input"] = json.loads(partial or "{}")
            current = None
        elif name == "message_delta":
            need(current is None, "a block is open at message_delta")
            whole["stop_reason"] = event["delta"]["stop_reason"]
            whole["stop_sequence"] = event["delta"]["stop_sequence"]
            whole["usage"] = {**whole["usage"], **event["usage"]}
    return message(whole)


# --- Errors and embeddings


def openai_error(body):
    fields(body, "answer", "error")
    fields(body["error"], "error", "message type param code", "", "param code")
    need(isinstance(body["error"]["message"], str) and body["error"]["message"], "an error has no message")
    need(isinstance(body["error"]["code"], (str, type(None))), "an error's code is no text")


def anthropic_error(body):
    typed(body, anthropic.types.ErrorResponse, "error")
    fields(body, "answer", "type error", "request_id")
    fields(body["error"], "error", "type message")


def embeddings(body, is_base64):
    fields(body, "embeddings", "object data model usage")
    fields(body["usage"], "usage", "prompt_tokens total_tokens")
    need(body["object"] == "list", "object is not list")
    for place, item in enumerate(body["data"]):
        fields(item, "embedding", "object index embedding")
        need(item["index"] == place and item["object"] == "embedding", "an embedding is out of place")
        need(isinstance(item["embedding"], str if is_base64 else list), "an embedding has the wrong form")
    if not is_base64:
        typed(body, openai.types.CreateEmbeddingResponse, "embeddings")
