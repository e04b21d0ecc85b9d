"""Makes environment.yml from pyproject.toml, the only list of what is needed.

conda brings Python and pip; pip brings the rest, so there is no second list of versions that
could drift.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ("brokers", "lab")

TEXT = """\
# Made by `make docs` from pyproject.toml; change that instead.
name: gateway-lab
channels: [conda-forge]
dependencies:
  - python{python}
  - pip
  - pip:
      - -e .[{extras}]
"""


def environment(project: Path = ROOT / "pyproject.toml") -> str:
    """Return the text of environment.yml.

    Args:
        project: The path of a pyproject.toml; it must have the extras that the file installs.
    """
    table = tomllib.loads(project.read_text())["project"]
    if missing := set(EXTRAS) - set(table["optional-dependencies"]):
        msg = f"{project}: no extra called {', '.join(sorted(missing))}"
        raise KeyError(msg)
    return TEXT.format(python=table["requires-python"], extras=",".join(EXTRAS))
