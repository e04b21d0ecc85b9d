"""Files and folders that cannot be read or written, and what the command line says about it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import gateway_lab as gl
from gateway_lab.cli.main import app
from tests.bad_input.small import CONFIG, capture_of, refused

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data"


def run(*words: object) -> tuple[int, str]:
    """Run a verb; an exception that is not ours fails the test."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output + result.stderr


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of one MiB; only root may."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("cannot mount a disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


# --- writing ---


def test_a_full_disk_leaves_the_old_files_and_says_so(full_disk: Path) -> None:
    config, old = gl.parse_config(CONFIG), full_disk / "routes.yaml"
    config.write(old)
    before = old.read_bytes()
    with pytest.raises(OSError, match="No space"):
        (full_disk / "ballast").write_bytes(bytes(2_000_000))
    error = refused(lambda: config.rename_route("by_priority", "high", "top").write(old))
    assert "cannot be written: No space left on device" in error.problem
    traffic = gl.generate_traffic("business", n=5_000)
    for name in ("new.parquet", "new.ndjson", "new.ndjson.gz"):
        error = refused(traffic.write, full_disk / name)
        assert error.where == str(full_disk / name)
        assert "nothing was changed" in error.hint
    assert old.read_bytes() == before
    assert sorted(each.name for each in full_disk.iterdir()) == ["ballast", "routes.yaml"]


@pytest.mark.parametrize("folder", ["/proc", "/proc/self", "/no/such/folder"])
def test_a_folder_where_nobody_may_write_is_told(folder: str) -> None:
    config, traffic = gl.parse_config(CONFIG), gl.generate_traffic("business", n=10)
    path = f"{folder}/routes.yaml"
    error = refused(config.write, path)
    assert error.where == path
    assert "cannot be written" in error.problem
    for name in ("a.parquet", "a.ndjson"):
        assert refused(traffic.write, f"{folder}/{name}").hint


def test_a_folder_or_a_name_with_nul_is_no_file_to_write(tmp_path: Path) -> None:
    config = gl.parse_config(CONFIG)
    for path in (tmp_path, f"{tmp_path}/a\0b.yaml"):
        error = refused(config.write, path)
        assert "cannot be written" in error.problem
    assert list(tmp_path.iterdir()) == []


WRITING = """
import sys
import gateway_lab as gl
traffic = gl.generate_traffic("business", n=3_000)
print("ready", flush=True)
while True:
    traffic.write(sys.argv[1])
"""


@pytest.mark.parametrize("name", ["a.parquet", "a.ndjson"])
def test_a_kill_while_a_capture_is_written_leaves_the_old_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    gl.generate_traffic("business", n=3_000).write(path)
    digest = gl.scan_capture(path).digest
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITING, str(path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    until = time.monotonic() + 20
    while not list(tmp_path.glob(".*.partial")) and time.monotonic() < until:
        pass
    writer.kill()
    assert writer.wait() == -signal.SIGKILL
    writer.stdout.close()
    assert gl.scan_capture(path).digest == digest
    assert [each.name for each in tmp_path.iterdir() if each.name[0] != "."] == [name]


def test_a_config_with_an_error_is_not_written(tmp_path: Path) -> None:
    config = gl.parse_config(CONFIG).edit_route("by_priority", "high", when="nope = 1")
    error = refused(config.write, tmp_path / "routes.yaml")
    assert "[unknown-name]" in error.problem
    assert list(tmp_path.iterdir()) == []


# --- reading ---


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (DATA, "Is a directory"),
        (DATA / "busines.yaml", "No such file"),
        ("/no/such/routes.yaml", "No such file"),
        ("", "Is a directory"),
        ("a\0b", "null byte"),
        ("/proc/self/mem", "Input/output error"),
    ],
)
def test_a_config_that_cannot_be_read_is_told(path: object, problem: str) -> None:
    error = refused(gl.read_config, str(path))
    assert f"cannot be read: {problem}" in error.problem or problem in error.problem


DENIED = """
import os, sys
import gateway_lab as gl
folder = sys.argv[1]
config, traffic = gl.parse_config("gateway_lab: 1\\nname: x"), gl.generate_traffic("business", n=1)
config.write(f"{folder}/routes.yaml")  # loads every module while that is allowed
traffic.write(f"{folder}/a.ndjson")
traffic.write(f"{folder}/a.parquet")
gl.read_config(f"{folder}/routes.yaml"), gl.scan_capture(f"{folder}/a.parquet")
os.chmod(folder, 0)
if os.getuid() == 0:
    os.setuid(65534)
for action in (
    lambda: gl.read_config(f"{folder}/routes.yaml"),
    lambda: gl.scan_capture(f"{folder}/a.parquet"),
    lambda: gl.scan_capture(folder),
    lambda: config.write(f"{folder}/routes.yaml"),
    lambda: traffic.write(f"{folder}/a.parquet"),
    lambda: traffic.write(f"{folder}/a.ndjson"),
):
    try:
        action()
    except gl.GatewayLabError as error:
        print(error.problem.lower(), bool(error.hint))
"""


def test_what_nobody_may_read_or_write_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    code = [sys.executable, "-c", DENIED, str(folder)]
    done = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, check=False)
    folder.chmod(0o700)
    assert done.stderr == ""
    said = done.stdout.splitlines()
    assert len(said) == 6
    assert all(line.endswith("permission denied True") for line in said), said


# --- the command line ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check", DATA / "business.parquet"), "a Parquet file, no config"),
        (("check", DATA), "Is a directory"),
        (("check", "nope.yaml"), "No such file"),
        (("replay", DATA / "business.parquet", DATA / "business.yaml"), "no config"),
        (("replay", DATA / "business.yaml", DATA / "users.yaml"), "not a Parquet file"),
        (("replay", DATA / "business.yaml", DATA / "busines.parquet"), "'business.parquet'"),
        (
            ("replay", DATA / "business.yaml", DATA / "business.parquet", "--every", "5x"),
            "10s, 1m, 1h or 1d",
        ),
        (
            ("replay", DATA / "business.yaml", DATA / "business.parquet", "--source", "a=k:b"),
            "there is: business",
        ),
        (("explain", DATA / "business.yaml", DATA / "business.parquet", "--seq", -1), "from 0 to"),
        (("explain", DATA / "business.yaml"), "give CAPTURE and --seq, or --event"),
        (
            ("explain", DATA / "business.yaml", "--source", "business", "--event", "{"),
            "not JSON",
        ),
        (
            ("explain", DATA / "business.yaml", "--source", "business", "--event", "[" * 20_000),
            "nested too deep",
        ),
        (("explain", DATA / "business.yaml", "--source", "b", "--event", "{}"), "business"),
        (("diff", DATA / "business.yaml", "nope.yaml", DATA / "business.parquet"), "nope.yaml"),
        (("generate", "busines", "-o", "a.parquet"), "'business'"),
        (("generate", "business", "-o", "/no/such/a.parquet"), "create /no/such"),
        (("generate", "business", "-n", 10, "-o", "a.csv"), ".parquet or .ndjson"),
        (("generate", "business", "-n", 10, "-o", "/proc/a.parquet"), "nothing was changed"),
        (("format", "nope.yaml"), "No such file"),
        (("export", DATA / "business.yaml", "-o", "/proc/a.yaml"), "cannot be written"),
        (("test", DATA / "business.parquet"), "no config"),
    ],
)
def test_the_command_line_tells_it_in_words_and_exits_with_2(
    words: tuple[object, ...], said: str
) -> None:
    code, output = run(*words)
    assert code == 2, output
    assert said in " ".join(output.split())
    assert "Traceback" not in output


def test_errors_of_a_config_exit_with_1_and_name_their_place(routes: Path) -> None:
    routes.write_text(CONFIG.replace("to: [high]", "to: [hihg]"))
    code, output = run("check", routes)
    assert code == 1
    assert f"{routes}:28:14: error [unknown-target]" in output
    assert "did you mean 'high'?" in output


def test_generate_never_replaces_a_capture_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "monday.parquet"
    path.write_bytes(b"precious")
    code, output = run("generate", "business", "-n", 5, "-o", path)
    assert (code, path.read_bytes()) == (2, b"precious")
    assert "--overwrite" in output
    assert run("generate", "business", "-n", 5, "-o", path, "--overwrite")[0] == 0
    assert gl.scan_capture(path).count == 5


def test_a_replay_of_another_capture_says_that_no_source_reads_it() -> None:
    code, output = run("replay", DATA / "users.yaml", DATA / "business.parquet")
    assert code == 0
    assert "no source of the config reads any of these messages" in output
    assert "--source NAME=kafka:business-events" in output


# --- a lot ---


def test_five_hundred_routes_are_checked_and_replayed() -> None:
    conditions = ["amount > {0}", "tenant = 't{0}'", "count = {0}"]
    routes = "".join(
        f'      - {{name: r{n}, when: "{conditions[n % 3].format(n)}", to: [high]}}\n'
        for n in range(500)
    )
    begin, end = CONFIG.index("      - name: high"), CONFIG.index("    unmatched:")
    config = gl.parse_config(CONFIG[:begin] + routes + CONFIG[end:])
    assert [each for each in gl.check(config) if each.severity == "error"] == []
    bodies = [b'{"tenant":"t%d","amount":%d,"count":%d}' % (n, n, n) for n in range(300)]
    routers = gl.replay(config, capture_of(bodies)).routers()
    assert (routers["messages"] == routers["matched"] + routers["unmatched"]).all()
