"""The official OpenAI SDK: responses."""

import json

import openai
from pydantic import BaseModel

from checks import (API_KEY, ASK_TWICE, ASK_WEATHER, BASE_URL, MODEL, SIGNING_MODEL, SPARE_MODEL, WEATHER_SCHEMA, check,
                    done, raises)

PIXEL = ("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
         "rkJggg==")


def connect(key=API_KEY):
    return openai.OpenAI(base_url=BASE_URL + "/v1", api_key=key, max_retries=0, timeout=30)


client = connect()
TOOLS = [{"type": "function", "name": "get_weather", "description": "The weather of a city.", "strict": True,
          "parameters": WEATHER_SCHEMA}]
PATCH = {"type": "custom", "name": "apply_patch", "description": "Edits files.",
         "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}}


def respond(text="Say hello.", model=MODEL, client=client, **more):
    return client.responses.create(model=model, input=text, **more)


def said(error):
    assert {"message", "type", "param", "code"} <= set(error.body), error.body
    return f"{error.status_code} {error.body['type']} {error.body['param']} {error.body['code']}"


def of_kind(response, kind):
    return [item for item in response.output if item.type == kind]


@check
def plain_turn():
    answer = respond(
        [{"role": "developer", "content": "Be polite."}, {"role": "user", "content": "Say hello."}],
        instructions="Be brief.", temperature=0.3, top_p=0.9, max_output_tokens=2000, metadata={"a": "b"},
        prompt_cache_key="key", safety_identifier="somebody", truncation="auto", store=False)
    assert answer.object == "response" and answer.status == "completed" and answer.model == MODEL
    assert answer.output_text and answer.error is None and answer.incomplete_details is None
    assert answer.instructions == "Be brief." and answer.metadata == {"a": "b"} and answer.temperature == 0.3
    usage = answer.usage
    assert usage.total_tokens >= usage.input_tokens + usage.output_tokens > 0
    assert usage.input_tokens_details.cached_tokens >= 0 and usage.output_tokens_details.reasoning_tokens >= 0


@check
def stream():
    events = list(respond("{{chunks=5}} Count.", stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.completed", kinds
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) >= 5 and "".join(deltas) == events[-1].response.output_text
    return f"{len(events)} events"


@check
def stream_helper():
    with client.responses.stream(model=MODEL, input="{{chunks=5}} Count.") as events:
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        answer = events.get_final_response()
    assert answer.status == "completed" and answer.output_text == text


@check
def stream_helper_with_tools():
    with client.responses.stream(model=SIGNING_MODEL, input=ASK_TWICE, tools=TOOLS, reasoning={"summary": "auto"}) as events:
        snapshots = [event.snapshot for event in events if event.type == "response.function_call_arguments.delta"]
        answer = events.get_final_response()
    calls = of_kind(answer, "function_call")
    assert [call.arguments for call in calls] == snapshots and len(calls) == 2
    assert all(isinstance(call.parsed_arguments, dict) for call in calls)


def round_trip(text, calls_wanted, model, streamed, keep):
    """A turn with tools; `keep` says what of the first answer is sent back, and how."""
    first = {"model": model, "input": text, "tools": TOOLS, **keep.get("request", {})}
    if streamed:
        with client.responses.stream(**first) as events:
            answer = events.get_final_response()
    else:
        answer = client.responses.create(**first)
    calls = of_kind(answer, "function_call")
    assert len(calls) == calls_wanted and len({call.call_id for call in calls}) == calls_wanted, answer.output
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": json.dumps({"celsius": 21})}
               for call in calls]
    last = client.responses.create(model=model, tools=TOOLS, **keep.get("request", {}), **keep["next"](answer, text, results))
    assert last.status == "completed" and "21" in last.output_text, last


def sent_back(answer, text, results):
    items = [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]
    return {"input": [{"role": "user", "content": text}, *items, *results]}


ALL_ITEMS = {"next": sent_back, "request": {"store": False, "include": ["reasoning.encrypted_content"]}}
CALLS_ALONE = {"next": lambda answer, text, results: {"input": [
    {"role": "user", "content": text},
    *[{"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
      for call in of_kind(answer, "function_call")], *results]}}
LAST_ANSWER = {"next": lambda answer, text, results: {"input": results, "previous_response_id": answer.id}}
REFERENCES = {"next": lambda answer, text, results: {"input": [
    {"role": "user", "content": text}, *[{"type": "item_reference", "id": item.id} for item in answer.output], *results]}}


@check
def tools():
    round_trip(ASK_WEATHER, 1, MODEL, False, ALL_ITEMS)


@check
def tools_streamed():
    round_trip(ASK_WEATHER, 1, MODEL, True, ALL_ITEMS)


@check
def tools_in_parallel():
    round_trip(ASK_TWICE, 2, MODEL, True, ALL_ITEMS)


@check
def tools_with_sealed_reasoning():
    round_trip(ASK_TWICE, 2, SIGNING_MODEL, True, ALL_ITEMS)


@check
def tools_with_calls_alone():
    round_trip(ASK_TWICE, 2, SIGNING_MODEL, False, CALLS_ALONE)


@check
def tools_with_previous_response():
    round_trip(ASK_TWICE, 2, SIGNING_MODEL, True, LAST_ANSWER)


@check
def tools_with_references():
    round_trip(ASK_TWICE, 2, SIGNING_MODEL, False, REFERENCES)


def patched(streamed):
    request = {"model": SIGNING_MODEL, "input": "Please use apply_patch.", "tools": [PATCH]}
    if streamed:
        events = list(client.responses.create(**request, stream=True))
        deltas = [event.delta for event in events if event.type == "response.custom_tool_call_input.delta"]
        answer = events[-1].response
        assert "".join(deltas) == of_kind(answer, "custom_tool_call")[0].input
    else:
        answer = client.responses.create(**request)
    (call,) = of_kind(answer, "custom_tool_call")
    assert call.name == "apply_patch" and isinstance(call.input, str)
    result = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "Patched 7 files."}
    last = client.responses.create(model=SIGNING_MODEL, tools=[PATCH], previous_response_id=answer.id, input=[result])
    assert "7" in last.output_text, last.output_text


@check
def tools_custom():
    patched(streamed=False)


@check
def tools_custom_streamed():
    patched(streamed=True)


@check
def tools_in_a_namespace_and_of_others():
    others = [{"type": "web_search"}, {"type": "mcp", "server_label": "x", "server_url": "https://example.com"},
              {"type": "local_shell"}]
    namespace = {"type": "namespace", "name": "weather", "description": "Weather.", "tools": TOOLS}
    answer = respond("The weather in Lisbon?", model=SIGNING_MODEL, tools=[namespace, *others], tool_choice="required")
    (call,) = of_kind(answer, "function_call")
    assert (call.namespace, call.name) == ("weather", "get_weather"), call


class City(BaseModel):
    name: str
    population: int


@check
def parsed_model():
    answer = client.responses.parse(model=MODEL, input="A city, please.", text_format=City)
    assert isinstance(answer.output_parsed, City)


@check
def stream_parsed_model():
    with client.responses.stream(model=MODEL, input="A city, please.", text_format=City) as events:
        assert isinstance(events.get_final_response().output_parsed, City)


@check
def reasoning():
    answer = respond("Say hello.", model=SIGNING_MODEL, reasoning={"effort": "low", "summary": "auto"},
                     include=["reasoning.encrypted_content"], store=False)
    items = of_kind(answer, "reasoning")
    assert any(part.text for item in items for part in item.summary), answer.output
    assert answer.usage.output_tokens_details.reasoning_tokens > 0
    messages = [{"role": "user", "content": "Say hello."},
                *[item.model_dump(exclude_none=True) for item in answer.output], {"role": "user", "content": "Again."}]
    assert respond(messages, model=SIGNING_MODEL, store=False).output_text


@check
def image():
    answer = respond([{"role": "user", "content": [
        {"type": "input_text", "text": "What is this?"}, {"type": "input_image", "detail": "auto", "image_url": PIXEL}]}])
    assert "image/png" in answer.output_text, answer.output_text


@check
def previous_response():
    first = respond("Say hello.", instructions="Be brief.")
    second = respond("And again.", previous_response_id=first.id)
    assert second.previous_response_id == first.id and second.output_text
    items = client.responses.input_items.list(second.id, order="asc")
    assert [item.role for item in items.data] == ["user", "assistant", "user"]


@check
def kept_and_deleted():
    answer = respond("Say hello.")
    assert client.responses.retrieve(answer.id).output_text == answer.output_text
    client.responses.delete(answer.id)
    said(raises(openai.NotFoundError, lambda: client.responses.retrieve(answer.id)))
    said(raises(openai.BadRequestError, lambda: respond("Again.", previous_response_id=answer.id)))


@check
def not_kept():
    answer = respond("Say hello.", store=False)
    return said(raises(openai.NotFoundError, lambda: client.responses.retrieve(answer.id)))


@check
def input_tokens():
    counted = client.responses.input_tokens.count(model=MODEL, input="Say hello.", instructions="Be brief.", tools=TOOLS)
    assert counted.object == "response.input_tokens" and counted.input_tokens > 0
    return f"{counted.input_tokens} tokens"


@check
def cut_at_the_token_limit():
    answer = respond("{{fault=max-tokens}}")
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "max_output_tokens"


@check
def blocked_prompt():
    answer = respond("{{fault=blocked}}")
    assert answer.status == "incomplete" and answer.incomplete_details.reason == "content_filter"
    assert answer.output[0].content[0].type == "refusal" and answer.output[0].content[0].refusal


@check
def error_401_unknown_client():
    return said(raises(openai.AuthenticationError, lambda: respond(client=connect("a-strangers-key"))))


@check
def error_404_unknown_model():
    return said(raises(openai.NotFoundError, lambda: respond(model="gemini-0.1-nonesuch")))


@check
def error_400_background():
    return said(raises(openai.BadRequestError, lambda: respond(background=True)))


@check
def error_429():
    error = raises(openai.RateLimitError, lambda: respond("{{fault=minute-limit}}", model=SPARE_MODEL))
    assert int(error.response.headers["retry-after"]) > 0
    return said(error)


@check
def error_in_mid_stream():
    events = list(respond("{{chunks=5}}{{fault=event-error}}", stream=True))
    assert events[-1].type == "response.failed" and events[-1].response.error.message
    return events[-1].response.error.code


done()
