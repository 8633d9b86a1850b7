"""OpenAI's chat completions, and the errors of all of OpenAI's dialects."""

import json

import openai.types.chat

from validator.strict import events, fields, need, typed


def check_usage(usage, where):
    fields(usage, where, "prompt_tokens completion_tokens total_tokens",
           "prompt_tokens_details completion_tokens_details")
    need(usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"],
         f"{where}: the total is not the sum: {usage}")


def check_calls(calls, where, more=""):
    for call in calls:
        fields(call, where, "id type function" + more, "extra_content")
        fields(call["function"], f"{where}.function", "name arguments")
        need(isinstance(json.loads(call["function"]["arguments"]), dict), f"{where}: arguments are no object")
    need(len({call["id"] for call in calls}) == len(calls), f"{where}: ids are not unique")


def whole(body):
    typed(body, openai.types.chat.ChatCompletion, "completion")
    fields(body, "completion", "id object created model choices usage", "system_fingerprint service_tier",
           "service_tier")
    for choice in body["choices"]:
        fields(choice, "choice", "index message finish_reason logprobs", "native_finish_reason extra_content", "logprobs")
        message = choice["message"]
        fields(message, "message", "role content refusal",
               "tool_calls annotations audio reasoning_content images extra_content", "content refusal")
        check_calls(message.get("tool_calls", []), "tool call")
        need("tool_calls" not in message or message["tool_calls"], "tool_calls is empty")
    check_usage(body["usage"], "usage")
    return body


def stream(body):
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
            check_usage(usage, "usage")
        for choice in chunk["choices"]:
            add_chunk(choices, choice)
    need(len(ids) == 1, "id, created or model change")
    need(usage is not None, "there is no usage, though it was asked for")
    for choice in choices.values():
        need(choice["finish_reason"], "a choice has no finish_reason")
        check_calls(choice["message"]["tool_calls"], "tool call")
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


def error(body):
    fields(body, "answer", "error")
    fields(body["error"], "error", "message type param code", "", "param code")
    need(isinstance(body["error"]["message"], str) and body["error"]["message"], "an error has no message")
    need(isinstance(body["error"]["code"], (str, type(None))), "an error's code is no text")
