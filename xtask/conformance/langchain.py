"""LangChain with the integration that the argument names."""

import sys

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from checks import API_KEY, ASK_TWICE, ASK_WEATHER, BASE_URL, MODEL, SIGNING_MODEL, check, done, raises


def openai(model, key=API_KEY, **more):
    from langchain_openai import ChatOpenAI
    return ChatOpenAI(model=model, base_url=BASE_URL + "/v1", api_key=key, max_retries=0, stream_usage=True, **more)


def openai_responses(model, key=API_KEY):
    return openai(model, key, use_responses_api=True)


def google(model, key=API_KEY):
    from langchain_google_genai import ChatGoogleGenerativeAI
    return ChatGoogleGenerativeAI(model=model, base_url=BASE_URL, google_api_key=key, max_retries=0)


connect = {"openai": openai, "openai-responses": openai_responses, "google": google}[sys.argv[1]]


@tool
def get_weather(city: str) -> dict:
    """The weather of a city."""
    return {"celsius": 21}


@check
def plain_turn():
    answer = connect(MODEL).invoke([("system", "Be brief."), ("human", "Say hello.")])
    assert answer.text and answer.usage_metadata["total_tokens"] > 0, answer
    assert not answer.tool_calls


@check
def stream():
    chunks = list(connect(MODEL).stream("{{chunks=5}} Count."))
    assert len(chunks) >= 5 and "".join(chunk.text for chunk in chunks)
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.usage_metadata and whole.usage_metadata["total_tokens"] > 0, whole
    return f"{len(chunks)} chunks"


def round_trip(text, calls_wanted, model, streamed=False):
    bound = connect(model).bind_tools([get_weather])
    messages = [HumanMessage(text)]
    if streamed:
        answer = None
        for chunk in bound.stream(messages):
            answer = chunk if answer is None else answer + chunk
    else:
        answer = bound.invoke(messages)
    assert len(answer.tool_calls) == calls_wanted, answer
    assert len({call["id"] for call in answer.tool_calls}) == calls_wanted
    messages.append(answer)
    for call in answer.tool_calls:
        result = get_weather.invoke(call)
        assert isinstance(result, ToolMessage)
        messages.append(result)
    last = bound.invoke(messages)
    assert "21" in last.text and not last.tool_calls, last


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
    answer = connect(MODEL).with_structured_output(City).invoke("A city, please.")
    assert isinstance(answer, City), answer


@check
def error_401_unknown_client():
    error = raises(Exception, lambda: connect(MODEL, "a-strangers-key").invoke("Hello"))
    assert "may not use the gateway" in str(error), error
    return type(error).__name__


done()
