"""Recorded exchanges with Google about objects: through the gateway they differ in addresses and in what is left out of
their heads, and in nothing else.

Variables beside those of the checks: CORPUS, the folder; UPSTREAM, where to answer as Google did. The gateway has no
pool, so that the key of a request goes on and names the recording. The recordings have no keys in them any more; where
one was, the upstream puts the key of the request, as Google did.
"""

import base64
import http.client
import http.server
import json
import os
import re
import threading
import urllib.parse
from pathlib import Path

from checks import BASE_URL, check, done

FIRST, LAST = 49, 82
GOOGLE = "https://generativelanguage.googleapis.com"
MASKED = "<GEMINI_API_KEY>"
# What a key begins with that names a recording.
KEY = "recording-objects-"
# What of Google's heads comes down as it was, or with another address.
KEPT = {"content-type", "x-gemini-service-tier", "server-timing", "x-content-type-options", "x-goog-upload-status",
        "x-goog-upload-chunk-granularity", "x-goog-hash", "content-disposition"}
# Of uploads alone.
OF_UPLOADS = {"x-guploader-uploadid"}
ADDRESSES = {"x-goog-upload-url", "x-goog-upload-control-url"}
# What the gateway's own server says, or says of itself.
OWN = {"date", "content-length", "transfer-encoding", "connection", "cache-control", "vary", "x-request-id"}


class Recording:
    def __init__(self, path):
        exchange = json.loads(path.read_text())
        self.name, self.request, self.response = path.stem, exchange["request"], exchange["response"]
        address = urllib.parse.urlsplit(self.request["url"])
        self.path, self.query = address.path, urllib.parse.unquote(address.query)
        self.status = self.response["status"]
        self.headers = {name.lower(): value for name, value in self.response["headers"].items()}
        text = self.response["body"]
        self.body = base64.b64decode(text) if self.response["body_encoding"] == "base64" else text.encode()

    @property
    def key(self):
        return KEY + self.name

    def sent(self):
        """Method, target, headers and body of the request."""
        kept = ("content-type", "x-goog-upload-")
        headers = {name: value for name, value in (self.request.get("headers") or {}).items()
                   if name.lower().startswith(kept)}
        headers["x-goog-api-key"] = self.key
        text = self.request.get("body")
        if text is None:
            is_stream = self.headers["content-type"].startswith("text/event-stream")
            body = b"" if self.request["method"] != "POST" else json.dumps(
                {"model": "gemini-2.5-flash", "input": "Hello", "stream": is_stream}).encode()
        else:
            body = base64.b64decode(text) if self.request.get("body_encoding") == "base64" else text.encode()
        return self.request["method"], self.path + (f"?{self.query}" if self.query else ""), headers, body


def load(folder):
    found = []
    for path in sorted(Path(folder).glob("*.json")):
        number = path.stem.split("-")[0]
        if number.isdigit() and FIRST <= int(number) <= LAST and "response" in json.loads(path.read_text()):
            found.append(Recording(path))
    return found


recordings = load(os.environ["CORPUS"])
asked = []


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        key = self.headers["x-goog-api-key"] or ""
        path, _, query = self.path.partition("?")
        asked.append((self.command, self.path, key))
        named = [one for one in recordings if one.key == key]
        # The second of two steps has a recording of its own.
        follows = [one for one in recordings if one.path == path and ("upload_id" in one.query) == ("upload_id" in query)]
        recording = next((one for one in named if one in follows), None) or (follows or named)[0]
        self.send_response(recording.status)
        for name, value in recording.headers.items():
            if name not in ("content-length", "content-encoding", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value.replace(MASKED, key))
        self.send_header("content-length", str(len(recording.body)))
        self.end_headers()
        self.wfile.write(recording.body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


host, port = os.environ["UPSTREAM"].rsplit(":", 1)
server = http.server.ThreadingHTTPServer((host, int(port)), Upstream)
threading.Thread(target=server.serve_forever, daemon=True).start()


def ask(method, target, headers, body):
    connection = http.client.HTTPConnection(BASE_URL.removeprefix("http://"), timeout=30)
    connection.request(method, target, body or None, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def addressed(body):
    """A body with Google's addresses turned to the gateway."""
    return re.sub(rb'"%s(/[^"\\\s]*)"' % re.escape(GOOGLE).encode(), rb'"%s\1"' % BASE_URL.encode(), body)


def compare(recording, answer, expected=None):
    status, headers, content = answer
    expected = expected or recording
    assert status == expected.status, f"{status} {content[:300]}"
    if recording.path.endswith("/models"):
        # A list is put together here.
        told = {model["name"] for model in json.loads(content)["models"]}
        assert told <= {model["name"] for model in json.loads(expected.body)["models"]} and told, told
    else:
        assert content == addressed(expected.body), f"{content[:300]} in place of {addressed(expected.body)[:300]}"
    kept = KEPT | (OF_UPLOADS if expected.path.startswith("/upload/") else set())
    for name in kept & set(expected.headers):
        assert headers.get(name) == expected.headers[name], f"{name}: {headers.get(name)}"
    for name in ADDRESSES & set(expected.headers):
        turned = expected.headers[name].replace(GOOGLE, BASE_URL)
        assert headers.get(name, "").startswith(turned), f"{name}: {headers.get(name)}"
    more = {name for name in headers if not name.startswith(("x-libra-", "access-control-"))} - kept - ADDRESSES - OWN
    assert not more, f"the head has {more}"
    told = json.dumps(headers) + content.decode(errors="replace")
    assert recording.key not in told, "the key of the request is in the answer"
    assert GOOGLE not in json.dumps(headers), headers


def replayed(recording):
    if "upload_id" in recording.query:
        return went_on(recording)
    answer = ask(*recording.sent())
    if recording.status in (301, 302, 303, 307, 308):
        # The redirect is followed inside, and its head goes nowhere.
        follows = urllib.parse.urlsplit(recording.headers["location"]).path
        expected = next(one for one in recordings if one.path == follows)
        assert any(recording.key == key and path.startswith(follows) for _, path, key in asked), asked[-3:]
        compare(recording, answer, expected)
        return "followed"
    compare(recording, answer)
    return ""


def went_on(recording):
    """A piece of an upload: its address comes from the beginning of it."""
    begin = next(one for one in recordings
                 if one.headers.get("x-goog-upload-url", "").split("?")[-1] == recording.query)
    _, headers, _ = ask(*begin.sent())
    target = headers["x-goog-upload-url"].removeprefix(BASE_URL)
    method, _, sent, body = recording.sent()
    sent["x-goog-api-key"] = begin.key
    compare(recording, ask(method, target, sent, body))
    return "with the address that the beginning gave"


for recording in recordings:
    def one():
        return replayed(recording)

    one.__name__ = recording.name
    check(one)

done()
