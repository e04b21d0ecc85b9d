"""What a gateway in another process says of itself, on its loopback port."""

from __future__ import annotations

from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.live.client_messages import LIMIT_S


def asked(port: int, path: str) -> tuple[int, str]:
    """Ask it, and return the status and the text of its answer; 0: nothing answers there yet."""
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=LIMIT_S) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except (URLError, ConnectionError):
        return 0, ""


def total(port: int, name: str) -> float | None:
    """Sum a metric over all its labels; None: nothing answers, or it has none of the name."""
    _, text = asked(port, "/metrics")
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    values = [one.value for one in samples if one.name == name]
    return sum(values) if values else None
