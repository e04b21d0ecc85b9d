"""Makes the captures of data/: the same messages on every machine.

`python tools/make_data.py` writes them all. The files are the same byte for byte with the
locked Polars; with another one their content is, which a test holds to by its digest.
"""

from __future__ import annotations

from pathlib import Path

from gateway_lab.captures.generate import write_traffic
from gateway_lab.captures.read import scan_capture

DATA = Path(__file__).parents[1] / "data"
SEED = 7
MESSAGES = {
    "business": 25_000,
    "users": 20_000,
    "payments": 10_000,
    "metrics": 20_000,
    "commands": 5_000,
    "conversion": 5_000,
    "observable": 15_000,
}


def main() -> None:
    """Write one capture a profile."""
    for profile, n in MESSAGES.items():
        path = DATA / f"{profile}.parquet"
        write_traffic(profile, path, n=n, seed=SEED)
        size = path.stat().st_size / 1_000_000
        print(f"{path.name}: {n:,} messages, {size:.2f} MB, {scan_capture(path).digest}")


if __name__ == "__main__":
    main()
