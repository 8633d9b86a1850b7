"""The official google-genai SDK: Gemini's own protocol."""

import asyncio

from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from checks import API_KEY, BASE_URL, CITY_SCHEMA, EMBEDDING_MODEL, MODEL, SPARE_MODEL, WEATHER_SCHEMA, check, done, raises


def connect(key=API_KEY, version=None):
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=BASE_URL, api_version=version))


client = connect()
TOOLS = [types.Tool(function_declarations=[types.FunctionDeclaration(
    name="get_weather", description="The weather of a city.", parameters_json_schema=WEATHER_SCHEMA)])]


def generate(text="Say hello.", model=MODEL, client=client, **config):
    return client.models.generate_content(
        model=model, contents=text, config=types.GenerateContentConfig(**config))


@check
def plain_turn():
    answer = generate(system_instruction="Be brief.", temperature=0.3, max_output_tokens=200)
    assert answer.text and answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata.total_token_count > 0


@check
def every_version_of_the_api():
    for version in ("v1", "v1beta", "v1alpha"):
        assert generate(client=connect(version=version)).text, version


@check
def stream():
    chunks = list(client.models.generate_content_stream(model=MODEL, contents="{{chunks=5}} Count."))
    assert len(chunks) >= 5, len(chunks)
    assert "".join(chunk.text or "" for chunk in chunks)
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    return f"{len(chunks)} chunks"


@check
def stream_asynchronous():
    async def text():
        stream = await client.aio.models.generate_content_stream(model=MODEL, contents="Say hello.")
        return "".join([chunk.text or "" async for chunk in stream])

    assert asyncio.run(text())


@check
def chat_session():
    session = client.chats.create(model=MODEL)
    assert session.send_message("Say hello.").text
    assert "".join(chunk.text or "" for chunk in session.send_message_stream("Again."))


def tools_round_trip(text, calls_wanted):
    config = {"tools": TOOLS, "automatic_function_calling": types.AutomaticFunctionCallingConfig(disable=True)}
    history = [types.Content(role="user", parts=[types.Part(text=text)])]
    answer = client.models.generate_content(
        model=MODEL, contents=history, config=types.GenerateContentConfig(**config))
    calls = answer.function_calls or []
    assert len(calls) == calls_wanted and all(call.name == "get_weather" for call in calls), calls
    results = [types.Part(function_response=types.FunctionResponse(
        id=call.id, name=call.name, response={"celsius": 21})) for call in calls]
    history += [answer.candidates[0].content, types.Content(role="user", parts=results)]
    last = client.models.generate_content(
        model=MODEL, contents=history, config=types.GenerateContentConfig(**config))
    assert last.text, last


@check
def tools():
    tools_round_trip("What is the weather in Lisbon? Please use get_weather.", 1)


@check
def parallel_tools():
    tools_round_trip("Please use get_weather in parallel for Lisbon and Riga.", 2)


class City(BaseModel):
    name: str
    population: int


@check
def parsed_model():
    answer = generate("A city, please.", response_mime_type="application/json", response_schema=City)
    assert isinstance(answer.parsed, City), answer.text


@check
def json_schema():
    answer = generate("A city, please.", response_mime_type="application/json", response_json_schema=CITY_SCHEMA)
    assert set(answer.parsed) == {"name", "population"}, answer.text


@check
def count_tokens():
    assert client.models.count_tokens(model=MODEL, contents="How many are these?").total_tokens > 0


@check
def embeddings():
    answer = client.models.embed_content(
        model=EMBEDDING_MODEL, contents=["one", "two"], config=types.EmbedContentConfig(output_dimensionality=256))
    assert [len(embedding.values) for embedding in answer.embeddings] == [256, 256]


@check
def models_list():
    names = [model.name for model in client.models.list(config={"page_size": 2})]
    assert "models/" + MODEL in names and len(names) == len(set(names)) > 2, names
    return f"{len(names)} models"


@check
def models_get():
    model = client.models.get(model=MODEL)
    assert model.name == "models/" + MODEL and model.input_token_limit > 0


@check
def blocked_prompt():
    answer = generate("{{fault=blocked}}")
    assert answer.prompt_feedback.block_reason and not answer.candidates


def said(error, code, status):
    assert (error.code, error.status) == (code, status), (error.code, error.status)
    return error.message


@check
def error_401_unknown_client():
    error = raises(errors.ClientError, lambda: generate(client=connect("a-strangers-key")))
    return said(error, 401, "UNAUTHENTICATED")


@check
def error_404_unknown_model():
    error = raises(errors.ClientError, lambda: generate(model="gemini-0.1-nonesuch"))
    return said(error, 404, "NOT_FOUND")


@check
def error_400_of_the_upstream():
    error = raises(errors.ClientError, lambda: generate("{{fault=bad-request}}"))
    return said(error, 400, "INVALID_ARGUMENT")


@check
def error_429():
    error = raises(errors.ClientError, lambda: generate("{{fault=minute-limit}}", model=SPARE_MODEL))
    return said(error, 429, "RESOURCE_EXHAUSTED")


@check
def error_in_mid_stream():
    def read():
        list(client.models.generate_content_stream(model=MODEL, contents="{{chunks=5}}{{fault=event-error}}"))

    error = raises(errors.APIError, read)
    return f"{error.code} {error.status}"


done()
