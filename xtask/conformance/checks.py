"""What the clients' checks share: a decorator that runs one and says PASS or FAIL, and the settings.

The settings are variables: BASE_URL, API_KEY (a client key of the gateway), MODEL, SIGNING_MODEL (one that signs its
thoughts and wants the signatures back), SPARE_MODEL (of which the checks of limits use up the rest), EMBEDDING_MODEL.
"""

import os
import sys
import traceback

BASE_URL = os.environ["BASE_URL"].rstrip("/")
API_KEY = os.environ["API_KEY"]
MODEL = os.environ.get("MODEL", "gemini-2.5-flash")
SIGNING_MODEL = os.environ.get("SIGNING_MODEL", "gemini-3-flash-preview")
SPARE_MODEL = os.environ.get("SPARE_MODEL", "gemini-2.5-flash-lite")
EMBEDDING_MODEL = os.environ.get("EMBEDDING_MODEL", "gemini-embedding-001")

WEATHER_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
ASK_WEATHER = "What is the weather in Lisbon? Please use get_weather."
ASK_TWICE = 'In Lisbon and in Riga? {{call=get_weather {"city": "Lisbon"}}} {{call=get_weather {"city": "Riga"}}}'
CITY_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["name", "population"],
}

_outcomes = []


def check(function):
    """Runs the check at once; its name is the function's."""
    name = function.__name__
    try:
        note = function() or ""
        passed = True
    except Exception as error:  # a check may fail in any way that an SDK can
        where = traceback.extract_tb(error.__traceback__)[-1]
        note = f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"
        passed = False
    _outcomes.append(passed)
    note = " ".join(str(note).split())[:300]
    print(f"{'PASS' if passed else 'FAIL'} {name}{' - ' + note if note else ''}", flush=True)
    return function


def raises(kind, call):
    """The error of the kind that the call must end with."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def skip(why):
    """Ends a script whose client cannot run here."""
    print(f"SKIP {why}", flush=True)
    sys.exit(0)


def done():
    failed = _outcomes.count(False)
    print(f"{len(_outcomes) - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not _outcomes else 0)
