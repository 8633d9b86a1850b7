"""schemathesis as a script: its arguments are the script's."""

from schemathesis.cli import schemathesis

schemathesis()
