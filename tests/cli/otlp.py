"""A receiver of OTLP over HTTP, as small as can be: it decodes what comes, and keeps it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Receiver:
    """What came: spans and metrics, and the attributes of who sent them."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._bodies: list[tuple[str, bytes]] = []

    def take(self, path: str, body: bytes) -> None:
        self._bodies.append((path, body))

    def _requests(self, path: str, kind: type[Any]) -> list[Any]:
        return [kind.FromString(body) for each, body in list(self._bodies) if each == path]

    @property
    def spans(self) -> list[Any]:
        return [
            span
            for request in self._requests("/v1/traces", ExportTraceServiceRequest)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def metrics(self) -> list[Any]:
        return [
            metric
            for request in self._requests("/v1/metrics", ExportMetricsServiceRequest)
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    @property
    def services(self) -> set[str]:
        return {
            each.value.string_value
            for request in self._requests("/v1/traces", ExportTraceServiceRequest)
            for resource in request.resource_spans
            for each in resource.resource.attributes
            if each.key == "service.name"
        }


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.take(self.path, body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
