"""LiteLLM as a client, with the provider that the argument names."""

import json
import sys

import litellm

from checks import API_KEY, ASK_TWICE, ASK_WEATHER, BASE_URL, CITY_SCHEMA, MODEL, SIGNING_MODEL, WEATHER_SCHEMA, check, done, raises

PROVIDERS = {
    "openai": {"prefix": "openai", "api_base": BASE_URL + "/v1"},
    "gemini": {"prefix": "gemini", "api_base": BASE_URL + "/v1beta"},
    "anthropic": {"prefix": "anthropic", "api_base": BASE_URL},
}
provider = PROVIDERS[sys.argv[1]]
litellm.telemetry = False
litellm.suppress_debug_info = True
litellm.drop_params = True
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather of a city.",
                                           "parameters": WEATHER_SCHEMA}}]


def ask(messages="Say hello.", model=MODEL, key=API_KEY, **more):
    messages = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    return litellm.completion(model=f"{provider['prefix']}/{model}", api_base=provider["api_base"], api_key=key,
                              messages=messages, num_retries=0, timeout=30, **more)


@check
def plain_turn():
    answer = ask([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello."}],
                 max_tokens=2000)
    choice = answer.choices[0]
    assert "Hello" in choice.message.content and choice.finish_reason == "stop", answer
    assert answer.usage.total_tokens > 0


@check
def stream():
    chunks = list(ask("{{chunks=5}} Count.", stream=True, stream_options={"include_usage": True}))
    texts = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert len(texts) >= 5, texts
    whole = litellm.stream_chunk_builder(chunks)
    assert whole.choices[0].message.content == "".join(texts) and whole.usage.total_tokens > 0
    return f"{len(chunks)} chunks"


def round_trip(text, calls_wanted, model, streamed=False):
    messages = [{"role": "user", "content": text}]
    answer = ask(messages, model, tools=TOOLS, stream=streamed)
    if streamed:
        answer = litellm.stream_chunk_builder(list(answer), messages=messages)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls" and len(message.tool_calls) == calls_wanted, answer
    messages.append(message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": json.dumps({"celsius": 21})}
                 for call in message.tool_calls]
    last = ask(messages, model, tools=TOOLS).choices[0]
    assert last.finish_reason == "stop" and "21" in last.message.content, last


@check
def tools():
    round_trip(ASK_WEATHER, 1, MODEL)


@check
def tools_streamed():
    round_trip(ASK_WEATHER, 1, MODEL, streamed=True)


@check
def tools_in_parallel():
    round_trip(ASK_TWICE, 2, MODEL)


@check
def tools_with_signatures():
    round_trip(ASK_TWICE, 2, SIGNING_MODEL)


@check
def json_schema():
    schema = {"name": "city", "schema": {**CITY_SCHEMA, "additionalProperties": False}, "strict": True}
    answer = ask("A city, please.", response_format={"type": "json_schema", "json_schema": schema})
    assert set(json.loads(answer.choices[0].message.content)) == {"name", "population"}, answer


@check
def error_401_unknown_client():
    raises(litellm.AuthenticationError, lambda: ask(key="a-strangers-key"))


done()
