"""Anthropic's Messages."""

import json

import anthropic.types

from validator.strict import events, fields, need, typed

BLOCKS = {
    "text": ("type text", "citations", "citations"),
    "thinking": ("type thinking signature", "", ""),
    "redacted_thinking": ("type data", "", ""),
    "tool_use": ("type id name input", "caller", ""),
}


def check_usage(usage, where):
    fields(usage, where, "input_tokens output_tokens",
           "cache_creation_input_tokens cache_read_input_tokens cache_creation server_tool_use service_tier "
           "output_tokens_details inference_geo",
           "cache_creation_input_tokens cache_read_input_tokens cache_creation server_tool_use service_tier "
           "output_tokens_details inference_geo")


def whole(body):
    typed(body, anthropic.types.Message, "message")
    fields(body, "message", "id type role content model stop_reason stop_sequence usage", "container stop_details",
           "stop_sequence container stop_details")
    need(body["stop_reason"], "there is no stop_reason")
    for block in body["content"]:
        check_block(block)
    check_usage(body["usage"], "usage")
    return body


def check_block(block):
    shape = BLOCKS.get(block.get("type"))
    if shape:
        fields(block, block["type"], *shape)
    if block.get("type") == "tool_use":
        need(all(letter.isascii() and (letter.isalnum() or letter in "_-") for letter in block["id"]),
             f"the id {block['id']} has letters that ids do not have")


def stream(body):
    """The message that the stream adds up to."""
    found = [(name, json.loads(data)) for name, data in events(body)]
    found = [(name, event) for name, event in found if name != "ping"]
    need(found and found[0][0] == "message_start", "the stream does not begin with message_start")
    need(found[-1][0] == "message_stop", f"the stream ends with {found[-1][0]}")
    told, current = None, None
    for name, event in found:
        typed(event, anthropic.types.RawMessageStreamEvent, name)
        need(name == event["type"], f"the event {event['type']} is called {name}")
        if name == "message_start":
            need(told is None, "there are two message_start")
            told = event["message"]
            fields(told, "message", "id type role content model stop_reason stop_sequence usage", "container stop_details",
                   "stop_reason stop_sequence container stop_details")
            need(told["content"] == [] and told["stop_reason"] is None, "the message begins with content")
        elif name == "content_block_start":
            need(current is None and event["index"] == len(told["content"]), "blocks do not follow one another")
            current, partial = event["content_block"], ""
            check_block(current)
            told["content"].append(current)
        elif name == "content_block_delta":
            need(current is not None and event["index"] == len(told["content"]) - 1, "a delta is of no open block")
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
            need(current is not None and event["index"] == len(told["content"]) - 1, "a block is stopped that is not open")
            if current["type"] == "tool_use":
                current["input"] = json.loads(partial or "{}")
            current = None
        elif name == "message_delta":
            need(current is None, "a block is open at message_delta")
            told["stop_reason"] = event["delta"]["stop_reason"]
            told["stop_sequence"] = event["delta"]["stop_sequence"]
            told["usage"] = {**told["usage"], **event["usage"]}
    return whole(told)


def error(body):
    typed(body, anthropic.types.ErrorResponse, "error")
    fields(body, "answer", "type error", "request_id")
    fields(body["error"], "error", "type message")
