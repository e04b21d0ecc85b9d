"""The designer where no script runs: a picture, and the same numbers as tables."""

from __future__ import annotations

import base64
from html import escape

from gateway_lab.lab.draft import Draft
from gateway_lab.lab.flows import replay_flow
from gateway_lab.lab.layout import to_svg
from gateway_lab.offline.summary import Replay
from gateway_lab.offline.text import html_table


def still(shown: Replay, draft: Draft) -> str:
    """Return HTML that every viewer shows.

    Args:
        shown: What is drawn and counted.
        draft: What it is of.
    """
    title = f"{draft.config.name}: where {_told(shown, draft)} messages go"
    picture = base64.b64encode(to_svg(replay_flow(shown, draft.base), title).encode()).decode()
    image = f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,{picture}">'
    tables = (html_table(each) for each in (shown.routes(), shown.targets()))
    return "\n".join([f"<p>{escape(title)}</p>", image, *tables])


def _told(shown: Replay, draft: Draft) -> str:
    messages, whole = shown.books().messages, draft.capture.count
    is_all = draft.window is not None or messages == whole
    return f"{messages:,}" if is_all else f"the first {messages:,} of {whole:,}"
