"""A pytest plugin: runs the `tests:` and the `expectations` of config files, an item each."""

from __future__ import annotations
