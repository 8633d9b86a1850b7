"""Scripts as people write them with the official SDK: files, caches, batches, films, stores and interactions that are
made, used together, listed and deleted. Many run at the same time in this process, each on its own.

Variables beside those of the checks: SCRIPTS, the numbers of the first and the last one; LARGE, the numbers of those
with a file of 64 MiB whose upload is cut once; PAUSE, where all wait between making and using, until a line comes on
standard input. A line is printed for each script that failed (`FAIL number step - why`) or ended
(`DONE number objects waits seconds`); `WAITING` when all have made their objects. Who is told to wait (429) waits, as a
project may have no room for what only it can see.

Every fourth script is a client of its own (API_KEY-number), the others are one client together.
"""

import asyncio
import base64
import hashlib
import http.client
import io
import json
import os
import sys
import tempfile
import time

from google import genai
from google.genai import errors, types

from checks import API_KEY, ASK_WEATHER, BASE_URL, MODEL, WEATHER_SCHEMA
from front import certificate, front

FILM_MODEL = "veo-3.1-generate-preview"
LIVE_MODEL = "gemini-live-2.5-flash-preview"
PIECE = 8 << 20
LARGE_SIZE = 64 << 20
# In the middle of the third piece.
CUT = 20_000_000
# Longer than any of it takes on a busy machine.
PATIENCE = 450

FIRST, LAST = (int(number) for number in os.environ["SCRIPTS"].split("-"))
LARGE = {int(number) for number in os.environ.get("LARGE", "").split(",") if number}
PAUSE = bool(os.environ.get("PAUSE"))
LEFT_OUT = set(os.environ.get("LEFT_OUT", "").split(","))


def connect(key, url=BASE_URL):
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url))


def key_of(number):
    return f"{API_KEY}-{number}" if number % 4 == 0 else API_KEY


def by_hand(key, method, path, body=b"", **headers):
    """Head and body of the answer to a request that the SDK has no method for. Runs in a thread."""
    connection = http.client.HTTPConnection(BASE_URL.removeprefix("http://"), timeout=PATIENCE)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"x-goog-api-key": key, "content-type": "application/json", **headers})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200:
        raise Refused(answer.status, text)
    return answer.headers, text


class Refused(Exception):
    """What a request by hand was told."""

    def __init__(self, code, text):
        super().__init__(text[:300].decode(errors="replace"))
        self.code = code


class Barrier:
    """Where all scripts of the process wait for each other, and for the one who started it."""

    def __init__(self, parties):
        self.missing = parties
        self.opened = asyncio.Event()

    async def arrive(self):
        self.missing -= 1
        if self.missing == 0:
            print("WAITING", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            self.opened.set()


class Script:
    # Where the gateway is to be found over TLS.
    front = ""

    def __init__(self, number):
        self.number = number
        self.key = key_of(number)
        self.client = connect(self.key)
        self.aio = self.client.aio
        self.stranger = connect(API_KEY if self.key != API_KEY else f"{API_KEY}-0").aio
        self.step = "start"
        self.made = 0
        self.waits = 0

    async def run(self, barrier):
        began = time.monotonic()
        try:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.all_of("make", MAKING)
            finally:
                if barrier:
                    await barrier.arrive()
            if barrier:
                await barrier.opened.wait()
            async with asyncio.timeout(PATIENCE):
                await self.all_of("use", USING)
        except Exception as error:  # a script may fail in any way that an SDK can
            code = f" {error.code}" if hasattr(error, "code") else ""
            why = " ".join(str(error).split())[:400]
            print(f"FAIL {self.number} {self.step} - {type(error).__name__}{code}: {why}", flush=True)
        else:
            print(f"DONE {self.number} {self.made} {self.waits} {time.monotonic() - began:.2f}", flush=True)

    async def all_of(self, phase, steps):
        for step in steps:
            self.step = step.__name__
            if self.step not in LEFT_OUT:
                await step(self)

    async def upload(self, name, kind, content):
        self.made += 1
        config = types.UploadFileConfig(display_name=f"{name} of {self.number}", mime_type=kind)
        file = await self.aio.files.upload(file=io.BytesIO(content), config=config)
        assert file.size_bytes == len(content), (file.size_bytes, len(content))
        assert file.uri.startswith(BASE_URL), file.uri
        # Google shows the digits of the digest, encoded once more.
        assert base64.b64decode(file.sha256_hash).decode() == hashlib.sha256(content).hexdigest(), name
        return file

    async def patiently(self, call):
        """What the call gives, made again for some minutes where there is no room."""
        end = time.monotonic() + 200
        while True:
            try:
                return await call()
            except Exception as error:  # the interactions have errors of their own
                code = getattr(error, "code", None) or getattr(error, "status_code", None)
                if code != 429 or time.monotonic() > end:
                    raise
                self.waits += 1
                await asyncio.sleep(2)

    async def generate(self, contents, **config):
        answer = await self.patiently(lambda: self.aio.models.generate_content(
            model=MODEL, contents=contents, config=types.GenerateContentConfig(**config)))
        assert answer.text, answer
        return answer


async def files(script):
    """Three files. One of them is large in some scripts."""
    number = script.number
    third = LARGE_SIZE if number in LARGE else 70_000
    script.files = [
        await script.upload("text", "text/plain", f"The text of script {number}.".encode()),
        await script.upload("picture", "image/png", bytes([number % 256]) * 30_000),
        await script.upload("sound" + (f" {{{{cut={CUT}}}}}" if number in LARGE else ""), "audio/wav",
                            number.to_bytes(4, "big") * (third // 4)),
    ]
    if number in LARGE:
        assert script.files[2].size_bytes == LARGE_SIZE


async def cache(script):
    script.made += 1
    script.cache = await script.aio.caches.create(model=MODEL, config=types.CreateCachedContentConfig(
        contents=[script.files[0], "Remember this."], ttl="600s", display_name=f"cache of {script.number}"))
    assert script.cache.name.startswith("cachedContents/"), script.cache


async def batch(script):
    """Requests in the call, or in a file; one of them names a file."""
    script.made += 1
    config = {"display_name": f"batch of {script.number}"}
    if script.number % 2:
        lines = "".join(json.dumps({"key": f"r{at}", "request": {"contents": [{"parts": [{"text": "Hello"}]}]}}) + "\n"
                        for at in range(3))
        script.lines = await script.upload("batch", "jsonl", lines.encode())
        src = script.lines.name
    else:
        inlined = types.InlinedRequest(contents=[types.Content(role="user", parts=[
            types.Part(text="What is this?"),
            types.Part.from_uri(file_uri=script.files[1].uri, mime_type="image/png")])])
        src = [inlined]
    script.batch = await script.patiently(lambda: script.aio.batches.create(model=MODEL, src=src, config=config))
    assert script.batch.name.startswith("batches/"), script.batch


async def film(script):
    """This SDK asks Google's other service alone for films, so the first call is made by hand."""
    script.made += 2  # the operation and the film
    body = {"instances": [{"prompt": f"The film of {script.number}."}], "parameters": {"sampleCount": 1}}
    path = f"/v1beta/models/{FILM_MODEL}:predictLongRunning"
    _, begun = await script.patiently(
        lambda: asyncio.to_thread(by_hand, script.key, "POST", path, json.dumps(body).encode()))
    script.film = types.GenerateVideosOperation(name=json.loads(begun)["name"])
    assert script.film.name.startswith(f"models/{FILM_MODEL}/operations/"), script.film


async def store(script):
    script.made += 5  # the store, two operations and two documents
    stores = script.aio.file_search_stores
    script.store = await stores.create(config={"display_name": f"store of {script.number}"})
    script.uploading = await stores.upload_to_file_search_store(
        file_search_store_name=script.store.name, file=io.BytesIO(b"Something to be found."),
        config={"mime_type": "text/plain", "display_name": "found"})
    script.importing = await stores.import_file(
        file_search_store_name=script.store.name, file_name=script.files[0].name)


async def upload_begun(script):
    """An upload of which the first piece is there. No method of the SDK stops in between."""
    script.made += 1
    size = PIECE + 1_000
    headers, _ = await asyncio.to_thread(
        by_hand, script.key, "POST", "/upload/v1beta/files", b"{}", x_goog_upload_protocol="resumable",
        x_goog_upload_command="start", x_goog_upload_header_content_length=str(size),
        x_goog_upload_header_content_type="audio/wav")
    script.under_way = headers["x-goog-upload-url"].removeprefix(BASE_URL)
    await asyncio.to_thread(by_hand, script.key, "PUT", script.under_way, bytes(PIECE),
                            x_goog_upload_command="upload", x_goog_upload_offset="0")


async def upload_ended(script):
    _, file = await asyncio.to_thread(
        by_hand, script.key, "PUT", script.under_way, bytes(1_000),
        x_goog_upload_command="upload, finalize", x_goog_upload_offset=str(PIECE))
    file = await script.aio.files.get(name=json.loads(file)["file"]["name"])
    assert file.size_bytes == PIECE + 1_000, file
    await script.generate([script.files[1], file, "What is it?"])
    script.files.append(file)


async def interaction(script):
    script.made += 1
    script.interaction = await script.patiently(lambda: script.aio.interactions.create(
        model=MODEL, input=f"I am {script.number}. Remember me."))
    assert script.interaction.id and script.interaction.status == "completed", script.interaction


async def listed(script):
    """What was made is in the lists."""
    aio = script.aio
    for expected, pages in (
        ({file.name for file in script.files}, lambda: aio.files.list(config={"page_size": 100})),
        ({script.cache.name}, lambda: aio.caches.list(config={"page_size": 100})),
        ({script.batch.name}, lambda: aio.batches.list(config={"page_size": 100})),
        ({script.store.name}, lambda: aio.file_search_stores.list(config={"page_size": 20})),
    ):
        found = await names(pages)
        assert expected <= set(found), f"{expected - set(found)} not among {len(found)}"
        assert len(found) == len(set(found)), "something is there twice"


async def names(pages):
    """All names of a list. The SDK fails at a page that is empty, as one is whose objects others delete meanwhile."""
    for attempt in range(3):
        try:
            return [item.name async for item in await pages()]
        except IndexError:
            if attempt == 2:
                raise


async def strangers(script):
    """Another client of the same pool sees nothing of it."""
    file = script.files[0]
    for ask in (
        lambda: script.stranger.files.get(name=file.name),
        lambda: script.stranger.files.delete(name=file.name),
        lambda: script.stranger.models.generate_content(model=MODEL, contents=[file, "What is this?"]),
        lambda: script.stranger.caches.get(name=script.cache.name),
        lambda: script.stranger.models.generate_content(
            model=MODEL, contents="Hello", config={"cached_content": script.cache.name}),
        lambda: script.stranger.operations.get(script.film),
    ):
        try:
            await ask()
        except errors.ClientError as error:
            assert error.code == 403, error
        else:
            raise AssertionError("a stranger has seen it")
    if script.key != API_KEY and script.number % 8 == 0:
        found = await names(lambda: script.stranger.files.list(config={"page_size": 100}))
        assert file.name not in found, "a stranger's list has it"


async def prompt(script):
    """A prompt with two files; every other one is streamed."""
    contents = [script.files[1], script.files[2], "Compare them."]
    if script.number % 2:
        stream = await script.patiently(
            lambda: script.aio.models.generate_content_stream(model=MODEL, contents=contents))
        assert "".join([chunk.text or "" async for chunk in stream])
    else:
        await script.generate(contents)
    counted = await script.patiently(lambda: script.aio.models.count_tokens(model=MODEL, contents=contents))
    assert counted.total_tokens > 0


async def together(script):
    """A new file is used with an old one."""
    new = await script.upload("another", "image/png", b"new" * 100)
    await script.generate([script.files[1], new, "Which is newer?"])
    script.files.append(new)


async def cache_used(script):
    answer = await script.generate("What do you remember?", cached_content=script.cache.name)
    # A cache is written out where its project has no room.
    assert answer.usage_metadata.cached_content_token_count or not PAUSE, answer.usage_metadata
    updated = await script.aio.caches.update(name=script.cache.name, config={"ttl": "1200s"})
    assert updated.expire_time > script.cache.expire_time, updated
    assert (await script.aio.caches.get(name=script.cache.name)).expire_time == updated.expire_time


async def batch_ended(script):
    while script.batch.state.name not in ("JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"):
        await asyncio.sleep(0.3)
        script.batch = await script.aio.batches.get(name=script.batch.name)
    assert script.batch.state.name == "JOB_STATE_SUCCEEDED", script.batch
    if script.number % 2:
        script.made += 1
        content = await script.aio.files.download(file=script.batch.dest.file_name)
        answers = [json.loads(line) for line in content.decode().splitlines()]
        assert [answer["key"] for answer in answers] == ["r0", "r1", "r2"], answers
    else:
        assert len(script.batch.dest.inlined_responses) == 1
        assert script.batch.dest.inlined_responses[0].response.text


async def film_seen(script):
    while not script.film.done:
        await asyncio.sleep(0.3)
        script.film = await script.aio.operations.get(script.film)
    video = script.film.response.generated_videos[0].video
    assert video.uri.startswith(BASE_URL), video.uri
    content = await script.aio.files.download(file=video)
    assert len(content) == 2 << 20 and content[4:8] == b"ftyp", len(content)
    # A film can be shown to the model, and is more to look at with the next one.
    script.film_file = await script.aio.files.get(name="files/" + video.uri.split("/files/")[1].split(":")[0])
    await script.generate([script.film_file, "What happens?"])


async def store_searched(script):
    for name in ("uploading", "importing"):
        while not getattr(script, name).done:
            await asyncio.sleep(0.3)
            setattr(script, name, await script.aio.operations.get(getattr(script, name)))
        assert getattr(script, name).response, getattr(script, name)
    search = types.Tool(file_search=types.FileSearch(file_search_store_names=[script.store.name]))
    await script.generate("What is to be found?", tools=[search])
    documents = [document async for document in
                 await script.aio.file_search_stores.documents.list(parent=script.store.name)]
    assert len(documents) == 2, documents


async def interaction_followed(script):
    script.made += 2
    stream = await script.patiently(lambda: script.aio.interactions.create(
        model=MODEL, input="Who am I?", previous_interaction_id=script.interaction.id, stream=True))
    ids = [event.interaction.id async for event in stream
           if event.event_type in ("interaction.created", "interaction.completed")]
    assert ids and all(ids), "the stream names no interaction"
    script.successor = await script.aio.interactions.get(ids[-1])
    third = await script.patiently(lambda: script.aio.interactions.create(
        model=MODEL, input="And again?", previous_interaction_id=script.successor.id))
    assert third.id not in (script.interaction.id, script.successor.id)
    for one in (script.interaction, script.successor, third):
        await script.aio.interactions.delete(one.id)


async def live(script):
    """A session with a call of a function."""
    declared = {"name": "get_weather", "description": "The weather of a city.",
                "parameters_json_schema": WEATHER_SCHEMA}
    config = {"response_modalities": ["TEXT"], "tools": [{"function_declarations": [declared]}]}
    turn = types.Content(role="user", parts=[types.Part(text=ASK_WEATHER)])
    aio = connect(script.key, script.front).aio
    async with aio.live.connect(model=LIVE_MODEL, config=config) as session:
        await session.send_client_content(turns=turn, turn_complete=True)
        async for message in session.receive():
            if message.tool_call:
                call = message.tool_call.function_calls[0]
                result = types.FunctionResponse(id=call.id, name=call.name, response={"celsius": 21})
                await session.send_tool_response(function_responses=result)
            if message.text and "21" in message.text:
                return
    raise AssertionError("the result was not spoken of")


async def deleted(script):
    aio = script.aio
    await aio.caches.delete(name=script.cache.name)
    await aio.batches.delete(name=script.batch.name)
    await aio.file_search_stores.delete(name=script.store.name, config={"force": True})
    gone = [*script.files, script.film_file, *([script.lines] if script.number % 2 else [])]
    for file in gone:
        await aio.files.delete(name=file.name)
    try:
        await aio.files.get(name=script.files[0].name)
    except errors.ClientError as error:
        assert error.code == 403, error
    else:
        raise AssertionError("the file is still there")
    found = await names(lambda: aio.files.list(config={"page_size": 100}))
    assert not set(found) & {file.name for file in gone}, "a list has what was deleted"


MAKING = [files, cache, batch, film, store, interaction, listed, strangers]
USING = [
    prompt, together, cache_used, batch_ended, film_seen, store_searched, interaction_followed, live, deleted,
]
if PAUSE:
    MAKING.insert(1, upload_begun)
    USING.insert(1, upload_ended)


async def main():
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SSL_CERT_FILE"] = certificate(folder)
        Script.front = f"https://127.0.0.1:{await front(os.environ['SSL_CERT_FILE'])}"
        scripts = [Script(number) for number in range(FIRST, LAST + 1)]
        barrier = Barrier(len(scripts)) if PAUSE else None
        await asyncio.gather(*(script.run(barrier) for script in scripts))


asyncio.run(main())
