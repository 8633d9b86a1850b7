"""The official Anthropic SDK: messages, counts of tokens and models, and what Claude Code sends."""

import json
import urllib.request

import anthropic

from checks import (API_KEY, ASK_TWICE, ASK_WEATHER, BASE_URL, CITY_SCHEMA, MODEL, SIGNING_MODEL, SPARE_MODEL,
                    WEATHER_SCHEMA, check, done, raises)

PICTURE = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
TOOLS = [{"name": "get_weather", "description": "The weather of a city.", "input_schema": WEATHER_SCHEMA}]


def connect(key=API_KEY, **more):
    return anthropic.Anthropic(base_url=BASE_URL, api_key=key, max_retries=0, timeout=30, **more)


client = connect()


def user(content):
    return [{"role": "user", "content": content}]


def ask(text="Say hello.", model=MODEL, client=client, **more):
    return client.messages.create(**{"model": model, "max_tokens": 512, "messages": user(text), **more})


@check
def plain_turn():
    answer = ask(system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
                 stop_sequences=["ZZZ"], metadata={"user_id": "somebody"},
                 extra_body={"temperature": 0.3, "top_p": 0.9, "top_k": 40})
    assert answer.type == "message" and answer.role == "assistant" and answer.id.startswith("msg_")
    assert answer.model == MODEL and answer.stop_reason == "end_turn" and answer.stop_sequence is None
    assert [block.type for block in answer.content] == ["text"] and answer.content[0].text
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    assert answer._request_id.startswith("req_")


@check
def bearer_token_and_prefix():
    other = anthropic.Anthropic(base_url=BASE_URL + "/anthropic", api_key=None, auth_token=API_KEY, max_retries=0)
    assert ask(client=other).content


@check
def stream():
    events = list(ask("{{chunks=5}} Count.", stream=True))
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"], kinds
    assert kinds[1] == "content_block_start" and kinds[-3] == "content_block_stop", kinds
    assert kinds.count("content_block_delta") >= 4, kinds
    start = events[0].message
    assert start.content == [] and start.stop_reason is None and start.usage.input_tokens is not None
    assert events[-2].delta.stop_reason == "end_turn" and events[-2].usage.output_tokens > 0
    return f"{len(events)} events"


@check
def stream_helper():
    with client.messages.stream(model=MODEL, max_tokens=512, messages=user("{{chunks=5}} Count.")) as events:
        text = "".join(events.text_stream)
        message = events.get_final_message()
    assert text and text == message.content[-1].text and message.usage.output_tokens > 0


@check
def stream_lines():
    with client.messages.with_streaming_response.create(
            model=MODEL, max_tokens=512, messages=user("Say hello."), stream=True) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    for kind, data in zip(lines[::2], lines[1::2]):
        assert kind == "event: " + json.loads(data.removeprefix("data: "))["type"], (kind, data)


def tools_round_trip(text, calls_wanted, streamed, model=MODEL, keep=lambda block: True, **more):
    messages = user(text)
    settings = {"model": model, "max_tokens": 4096, "tools": TOOLS, **more}
    if streamed:
        with client.messages.stream(messages=messages, **settings) as events:
            answer = events.get_final_message()
    else:
        answer = client.messages.create(messages=messages, **settings)
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert answer.stop_reason == "tool_use" and len(calls) == calls_wanted, answer
    assert len({call.id for call in calls}) == len(calls) and all(call.id.startswith("toolu_") for call in calls)
    assert all(call.name == "get_weather" and isinstance(call.input["city"], str) for call in calls), calls
    kept = [block for block in answer.to_param()["content"] if keep(block)]
    messages.append({"role": "assistant", "content": kept})
    # In another order, and before other words.
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": json.dumps({"celsius": 21})}
               for call in reversed(calls)]
    messages += user([*results, {"type": "text", "text": "So?"}])
    last = client.messages.create(messages=messages, **settings)
    assert last.stop_reason == "end_turn" and last.content[-1].text, last
    return answer


@check
def tools():
    tools_round_trip(ASK_WEATHER, 1, streamed=False)


@check
def tools_streamed():
    tools_round_trip(ASK_WEATHER, 1, streamed=True)


@check
def tools_parallel():
    tools_round_trip(ASK_TWICE, 2, streamed=False)


@check
def tools_parallel_streamed():
    tools_round_trip(ASK_TWICE, 2, streamed=True)


@check
def tools_with_signed_thoughts():
    for streamed in (False, True):
        answer = tools_round_trip(ASK_WEATHER, 1, streamed, SIGNING_MODEL, thinking={"type": "adaptive"})
        thoughts = [block for block in answer.content if block.type == "thinking"]
        assert thoughts and all(block.signature for block in thoughts), answer


@check
def tools_whose_thoughts_are_dropped():
    for streamed in (False, True):
        tools_round_trip(ASK_WEATHER, 1, streamed, SIGNING_MODEL, thinking={"type": "adaptive"},
                         keep=lambda block: block.type != "thinking")
        tools_round_trip(ASK_TWICE, 2, streamed, SIGNING_MODEL)


@check
def tools_failing():
    call = {"type": "tool_use", "id": "toolu_of_another_service", "name": "get_weather", "input": {"city": "Riga"}}
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "no such city", "is_error": True}
    assert ask(messages=[*user("?"), {"role": "assistant", "content": [call]}, *user([result])], tools=TOOLS).content


@check
def tool_choice():
    for choice in ({"type": "any"}, {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}):
        assert ask(tools=TOOLS, tool_choice=choice).stop_reason == "tool_use", choice
    assert ask(ASK_WEATHER, tools=TOOLS, tool_choice={"type": "none"}).stop_reason == "end_turn"


@check
def thinking():
    for choice in ({"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}):
        answer = ask(max_tokens=4096, thinking=choice)
        assert answer.content[0].type == "thinking" and answer.content[0].signature, answer
        assert answer.content[-1].type == "text" and answer.content[-1].text
    assert all(block.type == "text" for block in ask(thinking={"type": "disabled"}).content)


@check
def thinking_streamed():
    events = list(ask(SIGNING_MODEL, max_tokens=4096, thinking={"type": "adaptive"}, stream=True))
    deltas = [event.delta.type for event in events if event.type == "content_block_delta"]
    assert deltas.index("signature_delta") < deltas.index("text_delta"), deltas


@check
def effort():
    for word in ("low", "medium", "high", "xhigh", "max"):
        assert ask(thinking={"type": "adaptive"}, output_config={"effort": word}).content


@check
def json_schema():
    schema = {**CITY_SCHEMA, "additionalProperties": False}
    answer = ask("A city, please.", output_config={"format": {"type": "json_schema", "schema": schema}})
    assert set(json.loads(answer.content[-1].text)) == {"name", "population"}


@check
def image_and_document():
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}
    paper = {"type": "document", "title": "Notes", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}
    assert ask(messages=user([picture, paper, {"type": "text", "text": "What is this?"}])).content[0].text


@check
def web_search():
    answer = ask(tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert answer.content[-1].type == "text", answer


@check
def what_claude_code_sends():
    with urllib.request.urlopen(urllib.request.Request(BASE_URL + "/", method="HEAD"), timeout=30) as answer:
        assert answer.status == 200
    with client.beta.messages.stream(
            model="claude-sonnet-4-5", max_tokens=32000, betas=["context-management-2025-06-27"],
            system=[{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197; cch=0a1b2;"},
                    {"type": "text", "text": "You are helpful.", "cache_control": {"type": "ephemeral"}}],
            messages=[*user([{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]),
                      {"role": "system", "content": "Be brief."}],
            thinking={"type": "adaptive"}, output_config={"effort": "high"}, tools=TOOLS,
            context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            metadata={"user_id": "somebody"}) as events:
        message = events.get_final_message()
    assert message.model == "claude-sonnet-4-5" and message.content


@check
def count_tokens():
    short = client.messages.count_tokens(model=MODEL, messages=user("hello")).input_tokens
    long = client.messages.count_tokens(model=MODEL, messages=user("hello"), system="Be brief. " * 20,
                                        tools=TOOLS).input_tokens
    assert 0 < short < long, (short, long)


@check
def foreign_model_name():
    assert ask(model="claude-opus-4-1").model == "claude-opus-4-1"


@check
def cut_at_the_token_limit():
    assert ask("{{fault=max-tokens}}").stop_reason == "max_tokens"


@check
def refusal():
    for fault in ("safety", "blocked"):
        answer = ask("{{fault=%s}}" % fault)
        assert answer.stop_reason == "refusal" and answer.stop_details.explanation, answer


@check
def models_list():
    models = list(client.models.list(limit=5))
    assert any(model.id == MODEL for model in models) and all(model.type == "model" for model in models)
    return f"{len(models)} models"


@check
def models_get():
    model = client.models.retrieve(MODEL)
    assert model.id == MODEL and model.type == "model" and model.created_at


def said(error, kind):
    assert error.body["type"] == "error" and error.body["error"]["type"] == kind, error.body
    assert error.body["request_id"] == error.request_id and error.request_id.startswith("req_"), error.body
    return f"{error.status_code} {kind}"


@check
def error_401_unknown_client():
    error = raises(anthropic.AuthenticationError, lambda: ask(client=connect("a-strangers-key")))
    return said(error, "authentication_error")


@check
def error_404_unknown_model():
    return said(raises(anthropic.NotFoundError, lambda: ask(model="gemini-0.1-nonesuch")), "not_found_error")


@check
def error_400_no_messages():
    error = raises(anthropic.BadRequestError,
                   lambda: client.post("/v1/messages", body={"model": MODEL}, cast_to=object))
    return said(error, "invalid_request_error")


@check
def error_400_of_the_upstream():
    return said(raises(anthropic.BadRequestError, lambda: ask("{{fault=bad-request}}")), "invalid_request_error")


@check
def error_429():
    error = raises(anthropic.RateLimitError, lambda: ask("{{fault=minute-limit}}", model=SPARE_MODEL))
    assert int(error.response.headers["retry-after"]) > 0
    return said(error, "rate_limit_error")


@check
def error_529_before_the_stream():
    error = raises(anthropic.APIStatusError, lambda: ask("{{fault=overloaded}}", stream=True))
    assert error.status_code == 529, error.status_code
    return said(error, "overloaded_error")


@check
def error_in_mid_stream():
    error = raises(anthropic.APIStatusError, lambda: list(ask("{{chunks=5}}{{fault=event-error}}", stream=True)))
    assert error.body["type"] == "error" and error.body["request_id"], error.body
    return error.body["error"]["type"]


done()
