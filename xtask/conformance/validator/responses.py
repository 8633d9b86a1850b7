"""OpenAI's Responses."""

import json

import openai.types.responses

from validator.chat import error  # the same in both dialects
from validator.strict import events, fields, need, typed

REQUIRED = ("id object created_at status error incomplete_details instructions model tools output "
                     "parallel_tool_calls metadata tool_choice temperature top_p")
OPTIONAL = ("usage text reasoning previous_response_id max_output_tokens max_tool_calls truncation user store "
                     "background service_tier top_logprobs prompt_cache_key safety_identifier completed_at conversation "
                     "prompt_cache_retention presence_penalty frequency_penalty")
NULLABLE = ("error incomplete_details instructions temperature top_p metadata previous_response_id reasoning "
                     "max_output_tokens max_tool_calls truncation completed_at conversation background user "
                     "prompt_cache_key safety_identifier service_tier prompt_cache_retention top_logprobs")


def whole(body, is_done=True):
    typed(body, openai.types.responses.Response, "response")
    # What is not known before the end is null until then.
    fields(body, "response", REQUIRED + (" usage" if is_done else ""), OPTIONAL,
           NULLABLE + ("" if is_done else " usage"))
    for item in body["output"]:
        check_item(item)
    if is_done:
        usage = body["usage"]
        fields(usage, "usage", "input_tokens input_tokens_details output_tokens output_tokens_details total_tokens")
        need("cached_tokens" in usage["input_tokens_details"], "usage lacks cached_tokens")
        need("reasoning_tokens" in usage["output_tokens_details"], "usage lacks reasoning_tokens")
        need(usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], f"the total is not the sum: {usage}")
    return body


def check_item(item):
    kind = item.get("type")
    if kind == "message":
        fields(item, "message", "id type role status content", "phase extra_content")
        for part in item["content"]:
            if part.get("type") == "output_text":
                fields(part, "output_text", "type text annotations", "logprobs")
            else:
                fields(part, "refusal", "type refusal")
    elif kind == "function_call":
        fields(item, "function_call", "type call_id name arguments", "id status namespace extra_content")
    elif kind == "reasoning":
        fields(item, "reasoning", "id type summary", "content encrypted_content status", "encrypted_content")


def stream(body):
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
            check_item(event["item"])
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
        whole(event["response"], is_done=False)
    need(kinds[-1] in ("response.completed", "response.incomplete", "response.failed"), f"the stream ends with {kinds[-1]}")
    need(not open_items, "items are still open at the end")
    last = found[-1][1]["response"]
    need([item.get("id") for item in last["output"]] == items, "the last response has other items than the stream")
    need(f"response.{last['status']}" == kinds[-1], f"{kinds[-1]} has the status {last['status']}")
    return whole(last)
