"""Settings of every test: the same answers on every machine."""

from __future__ import annotations

import os

from hypothesis import settings

# A reader's own table settings would change what frames look like.
for name in [name for name in os.environ if name.startswith("POLARS_FMT_")]:
    del os.environ[name]

# CI machines are slow and shared: a deadline would only make tests flaky.
settings.register_profile("gateway_lab", deadline=None, print_blob=True)
settings.register_profile("quick", settings.get_profile("gateway_lab"), max_examples=25)
settings.load_profile("gateway_lab")
