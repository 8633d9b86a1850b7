"""Command-line agents, headless: the one that the argument names.

Each run has a home of its own, made up anew, with settings that point the agent at the gateway and turn its telemetry,
updates and downloads off. There is no way to any address but loopback: everything else goes to a proxy that is not
there. What the agent asked for is read from the simulator, which also makes the calls that a prompt scripts.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from checks import API_KEY, BASE_URL, MODEL, SIGNING_MODEL, check, done, skip

SIMULATOR = os.environ["SIMULATOR_URL"]
HOME = Path(os.environ["HOME"]) / "agent"
WORK = HOME / "work"
# Far more than any of them takes on an idle machine, some three seconds.
LIMIT_SECONDS = 90
SECRET = "swordfish-4711"
GREETING = "Hello from the simulated Gemini"


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


class GeminiCli:
    """Gemini's own protocol."""

    program = "gemini"
    environment = {
        "GOOGLE_GEMINI_BASE_URL": BASE_URL,
        "GEMINI_API_KEY": API_KEY,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    }
    read_file = ("read_file", {"file_path": "notes.txt"})

    def settings(self):
        write(HOME / ".gemini/settings.json", {
            "security": {"auth": {"selectedType": "gemini-api-key"}},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            "general": {"disableAutoUpdate": True, "disableUpdateNag": True},
        })

    def plain(self, model, prompt):
        return ["-m", model, "-p", prompt], ""

    def stream(self, model, prompt):
        return ["-m", model, "--output-format", "stream-json", "-p", prompt], ""

    def pieces(self, output):
        events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return [event["content"] for event in events if event.get("delta")]


class ClaudeCode:
    """Anthropic's Messages."""

    program = "claude"
    environment = {
        "ANTHROPIC_BASE_URL": BASE_URL,
        "ANTHROPIC_AUTH_TOKEN": API_KEY,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
    }
    read_file = ("Read", {"file_path": str(WORK / "notes.txt")})

    def settings(self):
        write(HOME / ".claude.json", {"hasCompletedOnboarding": True})

    def plain(self, model, prompt):
        return ["--model", model, "-p", prompt], ""

    def stream(self, model, prompt):
        return ["--model", model, "-p", prompt, "--output-format", "stream-json", "--include-partial-messages",
                "--verbose"], ""

    def pieces(self, output):
        events = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        deltas = [event.get("event", {}).get("delta", {}) for event in events if event["type"] == "stream_event"]
        return [delta["text"] for delta in deltas if delta.get("type") == "text_delta"]


class Codex:
    """OpenAI's Responses."""

    program = "codex"
    environment = {"LIBRA_KEY": API_KEY}
    read_file = ("exec_command", {"cmd": "cat notes.txt"})

    def settings(self):
        write(HOME / ".codex/config.toml", f"""
model_provider = "libra"
check_for_update_on_startup = false
[model_providers.libra]
name = "Libra"
base_url = "{BASE_URL}/v1"
env_key = "LIBRA_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
[analytics]
enabled = false
""")

    def plain(self, model, prompt):
        # The folder is its own sandbox, and the only command is the one in the prompt.
        return ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", model, prompt], ""

    def stream(self, model, prompt):
        arguments, stdin = self.plain(model, prompt)
        return [*arguments, "--json"], stdin

    def pieces(self, output):
        # It streams always and tells whole items only.
        return None


class OpenCode:
    """OpenAI's chat completions, through the AI SDK."""

    # The package `opencode-ai` only chooses among those for each machine, some of which a registry may lack.
    program = "../opencode-linux-x64/bin/opencode"
    environment = {
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    }
    read_file = ("read", {"filePath": str(WORK / "notes.txt")})

    def settings(self):
        models = {model: {"name": model} for model in (MODEL, SIGNING_MODEL)}
        write(HOME / ".config/opencode/opencode.json", {
            "autoupdate": False,
            "share": "disabled",
            "small_model": f"libra/{MODEL}",
            "provider": {"libra": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Libra",
                "options": {"baseURL": BASE_URL + "/v1", "apiKey": API_KEY},
                "models": models,
            }},
        })

    def plain(self, model, prompt):
        # As an argument a prompt with spaces would come in quotation marks.
        return ["run", "--model", f"libra/{model}"], prompt

    def stream(self, model, prompt):
        return ["run", "--model", f"libra/{model}", "--format", "json"], prompt

    def pieces(self, output):
        return None


class Aider:
    """OpenAI's chat completions, through LiteLLM. It has no tools."""

    program = "aider"
    environment = {
        "OPENAI_API_BASE": BASE_URL + "/v1",
        "OPENAI_API_KEY": API_KEY,
    }
    read_file = None

    def settings(self):
        subprocess.run(["git", "init", "--quiet", "."], cwd=WORK, check=True)
        # The list of prices that it would fetch.
        write(HOME / ".aider/caches/model_prices_and_context_window.json", {})

    def plain(self, model, prompt):
        return [*self.arguments(model, prompt), "--no-stream"], ""

    def stream(self, model, prompt):
        return self.arguments(model, prompt), ""

    def arguments(self, model, prompt):
        return ["--model", f"openai/{model}", "--message", prompt, "--analytics-disable", "--no-check-update",
                "--no-show-release-notes", "--no-show-model-warnings", "--no-auto-commits", "--no-gitignore",
                "--no-pretty", "--yes-always"]

    def pieces(self, output):
        return None


agent = {"gemini-cli": GeminiCli, "claude-code": ClaudeCode, "codex": Codex, "opencode": OpenCode,
         "aider": Aider}[sys.argv[1]]()
PROGRAM = next((place for folder in os.environ["PATH"].split(os.pathsep)
                if os.access(place := os.path.join(folder, agent.program), os.X_OK)), None)
if PROGRAM is None:
    skip(f"there is no {os.path.basename(agent.program)} for this kind of machine")


def simulator(path, method="GET"):
    request = urllib.request.Request(f"{SIMULATOR}/_simulator/{path}", method=method)
    # Not through the proxy that is not there.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return json.load(opener.open(request, timeout=10))


def run(arguments_and_input):
    """What the agent prints, and how often it asked for streams and for whole answers."""
    arguments, stdin = arguments_and_input
    shutil.rmtree(HOME, ignore_errors=True)
    write(WORK / "notes.txt", f"The password is {SECRET}.\n")
    agent.settings()
    simulator("reset", "POST")
    process = subprocess.Popen(
        [PROGRAM, *arguments], cwd=WORK, text=True, start_new_session=True,
        env={**os.environ, **agent.environment, "HOME": str(HOME)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        output, errors = process.communicate(stdin, timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"not done after {LIMIT_SECONDS} s") from None
    finally:
        # Whatever it has started goes with it.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    totals = simulator("counts")["totals"]
    said = f"{output[-600:]} {errors[-600:]}"
    assert process.returncode == 0, f"exit code {process.returncode}: {said}"
    assert set(totals["statuses"]) == {"200"}, f"{totals['statuses']}: {said}"
    calls = totals["calls"]
    streams = sum(count for call, count in calls.items() if call.endswith(":streamGenerateContent"))
    wholes = sum(count for call, count in calls.items() if call.endswith(":generateContent"))
    return output, streams, wholes


@check
def plain_turn():
    output, streams, wholes = run(agent.plain(MODEL, "Say hello."))
    assert GREETING in output, output
    assert streams + wholes > 0
    return f"{streams} streams, {wholes} whole answers"


@check
def stream():
    output, streams, _ = run(agent.stream(MODEL, "Say hello."))
    assert streams > 0, "no stream was asked for"
    pieces = agent.pieces(output)
    if pieces is None:
        assert GREETING in output, output
        return f"{streams} streams"
    assert len(pieces) > 1 and GREETING in "".join(pieces), pieces
    return f"{streams} streams, {len(pieces)} pieces"


def round_trip(model):
    name, arguments = agent.read_file
    prompt = f"Read the notes. {{{{call={name} {json.dumps(arguments)}}}}}"
    output, streams, wholes = run(agent.plain(model, prompt))
    assert SECRET in output, output
    assert streams + wholes >= 2, "the result of the call did not come back"
    return f"{name}: {streams} streams, {wholes} whole answers"


if agent.read_file:
    @check
    def tools():
        return round_trip(MODEL)

    @check
    def tools_with_signatures():
        return round_trip(SIGNING_MODEL)


done()
