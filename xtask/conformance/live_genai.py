"""The official google-genai SDK: the Live API, by key and by ephemeral token.

The SDK speaks to Live over TLS only, whatever its base URL says, so a front with a certificate of its own stands before
the gateway here, as a reverse proxy does elsewhere.
"""

import asyncio
import os
import tempfile
import threading
import warnings

from google import genai
from google.genai import errors, types

from checks import API_KEY, ASK_WEATHER, WEATHER_SCHEMA, check, done
from front import certificate, front

LIVE_MODEL = os.environ.get("LIVE_MODEL", "gemini-live-2.5-flash-preview")
MUSIC_MODEL = os.environ.get("MUSIC_MODEL", "lyria-realtime-exp")
WITHIN = 30

warnings.filterwarnings("ignore", category=errors.ExperimentalWarning)

folder = tempfile.TemporaryDirectory()
pem = certificate(folder.name)
os.environ["SSL_CERT_FILE"] = pem
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
port = asyncio.run_coroutine_threadsafe(front(pem), loop).result(WITHIN)


def connect(key=API_KEY, version="v1beta"):
    url = f"https://127.0.0.1:{port}"
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url, api_version=version))


def run(conversation):
    """What comes of a conversation, in time."""
    async def in_time():
        return await asyncio.wait_for(conversation, WITHIN)

    return asyncio.run(in_time())


TEXT = {"response_modalities": ["TEXT"]}


def asks(text):
    return types.Content(role="user", parts=[types.Part(text=text)])


async def answer(session):
    """The text of the model's turn, and the last message of it."""
    text, last = "", None
    async for message in session.receive():
        text += message.text or ""
        last = message
    return text, last


@check
def turns():
    async def talk():
        async with connect().aio.live.connect(model=LIVE_MODEL, config=TEXT) as session:
            for word in ("hello", "again"):
                await session.send_client_content(turns=asks(f"Say {word}."), turn_complete=True)
                text, last = await answer(session)
                assert word in text, text
                assert last.usage_metadata.total_token_count > 0
            await session.send_realtime_input(text="Say it live.")
            text, _ = await answer(session)
            assert "live" in text, text

    run(talk())


@check
def every_version_of_the_api():
    async def talk(version):
        async with connect(version=version).aio.live.connect(model=LIVE_MODEL, config=TEXT) as session:
            await session.send_client_content(turns=asks("Say hello."), turn_complete=True)
            assert (await answer(session))[0]

    for version in ("v1", "v1beta", "v1alpha"):
        run(talk(version))


@check
def tools():
    declared = {"name": "get_weather", "description": "The weather of a city.", "parameters_json_schema": WEATHER_SCHEMA}

    async def talk():
        config = TEXT | {"tools": [{"function_declarations": [declared]}]}
        async with connect().aio.live.connect(model=LIVE_MODEL, config=config) as session:
            await session.send_client_content(turns=asks(ASK_WEATHER), turn_complete=True)
            async for message in session.receive():
                if message.tool_call:
                    call = message.tool_call.function_calls[0]
                    result = types.FunctionResponse(id=call.id, name=call.name, response={"celsius": 21})
                    await session.send_tool_response(function_responses=result)
                if message.text and "21" in message.text:
                    return call.name

    assert run(talk()) == "get_weather"


@check
def sound():
    async def talk():
        config = {"response_modalities": ["AUDIO"], "output_audio_transcription": {}}
        async with connect().aio.live.connect(model=LIVE_MODEL, config=config) as session:
            blob = types.Blob(data=bytes(3200), mime_type="audio/pcm;rate=16000")
            await session.send_realtime_input(audio=blob)
            await session.send_realtime_input(audio_stream_end=True)
            heard, said = 0, ""
            async for message in session.receive():
                heard += len(message.data or b"")
                content = message.server_content
                if content and content.output_transcription:
                    said += content.output_transcription.text
            assert heard and said
            return said

    return run(talk())


@check
def resumption():
    async def talk(handle):
        config = TEXT | {"session_resumption": {"handle": handle}}
        async with connect().aio.live.connect(model=LIVE_MODEL, config=config) as session:
            await session.send_client_content(turns=asks("Say hello."), turn_complete=True)
            text, _ = await answer(session)
            async for message in session.receive():
                if message.session_resumption_update:
                    return text, message.session_resumption_update.new_handle

    handle = None
    for number in (1, 2, 3):
        text, handle = run(talk(handle))
        assert f"Turn {number}" in text, text


@check
def a_close_of_the_upstream():
    async def talk():
        async with connect().aio.live.connect(model=LIVE_MODEL, config=TEXT) as session:
            reason = "Deadline expired before operation could complete."
            await session.send_client_content(turns=asks(f"{{{{close=1011:{reason}}}}}"), turn_complete=True)
            try:
                await answer(session)
            except errors.APIError as error:
                assert error.code == 1011 and "Deadline" in str(error), error
                return str(error)
            raise AssertionError("it was not closed")

    return run(talk())


@check
def an_unknown_model():
    async def talk():
        try:
            async with connect().aio.live.connect(model="gemini-0.1-nonesuch", config=TEXT) as session:
                await answer(session)
        except Exception as error:  # the SDK's own, or that of its WebSockets
            assert "is not found" in str(error), error
            return str(error)
        raise AssertionError("it was served")

    return run(talk())


@check
def a_stranger():
    async def talk():
        try:
            async with connect("a-strangers-key").aio.live.connect(model=LIVE_MODEL, config=TEXT):
                pass
        except Exception as error:  # that of its WebSockets
            assert "401" in str(error), error
            return str(error)
        raise AssertionError("it was served")

    return run(talk())


@check
def an_ephemeral_token():
    async def talk():
        maker = connect(version="v1alpha")
        token = await maker.aio.auth_tokens.create(config={"uses": 1})
        holder = connect(token.name, version="v1alpha")
        async with holder.aio.live.connect(model=LIVE_MODEL, config=TEXT) as session:
            await session.send_client_content(turns=asks("Say hello."), turn_complete=True)
            text, _ = await answer(session)
            assert "hello" in text, text

    # Whichever project mints, serves.
    for _ in range(3):
        run(talk())


@check
def music():
    async def play():
        async with connect(version="v1alpha").aio.live.music.connect(model=f"models/{MUSIC_MODEL}") as session:
            prompt = types.WeightedPrompt(text="A quiet piano.", weight=1.0)
            await session.set_weighted_prompts(prompts=[prompt])
            async for message in session.receive():
                if message.server_content and message.server_content.audio_chunks:
                    return len(message.server_content.audio_chunks[0].data)

    assert run(play())


done()
