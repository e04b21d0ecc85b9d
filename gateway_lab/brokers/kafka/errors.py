"""What Kafka's errors mean; their own texts name hosts, so none of them is shown."""

from __future__ import annotations

import re
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from gateway_lab.brokers.contract import BrokerError, Failure, FailureClass
from gateway_lab.brokers.tls import CLIENT, UNVERIFIED

_FENCED: Final = "another process runs as the same member of the group"
_CONFIGURATION: Final = {
    KafkaError._AUTHENTICATION: "the credentials are refused",  # noqa: SLF001 - its public names
    KafkaError.SASL_AUTHENTICATION_FAILED: "the credentials are refused",
    KafkaError.UNSUPPORTED_SASL_MECHANISM: "the server does not know this SASL mechanism",
    KafkaError._SSL: UNVERIFIED,  # noqa: SLF001
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "no permission for the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "no permission for the consumer group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "no permission to write idempotently",
    KafkaError.FENCED_INSTANCE_ID: _FENCED,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "the group is used by another kind of consumer",
    KafkaError.INVALID_GROUP_ID: "the server refuses the name of the group",
    KafkaError.INVALID_SESSION_TIMEOUT: (
        "the server does not allow a lease of this length: see its group.min.session.timeout.ms"
    ),
    KafkaError._AUTO_OFFSET_RESET: "messages were deleted before they were read",  # noqa: SLF001
}
_PERMANENT: Final = {
    KafkaError.INVALID_MSG: "the topic refuses the message",
    KafkaError.INVALID_RECORD: "the topic refuses the message, such as one without a key",
    KafkaError.INVALID_TIMESTAMP: "the topic refuses the timestamp",
    KafkaError.TOPIC_EXCEPTION: "the topic's name is illegal",
    KafkaError.POLICY_VIOLATION: "a policy of the server refuses the message",
}
_UNROUTABLE: Final = frozenset(
    {
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
    }
)
_AMBIGUOUS: Final = frozenset(
    {
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001
        KafkaError._PURGE_INFLIGHT,  # noqa: SLF001
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    }
)
TOO_LARGE: Final = Failure(FailureClass.PERMANENT, "the message is too large for the topic")
FENCED: Final = Failure(FailureClass.CONFIGURATION, _FENCED)
UNROUTABLE: Final = Failure(FailureClass.UNROUTABLE, "there is no such topic")


def classify(error: KafkaError) -> Failure:
    """Say what an error means; what is not known passes."""
    code = error.code()
    if reason := _configuration_of(error):
        return Failure(FailureClass.CONFIGURATION, reason)
    if reason := _PERMANENT.get(code):
        return Failure(FailureClass.PERMANENT, reason)
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return TOO_LARGE
    if code in _UNROUTABLE:
        return UNROUTABLE
    reason = f"the broker did not take it: {error.name()}"
    return Failure(FailureClass.RETRYABLE, reason, is_ambiguous=code in _AMBIGUOUS)


def is_configuration(error: KafkaError) -> bool:
    """Say whether trying again is of no use."""
    return _configuration_of(error) is not None


_ALERT: Final = re.compile(r"alert .*(certificate|unknown ca|handshake failure|protocol version)")


def _configuration_of(error: KafkaError) -> str | None:
    code = error.code()
    if code == KafkaError._TRANSPORT and _ALERT.search(error.str()):  # noqa: SLF001
        return CLIENT
    return _CONFIGURATION.get(code)


def error_of(exception: KafkaException) -> KafkaError:
    """Return the error that an exception of the client carries."""
    error: KafkaError = exception.args[0]
    return error


def configuration(reason: str, *, where: str = "", hint: str = "") -> BrokerError:
    """Make an error that only a person can mend."""
    return BrokerError(Failure(FailureClass.CONFIGURATION, reason), where=where, hint=hint)
