"""The SDKs' own types, strictly, and what those types are too lenient to say.

The SDKs' types know every enum and every type of a field. They do not know which fields may be null, and let unknown
ones pass; the tables of the dialects do.
"""

import functools

import pydantic


class Wrong(AssertionError):
    """An answer that a strict client would not take."""


def need(condition, why):
    if not condition:
        raise Wrong(why)


@functools.cache
def adapter(kind):
    return pydantic.TypeAdapter(kind)


def typed(value, kind, where):
    """Every type and every enum is as the SDK has it."""
    try:
        return adapter(kind).validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise Wrong(f"{where}: {first['loc']} {first['msg']}, of {error.error_count()} errors") from None


def fields(value, where, required, optional="", nullable=""):
    """The object has the fields that it must have, no others than it may have, and null only where that is allowed."""
    required, optional, nullable = required.split(), optional.split(), nullable.split()
    need(isinstance(value, dict), f"{where} is no object")
    missing = [name for name in required if name not in value]
    unknown = [name for name in value if name not in required and name not in optional]
    nulls = [name for name, one in value.items() if one is None and name not in nullable]
    need(not missing, f"{where} lacks {missing}")
    need(not unknown, f"{where} has unknown {unknown}")
    need(not nulls, f"{where} has null {nulls}")


def events(body):
    """The events of a stream: pairs of the event's name, if it has one, and its data."""
    found = []
    for block in body.replace("\r\n", "\n").split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            names = [line.removeprefix("event:").strip() for line in lines if line.startswith("event:")]
            data = "\n".join(line.removeprefix("data:").strip() for line in lines if line.startswith("data:"))
            found.append((names[0] if names else None, data))
    return found
