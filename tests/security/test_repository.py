"""What the repository itself must not hold, and what its code may do only where it is known."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(
    ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True
).stdout.split("\0")
FILES = [ROOT / each for each in TRACKED if each and (ROOT / each).is_file()]
FILES = FILES or [each for each in ROOT.glob("[!.]*/**/*") if each.is_file()]  # an archive of it
PACKAGE = sorted((ROOT / "gateway_lab").rglob("*.py"))

SECRETS = {
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}"),
    "a key of a cloud": re.compile(rb"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a token of a code host": re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36}\b|\bglpat-[\w-]{20}\b"),
    "a token of a chat": re.compile(rb"\bxox[abpr]-[0-9]{8,}"),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret_is_committed(kind: str) -> None:
    found = [str(each) for each in FILES if SECRETS[kind].search(each.read_bytes())]
    assert found == []


# --- calls that turn text into code, or open what a name says ---

KNOWN = {
    "eval": {"events/extract.py"},  # made from an event type, each part checked
    "exec": {"rules/to_python.py"},  # made from a typed tree, each node checked
    "compile": {"rules/to_python.py"},
    "pickle.load": {"offline/worker.py"},  # between us and our own worker process
    "pickle.loads": set[str](),
    "marshal.loads": set[str](),
    "yaml.load": set[str](),
    "os.system": set[str](),
    "os.popen": set[str](),
    "__import__": set[str](),
}


CALLS = [
    (str(path.relative_to(ROOT / "gateway_lab")), node)
    for path in PACKAGE
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.Call)
]


@pytest.mark.parametrize("call", KNOWN)
def test_text_becomes_code_only_where_it_is_known(call: str) -> None:
    function = call.rpartition(".")[2]
    found = {
        path
        for path, node in CALLS
        if isinstance(node.func, ast.Name | ast.Attribute)
        and function in {getattr(node.func, "id", ""), getattr(node.func, "attr", "")}
        and ast.unparse(node.func) == call
    }
    assert found == KNOWN[call]


def test_no_command_goes_through_a_shell() -> None:
    shells = [path for path, node in CALLS if any(each.arg == "shell" for each in node.keywords)]
    assert shells == []


def test_what_reads_configs_and_messages_does_not_read_the_environment() -> None:
    """A config that could name a variable would read any secret of the process."""
    readers = {
        str(path.relative_to(ROOT / "gateway_lab"))
        for path in PACKAGE
        if re.search(r"\bos\.(environ|getenv)\b", path.read_text())
    }
    rooms = {each.partition("/")[0] for each in readers}
    assert not rooms & {"config", "rules", "events", "protocols", "routing", "batches", "proof"}
