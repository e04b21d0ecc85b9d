from __future__ import annotations

from pathlib import Path

import pytest

import gateway_lab as gl
from gateway_lab.errors import ConfigError
from gateway_lab.lab import draft as draft_module
from gateway_lab.lab.draft import Draft

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture
def draft() -> Draft:
    config = gl.read_config(DATA / "business.yaml")
    return Draft(config, gl.scan_capture(DATA / "business.parquet").head(5_000))


def messages(draft: Draft, route: str) -> int:
    routes = draft.replay.routes().filter(router="by_priority", route=route)
    return int(routes["messages"].item())


def test_an_edit_counts_at_once(draft: Draft) -> None:
    before = messages(draft, "critical")
    draft.edit("edit_route", "by_priority", "critical", when="priority = 'high'")
    assert messages(draft, "critical") != before
    assert draft.base_replay.routes().filter(route="critical")["messages"].item() == before


def test_while_a_rule_is_wrong_the_last_good_counts_stay(draft: Draft) -> None:
    before = messages(draft, "critical")
    draft.type("edit_route", "by_priority", "critical", when="priorty = 'high'")
    assert draft.is_stale
    assert messages(draft, "critical") == before
    assert "priority" in draft.problems().errors[0].hint
    draft.type("edit_route", "by_priority", "critical", when="priority = 'high'")
    assert not draft.is_stale
    assert messages(draft, "critical") != before


def test_what_is_typed_is_no_step_until_it_is_an_edit(draft: Draft) -> None:
    draft.type("edit_route", "by_priority", "critical", when="priority = 'low'")
    assert list(draft.history) == ["opened"]
    draft.edit("edit_route", "by_priority", "critical", when="priority = 'low'")
    assert list(draft.history) == ["opened", "route by_priority/critical: when"]


def test_steps_go_back_and_forth(draft: Draft) -> None:
    opened = draft.config
    draft.edit("edit_route", "by_priority", "critical", enabled=False)
    draft.edit("rename_route", "by_priority", "high", "important")
    renamed = draft.config
    draft.undo()
    draft.undo()
    assert draft.config == opened
    draft.undo()
    assert (draft.config, draft.at) == (opened, 0)
    draft.redo()
    draft.redo()
    draft.redo()
    assert draft.config == renamed
    assert draft.history[1:] == (
        "route by_priority/critical: enabled",
        "route by_priority/high renamed to important",
    )


def test_an_edit_after_an_undo_forgets_what_was_undone(draft: Draft) -> None:
    draft.edit("edit_route", "by_priority", "critical", enabled=False)
    draft.undo()
    draft.edit("remove_route", "by_priority", "critical")
    assert draft.history == ("opened", "route by_priority/critical removed")


def test_the_first_undo_drops_what_is_being_typed(draft: Draft) -> None:
    draft.edit("edit_route", "by_priority", "critical", enabled=False)
    kept = draft.config
    draft.type("edit_route", "by_priority", "critical", when="priority = 'low'")
    draft.undo()
    assert draft.config == kept


def test_an_edit_that_changes_nothing_is_no_step(draft: Draft) -> None:
    when = draft.config.routers["by_priority"].routes[0].when
    draft.edit("edit_route", "by_priority", "critical", when=when)
    assert draft.history == ("opened",)


def test_an_edit_that_cannot_be_leaves_the_draft_as_it_was(draft: Draft) -> None:
    before = draft.config
    with pytest.raises(ConfigError, match="there is no 'criticle'"):
        draft.edit("edit_route", "by_priority", "criticle", enabled=False)
    with pytest.raises(ConfigError, match="there is no edit 'write'"):
        draft.edit("write", "routes.yaml")
    assert draft.config == before


def test_many_steps_forget_the_oldest(draft: Draft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft_module, "MAX_STEPS", 3)
    for number in range(5):
        draft.edit("edit_route", "by_priority", "critical", description=f"number {number}")
    assert len(draft.history) == 3
    made = {"gl": gl}
    exec(draft.to_code(), made)  # noqa: S102
    assert made["config"] == draft.config


@pytest.mark.parametrize("is_replaced", [False, True])
def test_the_code_of_a_draft_makes_its_config(draft: Draft, is_replaced: bool) -> None:
    if is_replaced:
        draft.config = draft.config.edit_route("by_priority", "high", description='a """ and \\n')
    draft.edit("add_target", "vip", broker="work", channel="vip.{tenant_id}")
    draft.edit("add_route", "by_priority", "vip", to=["vip"], when="tenant_id = 'acme'")
    draft.edit("move_route", "by_priority", "vip", before="critical")
    made = {"gl": gl}
    exec(draft.to_code(), made)  # noqa: S102
    assert made["config"] == draft.config
    assert ("read_config" in draft.to_code()) is not is_replaced


def test_a_window_narrows_both_sides_down(draft: Draft) -> None:
    first = draft.capture.frame.select("received").collect()["received"].sort()
    whole = messages(draft, "critical")
    draft.window = (first[0], first[1000])
    assert draft.replay.books().messages == 1000
    assert draft.base_replay.books().messages == 1000
    draft.edit("edit_route", "by_priority", "critical", when="priority = 'high'")
    assert draft.replay.books().messages == 1000
    draft.undo()
    draft.window = None
    assert messages(draft, "critical") == whole


def test_the_comparison_names_what_moved(draft: Draft) -> None:
    draft.edit("edit_route", "by_priority", "critical", enabled=False)
    assert draft.diff().summary()["moved"].sum() > 0


def test_a_message_is_explained_by_the_draft(draft: Draft) -> None:
    seq = draft.replay.sample(router="by_priority", route="critical", n=1)["seq"].item()
    assert "critical" in str(draft.explain(seq))


# --- release ---


@pytest.fixture
def opened(tmp_path: Path) -> Draft:
    file = tmp_path / "routes.yaml"
    file.write_bytes((DATA / "business.yaml").read_bytes())
    return Draft(gl.read_config(file), gl.scan_capture(DATA / "business.parquet").head(500))


def test_a_release_shows_what_would_change_in_the_file(opened: Draft) -> None:
    assert opened.release().diff == ""
    opened.edit("edit_route", "by_priority", "critical", when="priority = 'low'")
    release = opened.release()
    assert "+" in release.diff
    assert "priority = 'low'" in release.diff
    assert release.digest == opened.config.digest
    assert opened.write() == opened.path
    assert gl.read_config(release.path) == opened.config
    assert opened.release().diff == ""


def test_a_file_that_somebody_else_changed_is_not_overwritten_unasked(opened: Draft) -> None:
    assert opened.path is not None
    opened.path.write_text(opened.path.read_text() + "# mine\n")
    opened.edit("edit_route", "by_priority", "critical", enabled=False)
    assert opened.release().is_changed
    with pytest.raises(ConfigError, match="was changed since it was opened"):
        opened.write()
    assert opened.path.read_text().endswith("# mine\n")
    opened.write(replace=True)
    assert gl.read_config(opened.path) == opened.config
    assert not opened.release().is_changed


@pytest.mark.parametrize("other", ["link.yaml", "folder/../routes.yaml"])
def test_a_file_is_known_by_its_other_names_too(opened: Draft, other: str) -> None:
    assert opened.path is not None
    folder = opened.path.parent
    (folder / "folder").mkdir()
    (folder / "link.yaml").symlink_to(opened.path)
    opened.path.write_text(opened.path.read_text() + "# mine\n")
    opened.edit("edit_route", "by_priority", "critical", enabled=False)
    with pytest.raises(ConfigError, match="was changed since it was opened"):
        opened.write(folder / other)
    assert opened.path.read_text().endswith("# mine\n")


def test_another_file_that_was_changed_since_it_was_written_is_not_overwritten_unasked(
    opened: Draft, tmp_path: Path
) -> None:
    copy = opened.write(tmp_path / "copy.yaml")
    copy.write_text(copy.read_text() + "# mine\n")
    opened.edit("edit_route", "by_priority", "critical", enabled=False)
    with pytest.raises(ConfigError, match="was changed since it was opened"):
        opened.write(copy)
    opened.write()  # the one that it came from is as it was opened


@pytest.mark.parametrize("kind", ["lines of Windows", "mark of Windows"])
def test_a_file_as_windows_writes_it_was_changed_by_nobody(tmp_path: Path, kind: str) -> None:
    text, file = (DATA / "business.yaml").read_bytes(), tmp_path / "routes.yaml"
    is_marked = kind.startswith("mark")
    file.write_bytes(b"\xef\xbb\xbf" + text if is_marked else text.replace(b"\n", b"\r\n"))
    draft = Draft(gl.read_config(file), gl.scan_capture(DATA / "business.parquet").head(10))
    assert (draft.release().diff, draft.release().is_changed) == ("", False)
    draft.edit("edit_route", "by_priority", "critical", enabled=False)
    draft.write()
    assert gl.read_config(file) == draft.config


def test_a_file_that_is_no_text_any_more_is_somebody_elses_change(opened: Draft) -> None:
    assert opened.path is not None
    opened.path.write_bytes(b"\xff\xfe\x00")
    opened.edit("edit_route", "by_priority", "critical", enabled=False)
    assert opened.release().is_changed
    with pytest.raises(ConfigError, match="was changed since it was opened"):
        opened.write()
    opened.write(replace=True)
    assert gl.read_config(opened.path) == opened.config


def test_a_draft_with_an_error_is_not_written(opened: Draft) -> None:
    opened.edit("edit_route", "by_priority", "critical", when="nonsense = 1")
    assert opened.release().refused
    with pytest.raises(ConfigError, match="nonsense"):
        opened.write()


def test_a_config_from_no_file_needs_a_name(tmp_path: Path) -> None:
    config = gl.parse_config((DATA / "business.yaml").read_text())
    draft = Draft(config, gl.scan_capture(DATA / "business.parquet").head(10))
    with pytest.raises(ConfigError, match="came from no file"):
        draft.release()
    draft.write(tmp_path / "new.yaml")
    assert draft.path == tmp_path / "new.yaml"
