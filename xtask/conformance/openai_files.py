"""The official OpenAI SDK: files and batches."""

import base64
import json
import time

import openai

from checks import API_KEY, BASE_URL, EMBEDDING_MODEL, MODEL, check, done, raises

client = openai.OpenAI(base_url=BASE_URL + "/v1", api_key=API_KEY, max_retries=0, timeout=30)

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def lines(url, *bodies):
    """A batch's input; the ids are a, b, c, …"""
    requests = [{"custom_id": chr(ord("a") + place), "method": "POST", "url": url, "body": body}
                for place, body in enumerate(bodies)]
    return "\n".join(json.dumps(request) for request in requests).encode()


def user(text):
    return [{"role": "user", "content": text}]


def run(url, *bodies, **more):
    """Makes a batch of these requests and waits for its end."""
    file = client.files.create(file=("requests.jsonl", lines(url, *bodies)), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h", **more)
    assert batch.object == "batch" and batch.id.startswith("batch_") and batch.input_file_id == file.id
    assert batch.status in ("validating", "in_progress", "completed"), batch.status
    for _ in range(100):
        if batch.status in ("completed", "failed", "expired", "cancelled"):
            break
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
    assert batch.status == "completed", batch
    return batch


def content(file):
    """The lines of a batch's output, by their ids."""
    entries = [json.loads(line) for line in client.files.content(file).text.splitlines()]
    return {entry["custom_id"]: entry["response"] for entry in entries}


@check
def file_create_and_retrieve():
    for purpose, name in [("user_data", "a paper.pdf"), ("assistants", "paper.pdf"), ("vision", "paper.pdf")]:
        file = client.files.create(file=(name, PDF), purpose=purpose)
        assert file.object == "file" and file.id.startswith("file-") and file.bytes == len(PDF)
        assert (file.purpose, file.filename, file.status) == (purpose, name, "processed"), file
        assert file.expires_at > file.created_at > 0
        assert client.files.retrieve(file.id) == file
    processed = client.files.wait_for_processing(file.id, poll_interval=0.1)
    assert processed.status == "processed"


@check
def file_list():
    made = [client.files.create(file=(f"{number}.txt", b"text"), purpose="evals").id for number in range(3)]
    listed = [file.id for file in client.files.list(purpose="evals")]
    assert sorted(listed) == sorted(made), (listed, made)
    pages = [file.id for file in client.files.list(purpose="evals", limit=1, order="asc")]
    assert pages == listed[::-1], (pages, listed)


@check
def file_large():
    file = client.files.create(file=("large.txt", b"text\n" * (3 << 20)), purpose="user_data")
    assert file.bytes == 5 * (3 << 20), file


@check
def file_delete():
    file = client.files.create(file=("a.txt", b"text"), purpose="user_data")
    deleted = client.files.delete(file.id)
    assert deleted.deleted and deleted.id == file.id
    error = raises(openai.NotFoundError, lambda: client.files.retrieve(file.id))
    assert "No such File object" in error.message, error.message


@check
def file_errors():
    error = raises(openai.BadRequestError, lambda: client.files.create(file=("a", b"x"), purpose="fun"))
    assert error.param == "purpose", error.body
    file = client.files.create(file=("a.txt", b"text"), purpose="assistants")
    error = raises(openai.BadRequestError, lambda: client.files.content(file.id))
    assert "Not allowed to download files of purpose: assistants" in error.message, error.message
    raises(openai.NotFoundError, lambda: client.files.retrieve("file-unknown"))


@check
def file_in_chat():
    file = client.files.create(file=("paper.pdf", PDF), purpose="user_data")
    parts = [{"type": "file", "file": {"file_id": file.id}}, {"type": "text", "text": "What is it about?"}]
    answer = client.chat.completions.create(model=MODEL, messages=user(parts))
    assert answer.choices[0].message.content


@check
def file_in_response():
    file = client.files.create(file=("paper.pdf", PDF), purpose="user_data")
    parts = [{"type": "input_file", "file_id": file.id}, {"type": "input_text", "text": "What is it about?"}]
    answer = client.responses.create(model=MODEL, input=user(parts))
    assert answer.output_text


@check
def large_image_in_chat():
    # Gemini takes bodies of 20 MiB, and larger media as files alone.
    image = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(24 << 20)).decode()
    parts = [{"type": "image_url", "image_url": {"url": image}}, {"type": "text", "text": "What is it?"}]
    for _ in range(2):
        answer = client.chat.completions.create(model=MODEL, messages=user(parts))
        assert answer.choices[0].message.content
    assert not any("inline" in file.filename for file in client.files.list())


@check
def batch_of_chats():
    batch = run("/v1/chat/completions",
                {"model": MODEL, "messages": user("Say hello."), "max_completion_tokens": 100},
                {"model": MODEL, "messages": user("Say goodbye."), "parallel_tool_calls": False},
                metadata={"customer": "7"})
    assert batch.metadata == {"customer": "7"} and batch.endpoint == "/v1/chat/completions"
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (2, 2, 0)
    assert batch.completed_at and batch.error_file_id is None
    answers = content(batch.output_file_id)
    assert sorted(answers) == ["a", "b"] and all(answer["status_code"] == 200 for answer in answers.values())
    chat = openai.types.chat.ChatCompletion.model_validate(answers["a"]["body"])
    assert chat.choices[0].message.content and chat.choices[0].finish_reason == "stop", chat
    output = client.files.retrieve(batch.output_file_id)
    assert output.purpose == "batch_output" and output.id == batch.output_file_id


@check
def batch_with_a_file():
    file = client.files.create(file=("paper.pdf", PDF), purpose="user_data")
    parts = [{"type": "file", "file": {"file_id": file.id}}, {"type": "text", "text": "What is it about?"}]
    batch = run("/v1/chat/completions", {"model": MODEL, "messages": user(parts)})
    assert content(batch.output_file_id)["a"]["body"]["choices"][0]["message"]["content"]


@check
def batch_of_responses():
    batch = run("/v1/responses", {"model": MODEL, "input": "Say hello.", "instructions": "Be brief."})
    body = content(batch.output_file_id)["a"]["body"]
    response = openai.types.responses.Response.model_validate(body)
    assert response.status == "completed" and response.output_text


@check
def batch_of_embeddings():
    batch = run("/v1/embeddings", {"model": EMBEDDING_MODEL, "input": "one"},
                {"model": EMBEDDING_MODEL, "input": ["two", "three"], "encoding_format": "base64"})
    answers = content(batch.output_file_id)
    one = openai.types.CreateEmbeddingResponse.model_validate(answers["a"]["body"])
    assert len(one.data) == 1 and len(one.data[0].embedding) > 100 and one.model == EMBEDDING_MODEL
    assert [entry["index"] for entry in answers["b"]["body"]["data"]] == [0, 1]
    assert isinstance(answers["b"]["body"]["data"][0]["embedding"], str)


@check
def batch_list_and_cancel():
    made = client.files.create(
        file=("requests.jsonl", lines("/v1/chat/completions", {"model": MODEL, "messages": user("Hi")})), purpose="batch")
    batches = [client.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h")
               for _ in range(2)]
    ids = [batch.id for batch in client.batches.list(limit=1)]
    assert len(ids) == len(set(ids)) and {batch.id for batch in batches} <= set(ids), ids
    assert client.batches.cancel(batches[0].id).status in ("cancelling", "cancelled", "completed")
    raises(openai.NotFoundError, lambda: client.batches.retrieve("batch_unknown"))


@check
def batch_errors():
    bad = lines("/v1/chat/completions", {"model": MODEL, "messages": user("Hi")}, {"model": MODEL})
    error = raises(openai.BadRequestError, lambda: client.files.create(file=("a.jsonl", bad), purpose="batch"))
    assert error.param == "file" and "line 2, body.messages" in error.message, error.body
    file = client.files.create(file=("a.txt", b"text"), purpose="user_data")
    error = raises(openai.BadRequestError, lambda: client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"))
    assert error.param == "input_file_id", error.body


done()
