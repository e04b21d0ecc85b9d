from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys

import polars as pl

from gateway_lab.lab.figure import MIME, Figure, counts_axis, draw
from gateway_lab.lab.palette import CARD, CLEAR

FRAME = pl.DataFrame({"target": ["low", "<high>"], "deliveries": [1000, 2]})


def bars() -> Figure:
    trace = {"type": "bar", "x": FRAME["target"].to_list(), "y": FRAME["deliveries"].to_list()}
    return draw([trace], title="Bars & more", frame=FRAME)


def test_a_figure_can_be_read_without_a_browser() -> None:
    assert repr(bars()) == "Bars & more\ntarget  deliveries\nlow          1,000\n<high>           2"


def test_a_page_without_scripts_shows_a_table_and_no_script() -> None:
    shown = bars()._repr_mimebundle_()["text/html"]
    assert "<caption>Bars &amp; more</caption>" in shown
    assert "<td>&lt;high&gt;</td><td>2</td>" in shown
    assert "script" not in shown


def test_a_notebook_gets_the_drawing_the_table_and_the_text() -> None:
    bundle = bars()._repr_mimebundle_()
    assert list(bundle) == [MIME, "text/html", "text/plain"]
    assert bundle[MIME]["data"][0]["y"] == [1000, 2]
    assert bundle["text/plain"] == repr(bars())


def test_two_drawings_of_the_same_numbers_are_the_same_bytes() -> None:
    first, second = (json.dumps(bars()._repr_mimebundle_()) for _ in range(2))
    assert first == second
    assert len(first) < 5_000


def test_a_long_table_says_how_much_it_leaves_out() -> None:
    figure = draw([], title="Long", frame=pl.DataFrame({"n": range(1012)}))
    assert repr(figure).endswith("… and 1,000 more rows")


def test_a_figure_can_be_restyled_and_copied_like_any_of_plotly() -> None:
    figure = bars().update_layout(height=300)
    for copied in (copy.deepcopy(figure), pickle.loads(pickle.dumps(figure))):
        assert isinstance(copied, Figure)
        assert copied.layout.height == 300
        assert copied.frame.equals(FRAME)


def test_without_plotly_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['plotly'] = None\n"
        "import gateway_lab as gl\n"
        "try:\n    gl.figures\n"
        "except gl.GatewayLabError as error:\n    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "plotly is not installed\nhint: pip install 'gateway-lab[lab]'\n"


def test_a_figure_has_no_ground_of_its_own_for_pages_are_light_or_dark() -> None:
    look = bars().layout.template.layout
    assert look.paper_bgcolor == look.plot_bgcolor == look.modebar.bgcolor == CLEAR
    assert look.hoverlabel.bgcolor == CARD


def test_a_figure_of_nothing_says_so_and_draws_nothing() -> None:
    figure = draw([{"type": "sankey"}], title="None", frame=FRAME.clear())
    assert len(figure.data) == 0
    assert figure.layout.annotations[0].text == "nothing to show"
    assert repr(figure) == "None\ntarget  deliveries"


def test_an_axis_of_counts_has_whole_numbers_however_few_there_are() -> None:
    assert counts_axis("messages", 3)["dtick"] == counts_axis("messages", None)["dtick"] == 1
    assert "dtick" not in counts_axis("messages", 30_000)
