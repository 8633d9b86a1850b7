"""pydantic-ai with the provider that the argument names."""

import asyncio
import sys

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError

from checks import API_KEY, ASK_TWICE, ASK_WEATHER, BASE_URL, MODEL, SIGNING_MODEL, check, done, raises


def openai_chat(model, key=API_KEY):
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider
    return OpenAIChatModel(model, provider=OpenAIProvider(base_url=BASE_URL + "/v1", api_key=key))


def openai_responses(model, key=API_KEY):
    from pydantic_ai.models.openai import OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider
    return OpenAIResponsesModel(model, provider=OpenAIProvider(base_url=BASE_URL + "/v1", api_key=key))


def google(model, key=API_KEY):
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider
    return GoogleModel(model, provider=GoogleProvider(base_url=BASE_URL, api_key=key))


def anthropic(model, key=API_KEY):
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    return AnthropicModel(model, provider=AnthropicProvider(base_url=BASE_URL, api_key=key))


connect = {"openai-chat": openai_chat, "openai-responses": openai_responses, "google": google,
           "anthropic": anthropic}[sys.argv[1]]


@check
def plain_turn():
    result = Agent(connect(MODEL), instructions="Be brief.").run_sync("Say hello.")
    assert "Hello" in result.output, result.output
    usage = result.usage() if callable(result.usage) else result.usage
    assert usage.input_tokens > 0 and usage.output_tokens > 0, usage


@check
def stream():
    async def read():
        async with Agent(connect(MODEL)).run_stream("{{chunks=5}} Count.") as result:
            return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]

    pieces = asyncio.run(read())
    assert len(pieces) >= 5, pieces
    return f"{len(pieces)} pieces"


def round_trip(text, calls_wanted, model, streamed=False):
    agent, asked = Agent(connect(model)), []

    @agent.tool_plain
    def get_weather(city: str) -> dict:
        """The weather of a city."""
        asked.append(city)
        return {"celsius": 21}

    async def read():
        async with agent.run_stream(text) as result:
            return await result.get_output()

    output = asyncio.run(read()) if streamed else agent.run_sync(text).output
    assert "21" in output and len(asked) == calls_wanted, (output, asked)


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


class City(BaseModel):
    """A city."""
    name: str
    population: int


@check
def parsed_model():
    # It declares a tool for the output and wants it called.
    output = Agent(connect(MODEL), output_type=City).run_sync("A city, please.").output
    assert isinstance(output, City), output


@check
def error_401_unknown_client():
    error = raises(ModelHTTPError, lambda: Agent(connect(MODEL, "a-strangers-key")).run_sync("Hello"))
    assert error.status_code == 401, error


done()
