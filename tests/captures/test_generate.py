from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from statistics import median

import polars as pl
import pytest

import gateway_lab as gl
from gateway_lab.captures.capture import Capture
from gateway_lab.captures.format import COLUMNS
from gateway_lab.captures.generate import PROFILES, generate_traffic, write_traffic
from gateway_lab.captures.profiles.malformed import WAYS, broken
from gateway_lab.captures.read import scan_capture
from gateway_lab.captures.sampling import sample_rank
from gateway_lab.config.compile import compile_plan
from gateway_lab.errors import CaptureError
from gateway_lab.events.decode import InvalidBody, compile_decoder
from gateway_lab.events.event_type import EventType
from gateway_lab.protocols.protocol import is_plain
from tools.make_data import ALIASES, DATA, MESSAGES, SEED, write

NAMES = sorted(PROFILES)


@pytest.fixture(scope="module")
def traffic() -> dict[str, Capture]:
    return {name: generate_traffic(name, n=20_000, seed=3) for name in NAMES}


def event_type(profile: str) -> EventType:
    compiled = compile_plan(gl.read_config(DATA / f"{profile}.yaml"))
    assert compiled.plan is not None, compiled.findings
    (source,) = compiled.plan.sources.values()
    return next(iter(source.event_types.values()))


@pytest.mark.parametrize("name", NAMES)
def test_generated_traffic_is_a_capture(traffic: dict[str, Capture], name: str) -> None:
    frame = traffic[name].frame.collect()
    assert frame.schema == pl.Schema(COLUMNS)
    assert frame["seq"].to_list() == list(range(20_000))
    assert frame["received"].is_sorted()
    assert frame["received"].null_count() == 0
    assert (traffic[name].metadata.profile, traffic[name].metadata.seed) == (name, 3)


@pytest.mark.parametrize("name", NAMES)
def test_half_a_percent_is_not_valid_in_many_ways(traffic: dict[str, Capture], name: str) -> None:
    profile = traffic[name].profile(gl.read_config(DATA / f"{name}.yaml"))
    assert profile.sources is not None
    assert profile.invalid is not None
    assert profile.sources["messages"].sum() == 20_000
    broken_ones = profile.invalid.filter(pl.col("reason") != "no body")["messages"].sum()
    assert 0.003 < broken_ones / 20_000 < 0.009
    kinds = profile.invalid["reason"].str.split(":").list.first().n_unique()
    assert kinds >= 6


@pytest.mark.parametrize("name", NAMES)
def test_every_way_of_breaking_a_body_breaks_it(traffic: dict[str, Capture], name: str) -> None:
    decoder = compile_decoder(event_type(name), ())
    bodies = traffic[name].head(300).frame.collect()["body"].drop_nulls().to_list()
    _, invalid = decoder.decode_many(bodies)
    valid = [body for row, body in enumerate(bodies) if row not in invalid]
    for draw in range(20 * len(WAYS)):
        body = broken(valid[draw % len(valid)], PROFILES[name].weakness, draw)
        with pytest.raises(InvalidBody):
            decoder.decode(body)


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    first, again, other = (generate_traffic("users", n=500, seed=s).digest for s in (1, 1, 2))
    assert first == again != other


def test_written_traffic_is_the_generated_one(tmp_path: Path) -> None:
    write_traffic("commands", tmp_path / "p.parquet", n=66_000, seed=2)
    written = scan_capture(tmp_path / "p.parquet")
    assert written.digest == generate_traffic("commands", n=66_000, seed=2).digest
    assert written.metadata.recorded_by == "generate commands"


@pytest.mark.parametrize("n", [0, 1, 2, 257])
def test_any_count_can_be_asked_for(n: int) -> None:
    capture = generate_traffic("business", n=n)
    assert capture.count == capture.frame.collect().height == n


def test_a_profile_that_does_not_exist_is_told() -> None:
    with pytest.raises(CaptureError, match=r"no profile is called 'business_'\nhint: .*'business'"):
        generate_traffic("business_", n=1)


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(CaptureError, match="-1 messages"):
        generate_traffic("users", n=-1)


# --- as untidy as the real thing ---


def test_the_day_has_a_shape_bursts_and_an_outage(traffic: dict[str, Capture]) -> None:
    received = traffic["business"].frame.select("received").collect()
    hours = received.group_by(pl.col("received").dt.hour()).len().sort("received")["len"]
    assert hours[10] > 8 * hours[3]
    minutes = received.filter(pl.col("received").dt.hour().is_between(9, 16))
    counts = minutes.group_by_dynamic("received", every="1m").agg(pl.len())["len"].to_list()
    assert max(counts) > 3 * median(counts)
    (times,) = traffic["business"].profile().times.to_dicts()
    assert times["longest_gap"].total_seconds() > 170


def test_times_are_late_early_missing_and_out_of_order(traffic: dict[str, Capture]) -> None:
    (times,) = traffic["business"].profile().times.to_dicts()
    assert times["max_late"].total_seconds() >= 1800
    assert 0 < times["early"] < 0.01
    assert 0 < times["without_timestamp"] < 0.01
    assert 0 < times["out_of_order"] < 0.2


def test_few_tenants_send_most(traffic: dict[str, Capture]) -> None:
    bodies = traffic["business"].frame.select("body").collect()["body"].to_list()
    counts = Counter(filter(None, map(tenant_of, bodies)))
    assert sum(n for _, n in counts.most_common(5)) > 0.4 * counts.total()
    assert len(counts) > 80


def tenant_of(body: bytes | None) -> str | None:
    try:
        value = json.loads(body or b"")
        return value["tenant_id"] if isinstance(value["tenant_id"], str) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def test_orders_go_through_their_steps(traffic: dict[str, Capture]) -> None:
    orders = traffic["business"].frame.filter(pl.col("key").bin.starts_with(b"o-"))
    key = orders.select("key").head(1).collect().item()
    bodies = orders.filter(pl.col("key") == key).select("body").collect()["body"]
    names = [json.loads(body)["event_type"] for body in bodies]
    assert names[0] == "order_created"
    assert names[1] in {"order_paid", "payment_failed"}


def test_headers_are_foreign_odd_and_binary_at_times(traffic: dict[str, Capture]) -> None:
    frame = traffic["business"].frame.select("headers").explode("headers").unnest("headers")
    headers = frame.collect().drop_nulls()
    names = set(headers["name"])
    assert {"x-request-id", "X-Request-ID", "traceparent", "x-b3-traceid"} <= names
    assert any(not is_text(value) for value in headers["value"].to_list())


def is_text(value: bytes) -> bool:
    try:
        return bool(value.decode() or True)
    except UnicodeDecodeError:
        return False


def test_positions_count_up_within_a_partition_and_over_chunks() -> None:
    capture = generate_traffic("users", n=66_000, seed=1)
    frame = capture.frame.select(
        "channel", "partition", pl.col("position").cast(pl.Int64)
    ).collect()
    steps = frame.with_columns(
        step=pl.col("position").diff().over("channel", "partition").fill_null(1)
    )
    assert (steps["step"] == 1).all()


def test_a_key_stays_in_its_partition(traffic: dict[str, Capture]) -> None:
    frame = traffic["payments"].frame.collect()
    counts = frame.group_by("key").agg(pl.col("partition").n_unique())
    assert counts["partition"].max() == 1


def test_users_come_from_a_channel_of_each_protocol(traffic: dict[str, Capture]) -> None:
    places = traffic["users"].profile().channels.select("broker", "kind", "channel").rows()
    assert sorted(places) == [
        ("cache", "redis", "user-events"),
        ("edge", "nats", "user.events"),
        ("stream", "kafka", "user-events"),
        ("work", "rabbitmq", "user.queue"),
    ]


def test_a_user_stays_in_its_channel(traffic: dict[str, Capture]) -> None:
    keyed = traffic["users"].frame.filter(pl.col("key").is_not_null()).collect()
    assert keyed.group_by("key").agg(pl.col("broker").n_unique())["broker"].max() == 1


def test_a_message_holds_only_what_its_protocol_carries(traffic: dict[str, Capture]) -> None:
    frame = traffic["users"].frame.collect()
    assert set(frame.filter(pl.col("body").is_null())["kind"]) == {"kafka"}
    values = frame.explode("headers").unnest("headers").drop_nulls("name").group_by("kind")
    binary = {
        kind: [each for each in found["value"].to_list() if not is_plain(each)]
        for (kind,), found in values
    }
    assert not binary.pop("nats")
    assert all(binary.values())


# --- data/ ---


@pytest.mark.parametrize("name", NAMES)
def test_the_captures_in_data_are_generated_traffic_that_crossed_brokers(name: str) -> None:
    """Positions are the brokers', and all of them but RabbitMQ give each message a time."""
    kept = scan_capture(DATA / f"{name}.parquet")
    kept.verify()
    made = generate_traffic(name, n=MESSAGES[name], seed=SEED).frame.collect()
    crossed = kept.frame.collect()
    assert crossed.drop("position", "timestamp").equals(made.drop("position", "timestamp"))
    differing = made["timestamp"].ne_missing(crossed["timestamp"])
    assert made.filter(differing)["timestamp"].null_count() == differing.sum()
    lacking = crossed.filter(pl.col("timestamp").is_null())
    assert set(lacking["kind"]) <= {"rabbitmq"}
    counted = crossed.filter(pl.col("kind") != "redis")
    places = pl.col("position").cast(pl.Int64).sort()
    steps = counted.group_by("kind", "channel", "partition").agg(
        places.diff().drop_nulls().unique()
    )
    assert steps["position"].to_list() == [[1]] * steps.height
    milliseconds = pl.col("received").dt.epoch("ms").cast(pl.String)
    entry_ids = pl.concat_str(milliseconds, "seq", separator="-")
    assert (
        crossed.filter(pl.col("kind") == "redis")
        .select((pl.col("position") == entry_ids).all())
        .item()
    )


@pytest.mark.broker
def test_the_captures_in_data_can_be_made_again(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """To the last byte of each message, through real servers."""
    path = tmp_path / "users.parquet"
    servers = {alias: request.getfixturevalue(f"{kind}_server") for alias, kind in ALIASES.items()}
    write("users", path, servers)
    assert scan_capture(path).digest == scan_capture(DATA / "users.parquet").digest


def test_the_captures_in_data_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in DATA.glob("*.parquet")}
    assert set(sizes) == {f"{name}.parquet" for name in NAMES}
    assert max(sizes.values()) <= 3_000_000


def test_a_sample_of_generated_traffic_is_a_sample(traffic: dict[str, Capture]) -> None:
    ranks = traffic["metrics"].frame.select(sample_rank(1)).collect().to_series()
    assert 0.45 < (ranks < 2**63).mean() < 0.55  # type: ignore[operator]
