from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from gateway_lab.captures.damage import damage_told, unreadable
from gateway_lab.errors import CaptureError

OUT = pl.exceptions.ComputeError("parquet: File out of specification: the page is cut")


def test_what_the_system_refuses_is_told_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "closed.parquet"
    path.write_bytes(b"PAR1")

    def closed(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", closed)  # root may read everything
    error = unreadable(str(path), OUT)
    assert str(error) == f"{path}: cannot be read: Permission denied\nhint: look at who may read it"


@pytest.mark.parametrize(
    ("begin", "problem"),
    [
        (b"", "this file is empty (0 bytes)"),
        (b"PK\3\4", "not a Parquet file"),
        (b"PAR1", "truncated or damaged (File out of specification: the page is cut)"),
    ],
)
def test_how_a_file_begins_says_what_is_wrong_with_it(
    tmp_path: Path, begin: bytes, problem: str
) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(begin)
    assert problem in str(unreadable(str(path), OUT))


@pytest.mark.parametrize(
    ("names", "where"), [([], ""), (["d/a.parquet"], "d/a.parquet"), (["d/a", "d/b"], "d")]
)
def test_damage_names_the_file_or_the_folder_of_several(names: list[str], where: str) -> None:
    with pytest.raises(CaptureError, match="truncated or damaged") as caught, damage_told(names):
        raise OUT
    assert caught.value.where == where


def test_other_errors_pass_as_they_are() -> None:
    other = pl.exceptions.ComputeError("something else")
    with pytest.raises(pl.exceptions.ComputeError, match="something else"), damage_told([]):
        raise other
