"""The official OpenAI SDK: chat completions and models."""

import json

import openai
from pydantic import BaseModel

from checks import API_KEY, BASE_URL, CITY_SCHEMA, MODEL, SPARE_MODEL, WEATHER_SCHEMA, check, done, raises


def connect(key=API_KEY):
    return openai.OpenAI(base_url=BASE_URL + "/v1", api_key=key, max_retries=0, timeout=30)


client = connect()
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather of a city.",
                                           "parameters": WEATHER_SCHEMA}}]


def user(text):
    return [{"role": "user", "content": text}]


def chat(text="Say hello.", model=MODEL, client=client, **more):
    return client.chat.completions.create(model=model, messages=user(text), **more)


@check
def plain_turn():
    answer = client.chat.completions.create(
        model=MODEL, temperature=0.3, top_p=0.9, max_completion_tokens=200, seed=7, stop=["ZZZ"], user="somebody",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Be polite."},
                  *user("Say hello.")])
    choice = answer.choices[0]
    assert answer.object == "chat.completion" and answer.id and answer.created > 0 and answer.model == MODEL
    assert choice.index == 0 and choice.finish_reason == "stop" and choice.message.role == "assistant"
    assert choice.message.content and choice.message.tool_calls is None
    assert answer.usage.total_tokens >= answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


@check
def required_fields_are_there():
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=user("Say hello."))
    body = json.loads(raw.http_response.text)
    choice = body["choices"][0]
    assert {"index", "message", "finish_reason", "logprobs"} <= set(choice), choice
    assert {"role", "content", "refusal"} <= set(choice["message"]), choice


@check
def stream():
    chunks = list(chat("{{chunks=5}} Count.", stream=True))
    assert len(chunks) >= 5, len(chunks)
    assert len({(chunk.id, chunk.created) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert reasons == ["stop"], reasons
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert not any(chunk.usage for chunk in chunks), "usage that nobody asked for"
    return f"{len(chunks)} chunks"


@check
def stream_with_usage():
    chunks = list(chat(stream=True, stream_options={"include_usage": True}))
    with_usage = [chunk for chunk in chunks if chunk.usage]
    assert with_usage == [chunks[-1]] and chunks[-1].choices == [] and chunks[-1].usage.total_tokens > 0


@check
def stream_ends_with_done():
    with client.chat.completions.with_streaming_response.create(
            model=MODEL, messages=user("Say hello."), stream=True) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert lines[-1] == "data: [DONE]", lines[-1]


def tools_round_trip(text, calls_wanted, streamed):
    messages = user(text)
    if streamed:
        with client.chat.completions.stream(model=MODEL, messages=messages, tools=TOOLS) as events:
            answer = events.get_final_completion()
    else:
        answer = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
    choice = answer.choices[0]
    calls = choice.message.tool_calls or []
    assert choice.finish_reason == "tool_calls" and len(calls) == calls_wanted, choice
    assert len({call.id for call in calls}) == len(calls) and all(call.id for call in calls)
    assert all(call.function.name == "get_weather" for call in calls)
    assert all(isinstance(json.loads(call.function.arguments), dict) for call in calls)
    # Only the fields that every client keeps.
    messages.append({"role": "assistant", "content": None, "tool_calls": [
        {"id": call.id, "type": "function",
         "function": {"name": call.function.name, "arguments": call.function.arguments}} for call in calls]})
    messages += [{"role": "tool", "tool_call_id": call.id, "content": json.dumps({"celsius": 21})} for call in calls]
    last = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS).choices[0]
    assert last.finish_reason == "stop" and last.message.content, last


@check
def tools():
    tools_round_trip("What is the weather in Lisbon? Please use get_weather.", 1, streamed=False)


@check
def tools_streamed():
    tools_round_trip("What is the weather in Lisbon? Please use get_weather.", 1, streamed=True)


@check
def parallel_tools():
    tools_round_trip("Please use get_weather in parallel for Lisbon and Riga.", 2, streamed=False)


@check
def parallel_tools_streamed():
    tools_round_trip("Please use get_weather in parallel for Lisbon and Riga.", 2, streamed=True)


class City(BaseModel):
    name: str
    population: int


@check
def json_schema():
    schema = {"name": "city", "schema": {**CITY_SCHEMA, "additionalProperties": False}, "strict": True}
    answer = chat("A city, please.", response_format={"type": "json_schema", "json_schema": schema})
    assert set(json.loads(answer.choices[0].message.content)) == {"name", "population"}


@check
def parsed_model():
    answer = client.chat.completions.parse(model=MODEL, messages=user("A city, please."), response_format=City)
    assert isinstance(answer.choices[0].message.parsed, City)


@check
def two_choices():
    answer = chat(n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]


@check
def foreign_model_name():
    answer = chat(model="gpt-4o")
    assert answer.model == "gpt-4o" and answer.choices[0].message.content


@check
def cut_at_the_token_limit():
    assert chat("{{fault=max-tokens}}").choices[0].finish_reason == "length"


@check
def models_list():
    models = client.models.list().data
    assert any(model.id == MODEL for model in models) and all(model.object == "model" for model in models)
    return f"{len(models)} models"


@check
def models_get():
    model = client.models.retrieve(MODEL)
    assert model.id == MODEL and model.object == "model"


def said(error):
    assert {"message", "type", "param", "code"} <= set(error.body), error.body
    return f"{error.status_code} {error.body['type']} {error.body['code']}"


@check
def error_401_unknown_client():
    return said(raises(openai.AuthenticationError, lambda: chat(client=connect("a-strangers-key"))))


@check
def error_404_unknown_model():
    return said(raises(openai.NotFoundError, lambda: chat(model="gemini-0.1-nonesuch")))


@check
def error_400_no_messages():
    return said(raises(openai.BadRequestError,
                       lambda: client.post("/chat/completions", body={"model": MODEL}, cast_to=object)))


@check
def error_400_of_the_upstream():
    return said(raises(openai.BadRequestError, lambda: chat("{{fault=bad-request}}")))


@check
def error_429():
    error = raises(openai.RateLimitError, lambda: chat("{{fault=minute-limit}}", model=SPARE_MODEL))
    assert int(error.response.headers["retry-after"]) > 0
    return said(error)


@check
def error_in_mid_stream():
    error = raises(openai.APIError, lambda: list(chat("{{chunks=5}}{{fault=event-error}}", stream=True)))
    return error.message


done()
