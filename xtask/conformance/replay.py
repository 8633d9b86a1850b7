"""Recorded exchanges with Google: what each says, and an upstream on loopback that says it again.

The folder holds a JSON file an exchange, with `request` (`url`, `body`) and `response` (`status`, `headers`,
`body_encoding`, `body`). A request names the exchange that it wants answered by its key.
"""

import http.server
import json
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

# A key that begins so names the recording that follows.
KEY = "recording-"


@dataclass
class Recording:
    """An exchange, and what was said in it."""

    name: str
    method: str  # of the API: generateContent …
    model: str
    status: int
    request: dict
    # The answer: one object, or those of a stream.
    answers: list
    text: str = ""
    thoughts: str = ""
    calls: list = field(default_factory=list)
    # Text that is no plain text, as code and its result: where it goes is the dialect's business.
    has_code: bool = False
    media: list = field(default_factory=list)
    finish: str = ""
    blocked: bool = False
    usage: dict = field(default_factory=dict)

    def __post_init__(self):
        for answer in self.answers:
            self.usage = answer.get("usageMetadata") or self.usage
            self.blocked |= bool((answer.get("promptFeedback") or {}).get("blockReason"))
            for candidate in answer.get("candidates", [])[:1]:
                self.finish = candidate.get("finishReason") or self.finish
                for part in (candidate.get("content") or {}).get("parts", []):
                    self.hear(part)

    def hear(self, part):
        if "text" in part and part.get("thought"):
            self.thoughts += part["text"]
        elif "text" in part:
            self.text += part["text"]
        elif "functionCall" in part:
            call = part["functionCall"]
            self.calls.append((call["name"], call.get("args") or {}))
        elif "inlineData" in part:
            self.media.append(part["inlineData"]["mimeType"])
        else:
            self.has_code = True

    def tokens(self, name):
        return self.usage.get(name, 0)

    @property
    def declared(self):
        """The functions of the request: name, description, and parameters as JSON Schema writes them."""
        tools = self.request.get("tools") or []
        functions = [one for tool in tools
                     for one in tool.get("functionDeclarations") or tool.get("function_declarations") or []]
        return [(one["name"], one.get("description", ""),
                 lower(one.get("parameters") or one.get("parametersJsonSchema") or
                       one.get("parameters_json_schema") or {"type": "object", "properties": {}}))
                for one in functions]

    def whole(self):
        """The answer as one object: a stream's parts follow one another."""
        if len(self.answers) == 1:
            return self.answers[0]
        answer = json.loads(json.dumps(self.answers[-1]))
        parts = [part for one in self.answers for candidate in one.get("candidates", [])
                 for part in (candidate.get("content") or {}).get("parts", [])]
        answer["candidates"][0]["content"] = {"role": "model", "parts": parts}
        return answer


def lower(schema):
    """Names of types in small letters, as JSON Schema has them."""
    if isinstance(schema, list):
        return [lower(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: value.lower() if key == "type" and isinstance(value, str) else lower(value)
            for key, value in schema.items()}


def load(folder):
    """The recordings of the folder that a translated dialect can ask for, by name."""
    found = {}
    for path in sorted(Path(folder).glob("*.json")):
        recording = read(path)
        if recording:
            found[recording.name] = recording
    return found


def read(path):
    exchange = json.loads(path.read_text())
    request, response = exchange.get("request"), exchange.get("response")
    if not request or not response or response.get("body_encoding") != "utf-8":
        return None
    address = re.search(r"/models/([^:/?]+):(generateContent|streamGenerateContent|countTokens|batchEmbedContents|embedContent)(\?|$)",
                        request["url"])
    if not address:
        return None
    body = response["body"].strip()
    if body.startswith("data:"):
        answers = [json.loads(line[5:]) for line in body.splitlines() if line.startswith("data:")]
    else:
        answers = json.loads(body)
        answers = answers if isinstance(answers, list) else [answers]
    asked = json.loads(request.get("body") or "{}")
    return Recording(path.stem, address[2], address[1], response["status"], asked, answers)


def serve(recordings, address):
    """Answers on `address`, HOST:PORT, for as long as the process lives."""

    class Upstream(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length") or 0))
            recording = recordings[self.headers["x-goog-api-key"].removeprefix(KEY)]
            if ":streamGenerateContent" in self.path and recording.status == 200:
                events = [b"data: " + json.dumps(answer).encode() + b"\r\n\r\n" for answer in recording.answers]
                self.say(200, "text/event-stream", events)
            else:
                self.say(recording.status, "application/json; charset=UTF-8",
                         [json.dumps(recording.whole(), indent=2).encode()])

        def say(self, status, kind, pieces):
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in pieces:
                # Broken anywhere, as the network breaks it.
                for part in (piece[:len(piece) // 2], piece[len(piece) // 2:]):
                    if part:
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                        self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_):
            pass

    host, port = address.rsplit(":", 1)
    server = http.server.ThreadingHTTPServer((host, int(port)), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
