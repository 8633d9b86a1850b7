"""The official OpenAI SDK: embeddings, images, sound and completions, and the list of models."""

import base64
import io
import json
import math
import struct
import wave
import zlib

import openai

from checks import API_KEY, BASE_URL, EMBEDDING_MODEL, MODEL, check, done, raises

client = openai.OpenAI(base_url=BASE_URL + "/v1", api_key=API_KEY, max_retries=0, timeout=60)
IMAGE_MODEL = "gpt-image-1"
SPEECH_MODEL = "gpt-4o-mini-tts"
EARS = "gpt-4o-transcribe"


def length(vector):
    return math.sqrt(sum(value * value for value in vector))


def picture():
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0\0\0\0")) + chunk(b"IEND", b"")


def recording(seconds=1):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(b"\0\0" * 16_000 * seconds)
    file.seek(0)
    file.name = "recording.wav"
    return file


@check
def embeddings_as_the_sdk_asks():
    answer = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], dimensions=256)
    assert answer.object == "list" and [entry.index for entry in answer.data] == [0, 1]
    for entry in answer.data:
        assert len(entry.embedding) == 256 and abs(length(entry.embedding) - 1) < 1e-3, length(entry.embedding)
    assert answer.data[0].embedding != answer.data[1].embedding
    assert answer.usage.prompt_tokens > 0 and answer.usage.total_tokens == answer.usage.prompt_tokens


@check
def embeddings_as_numbers_and_in_base64():
    asked = {"model": EMBEDDING_MODEL, "input": "one", "user": "somebody"}
    numbers = client.embeddings.create(**asked, encoding_format="float").data[0].embedding
    raw = client.embeddings.with_raw_response.create(**asked, encoding_format="base64")
    packed = base64.b64decode(json.loads(raw.http_response.text)["data"][0]["embedding"])
    unpacked = struct.unpack(f"<{len(packed) // 4}f", packed)
    assert len(numbers) == len(unpacked) > 256
    assert all(abs(one - other) < 1e-6 for one, other in zip(numbers, unpacked))


@check
def embeddings_of_many_texts_keep_their_order():
    texts = [f"text {number}" for number in range(250)]
    many = client.embeddings.create(model=EMBEDDING_MODEL, input=texts, dimensions=128)
    assert [entry.index for entry in many.data] == list(range(250))
    last = client.embeddings.create(model=EMBEDDING_MODEL, input=texts[-1], dimensions=128)
    assert all(abs(a - b) < 1e-5 for a, b in zip(many.data[-1].embedding, last.data[0].embedding))


@check
def embeddings_of_tokens_are_refused():
    error = raises(openai.BadRequestError, lambda: client.embeddings.create(model=EMBEDDING_MODEL, input=[[1, 2]]))
    assert "text" in error.body["message"] and error.body["param"] == "input[0]", error.body


@check
def images():
    answer = client.images.generate(model=IMAGE_MODEL, prompt="A red dot", n=2, size="1536x1024", quality="high",
                                    background="transparent", output_format="png", moderation="low")
    assert len(answer.data) == 2 and answer.created > 0
    for image in answer.data:
        assert base64.b64decode(image.b64_json)[:4] == b"\x89PNG" and image.url is None
    assert answer.usage.total_tokens > 0


@check
def images_as_addresses():
    answer = client.images.generate(model="dall-e-3", prompt="A red dot", response_format="url", style="vivid")
    head, _, data = answer.data[0].url.partition(",")
    assert head == "data:image/png;base64" and base64.b64decode(data)[:4] == b"\x89PNG"


@check
def images_in_events():
    events = list(client.images.generate(model=IMAGE_MODEL, prompt="A red dot", stream=True, partial_images=2))
    assert [event.type for event in events] == ["image_generation.completed"]
    assert base64.b64decode(events[0].b64_json)[:4] == b"\x89PNG"


@check
def images_edited():
    files = [("one.png", picture(), "image/png"), ("two.png", picture(), "image/png")]
    answer = client.images.edit(model=IMAGE_MODEL, image=files, mask=("mask.png", picture(), "image/png"),
                                prompt="Make it blue", size="1024x1024")
    assert base64.b64decode(answer.data[0].b64_json)[:4] == b"\x89PNG"


@check
def images_that_are_refused():
    error = raises(openai.BadRequestError, lambda: client.images.generate(
        model=IMAGE_MODEL, prompt="{{fault=blocked}} something"))
    assert error.body["code"] == "moderation_blocked", error.body


@check
def speech_in_a_file():
    answer = client.audio.speech.create(model=SPEECH_MODEL, voice="alloy", input="Hello.", response_format="wav",
                                        instructions="Speak softly.", speed=1.25)
    with wave.open(io.BytesIO(answer.content)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (24_000, 1, 2)
        assert sound.getnframes() > 0 and len(answer.content) == 44 + 2 * sound.getnframes()


@check
def speech_as_samples_and_packed():
    samples = client.audio.speech.create(model=SPEECH_MODEL, voice="coral", input="Hello.", response_format="pcm")
    assert len(samples.content) > 0 and len(samples.content) % 2 == 0
    packed = client.audio.speech.create(model="tts-1", voice="nova", input="Hello.")
    assert packed.response.headers["content-type"] == "audio/mpeg"
    assert packed.content[:2] == b"\xff\xf3" and len(packed.content) % 288 == 0, len(packed.content)


@check
def speech_as_it_comes():
    with client.audio.speech.with_streaming_response.create(
            model=SPEECH_MODEL, voice="Kore", input="Hello.", response_format="pcm") as answer:
        assert sum(len(piece) for piece in answer.iter_bytes()) > 0
    raw = client.audio.speech.with_raw_response.create(
        model=SPEECH_MODEL, voice="Kore", input="Hello.", response_format="pcm", stream_format="sse")
    assert raw.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in raw.http_response.text.splitlines() if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    kinds = [event["type"] for event in events]
    assert kinds[-1] == "speech.audio.done" and set(kinds[:-1]) == {"speech.audio.delta"}, kinds
    assert all(base64.b64decode(event["audio"]) for event in events[:-1])


@check
def speech_in_a_form_that_is_not_made():
    error = raises(openai.BadRequestError, lambda: client.audio.speech.create(
        model=SPEECH_MODEL, voice="alloy", input="Hello.", response_format="opus"))
    assert all(form in error.body["message"] for form in ("mp3", "wav", "pcm")), error.body


@check
def transcriptions():
    answer = client.audio.transcriptions.create(model=EARS, file=recording(), language="en", prompt="Libra",
                                                temperature=0.2)
    assert answer.text and answer.usage.type == "tokens" and answer.usage.total_tokens > 0
    text = client.audio.transcriptions.create(model="whisper-1", file=recording(), response_format="text")
    assert isinstance(text, str) and text.strip()


@check
def transcriptions_with_times():
    answer = client.audio.transcriptions.create(model="whisper-1", file=recording(2), response_format="verbose_json",
                                                timestamp_granularities=["segment", "word"])
    assert answer.duration == 2 and answer.text and answer.segments and answer.words
    assert all(0 <= segment.start <= segment.end <= 2 for segment in answer.segments)
    subtitles = client.audio.transcriptions.create(model="whisper-1", file=recording(), response_format="srt")
    assert subtitles.startswith("1\n00:00:0"), subtitles
    subtitles = client.audio.transcriptions.create(model="whisper-1", file=recording(), response_format="vtt")
    assert subtitles.startswith("WEBVTT\n\n00:00:0"), subtitles


@check
def transcriptions_in_events():
    events = list(client.audio.transcriptions.create(model=EARS, file=recording(), stream=True))
    assert events[-1].type == "transcript.text.done"
    assert {event.type for event in events[:-1]} == {"transcript.text.delta"}
    assert "".join(event.delta for event in events[:-1]).strip() == events[-1].text


@check
def translations():
    answer = client.audio.translations.create(model="whisper-1", file=recording())
    assert answer.text


@check
def recordings_that_are_none():
    error = raises(openai.BadRequestError, lambda: client.audio.transcriptions.create(
        model=EARS, file=("picture.png", picture(), "image/png")))
    assert error.body["param"] == "file", error.body


@check
def completions():
    answer = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once", max_tokens=200, best_of=1,
                                       echo=True, user="somebody")
    assert answer.object == "text_completion" and answer.id.startswith("cmpl-")
    assert answer.choices[0].text.startswith("Once") and answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens >= answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


@check
def completions_of_several_prompts():
    answer = client.completions.create(model=MODEL, prompt=["One", "Two"], n=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3] and all(c.text for c in answer.choices)
    chunks = list(client.completions.create(model=MODEL, prompt=["One", "Two"], stream=True))
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1}


@check
def completions_in_events():
    chunks = list(client.completions.create(model=MODEL, prompt="{{chunks=5}} Count.", stream=True,
                                            stream_options={"include_usage": True}))
    assert len(chunks) >= 5 and chunks[-1].choices == [] and chunks[-1].usage.total_tokens > 0
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert reasons == ["stop"], reasons


@check
def models():
    listed = [model.id for model in client.models.list()]
    assert MODEL in listed and EMBEDDING_MODEL in listed
    assert client.models.retrieve("text-embedding-3-small").id == "text-embedding-3-small"
    raises(openai.NotFoundError, lambda: client.models.retrieve("no-such-model"))


done()
