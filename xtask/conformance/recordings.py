"""Recorded exchanges with Google, asked for in every dialect: the answers have to be strictly what the dialect's clients
expect, and say what was recorded.

Variables beside those of the checks: CORPUS, the folder; UPSTREAM, where to answer as Google did. The gateway has no
pool, so that the key of a request goes on and names the recording.
"""

import base64
import http.client
import json
import math
import os
import struct

from checks import BASE_URL, EMBEDDING_MODEL, check, done
from replay import KEY, load, serve
from validator import chat, embeddings, messages, responses
from validator.strict import need

recordings = load(os.environ["CORPUS"])
serve(recordings, os.environ["UPSTREAM"])
MORE_TOKENS = 16_000


def ask(recording, path, body):
    """Status, kind and body of the answer."""
    connection = http.client.HTTPConnection(BASE_URL.removeprefix("http://"), timeout=30)
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}{recording.name}"}
    if path.startswith("/v1/messages"):
        headers["anthropic-version"] = "2023-06-01"
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers["content-type"].split(";")[0], text


def same(found, expected, what):
    need(found == expected, f"{what}: {found!r} in place of {expected!r}")


class Chat:
    path = "/v1/chat/completions"
    shape = chat

    def body(self, recording, is_stream):
        tools = [{"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
                 for name, description, parameters in recording.declared]
        return {"model": recording.model, "messages": [{"role": "user", "content": "Hello"}], "reasoning_effort": "low",
                "max_completion_tokens": MORE_TOKENS, **({"tools": tools} if tools else {}),
                **({"stream": True, "stream_options": {"include_usage": True}} if is_stream else {})}

    def compare(self, recording, answer):
        choice = answer["choices"][0]
        message, usage = choice["message"], answer["usage"]
        told = [(call["function"]["name"], json.loads(call["function"]["arguments"]))
                for call in message.get("tool_calls") or []]
        said(recording, message["content"] or "", message.get("reasoning_content") or "", told)
        finish = {"STOP": "tool_calls" if told else "stop", "MAX_TOKENS": "length"}.get(recording.finish, "content_filter")
        same(choice["finish_reason"], finish, "finish_reason")
        same(usage["prompt_tokens"], prompt_tokens(recording), "prompt_tokens")
        same(usage["completion_tokens"], output_tokens(recording), "completion_tokens")
        same((usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0),
             recording.tokens("cachedContentTokenCount"), "cached_tokens")
        same((usage.get("completion_tokens_details") or {}).get("reasoning_tokens", 0),
             recording.tokens("thoughtsTokenCount"), "reasoning_tokens")


class Responses:
    path = "/v1/responses"
    shape = responses

    def body(self, recording, is_stream):
        tools = [{"type": "function", "name": name, "description": description, "parameters": parameters, "strict": False}
                 for name, description, parameters in recording.declared]
        return {"model": recording.model, "input": "Hello", "store": False, "reasoning": {"effort": "low", "summary": "auto"},
                "include": ["reasoning.encrypted_content"], "max_output_tokens": MORE_TOKENS, "stream": is_stream,
                **({"tools": tools} if tools else {})}

    def compare(self, recording, answer):
        output, usage = answer["output"], answer["usage"]
        texts = [part["text"] for item in output if item["type"] == "message"
                 for part in item["content"] if part["type"] == "output_text"]
        thoughts = [part["text"] for item in output if item["type"] == "reasoning" for part in item["summary"]]
        told = [(item["name"], json.loads(item["arguments"])) for item in output if item["type"] == "function_call"]
        said(recording, "".join(texts), "".join(thoughts), told)
        if recording.finish == "STOP":
            same(answer["status"], "completed", "status")
        else:
            same(answer["status"], "incomplete", "status")
            reason = "max_output_tokens" if recording.finish == "MAX_TOKENS" else "content_filter"
            same(answer["incomplete_details"]["reason"], reason, "reason")
        same(usage["input_tokens"], prompt_tokens(recording), "input_tokens")
        same(usage["output_tokens"], output_tokens(recording), "output_tokens")
        same(usage["input_tokens_details"]["cached_tokens"], recording.tokens("cachedContentTokenCount"), "cached_tokens")
        same(usage["output_tokens_details"]["reasoning_tokens"], recording.tokens("thoughtsTokenCount"), "reasoning_tokens")


class Messages:
    path = "/v1/messages"
    shape = messages

    def body(self, recording, is_stream):
        tools = [{"name": name, "description": description, "input_schema": parameters}
                 for name, description, parameters in recording.declared]
        return {"model": recording.model, "max_tokens": MORE_TOKENS, "messages": [{"role": "user", "content": "Hello"}],
                "thinking": {"type": "enabled", "budget_tokens": 1024}, "stream": is_stream,
                **({"tools": tools} if tools else {})}

    def compare(self, recording, answer):
        content, usage = answer["content"], answer["usage"]
        texts = [block["text"] for block in content if block["type"] == "text"]
        thoughts = [block["thinking"] for block in content if block["type"] == "thinking"]
        told = [(block["name"], block["input"]) for block in content if block["type"] == "tool_use"]
        said(recording, "".join(texts), "".join(thoughts), told)
        finish = {"STOP": "tool_use" if told else "end_turn", "MAX_TOKENS": "max_tokens"}.get(recording.finish, "refusal")
        same(answer["stop_reason"], finish, "stop_reason")
        cached = recording.tokens("cachedContentTokenCount")
        same(usage["input_tokens"], prompt_tokens(recording) - cached, "input_tokens")
        same(usage.get("cache_read_input_tokens") or 0, cached, "cache_read_input_tokens")
        same(usage["output_tokens"], output_tokens(recording), "output_tokens")


def prompt_tokens(recording):
    return recording.tokens("promptTokenCount") + recording.tokens("toolUsePromptTokenCount")


def output_tokens(recording):
    return recording.tokens("candidatesTokenCount") + recording.tokens("thoughtsTokenCount")


def said(recording, text, thoughts, calls):
    if recording.has_code or recording.media:
        need(recording.text in text or text.endswith(recording.text.lstrip()), f"text: {text!r} lacks {recording.text!r}")
    else:
        same(text, recording.text, "text")
    same(thoughts.strip(), recording.thoughts.strip(), "thoughts")
    same(calls, recording.calls, "calls")


def named(name, function):
    function.__name__ = name
    check(function)


def generating(dialect, recording, is_stream):
    status, kind, text = ask(recording, dialect.path, dialect.body(recording, is_stream))
    if recording.status != 200:
        need(status >= 400 and kind == "application/json", f"{status} {kind}: {text[:200]}")
        dialect.shape.error(json.loads(text))
        return f"{status} {json.loads(text)['error']['type']}"
    need(status == 200, f"{status}: {text[:300]}")
    same(kind, "text/event-stream" if is_stream else "application/json", "content-type")
    answer = dialect.shape.stream(text) if is_stream else dialect.shape.whole(json.loads(text))
    dialect.compare(recording, answer)
    return ""


def embedding(recording, is_base64):
    inputs = [request["content"]["parts"][0]["text"] for request in recording.request.get("requests", [])] or ["Hello"]
    body = {"model": recording.model or EMBEDDING_MODEL, "input": inputs, "encoding_format": "base64" if is_base64 else "float"}
    status, _, text = ask(recording, "/v1/embeddings", body)
    need(status == 200, f"{status}: {text[:300]}")
    answer = json.loads(text)
    embeddings.whole(answer, is_base64)
    recorded = [one["values"] for one in recording.answers[0].get("embeddings") or [recording.answers[0]["embedding"]]]
    vectors = [item["embedding"] for item in answer["data"]]
    if is_base64:
        packed = [base64.b64decode(vector) for vector in vectors]
        vectors = [list(struct.unpack(f"<{len(vector) // 4}f", vector)) for vector in packed]
    same([len(vector) for vector in vectors], [len(vector) for vector in recorded], "dimensions")
    # OpenAI's vectors have length 1, Google's shorter ones have not.
    recorded = [[value / math.hypot(*vector) for value in vector] for vector in recorded]
    worst = max(abs(a - b) for one, other in zip(vectors, recorded) for a, b in zip(one, other))
    need(worst < 1e-6, f"a value is off by {worst}")
    return f"{len(vectors)} vectors"


def counting(recording):
    body = {"model": recording.model, "messages": [{"role": "user", "content": "Hello"}]}
    status, _, text = ask(recording, "/v1/messages/count_tokens", body)
    if recording.status != 200:
        messages.error(json.loads(text))
        return f"{status}"
    need(status == 200, f"{status}: {text[:300]}")
    same(json.loads(text), {"input_tokens": recording.answers[0]["totalTokens"]}, "tokens")
    return ""


for recording in recordings.values():
    if recording.method in ("generateContent", "streamGenerateContent"):
        for dialect in (Chat(), Responses(), Messages()):
            for form, is_stream in (("whole", False), ("stream", True)):
                named(f"{type(dialect).__name__.lower()}/{recording.name}/{form}",
                      lambda: generating(dialect, recording, is_stream))
    elif recording.method in ("embedContent", "batchEmbedContents"):
        for form, is_base64 in (("numbers", False), ("base64", True)):
            named(f"embeddings/{recording.name}/{form}", lambda: embedding(recording, is_base64))
    elif recording.method == "countTokens":
        named(f"messages/{recording.name}/count_tokens", lambda: counting(recording))

done()
