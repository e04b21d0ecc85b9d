"""Findings of what a config does with messages: severity, title, paragraph."""

from __future__ import annotations

from gateway_lab.findings import Severity

_ERROR, _WARNING, _NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

BEHAVIOUR = {
    "value-cannot-occur": (
        _WARNING,
        "A rule compares a field with a value that it can never have.",
        (
            "The event type lists the values of the field, and this is not one of them, so the "
            "comparison is never true. Mostly it is a misspelling."
        ),
    ),
    "route-never-matches": (
        _WARNING,
        "No message can match a route.",
        (
            "It is proven from the event types: the condition contradicts itself, or what the fields "
            "may hold. Correct the condition or remove the route."
        ),
    ),
    "route-shadowed": (
        _WARNING,
        "Earlier routes take every message that a route could match.",
        (
            "With `match: first` the first route that matches wins. The witness is a message that "
            "meets the route, and goes to an earlier one. Move the route up, narrow the earlier "
            "ones, or remove it."
        ),
    ),
    "not-exhaustive": (
        _NOTE,
        "Some messages match no route.",
        (
            "They go where `unmatched:` says. The witness is such a message. It is a note because "
            "`unmatched` is written out in every router; look whether these messages were meant."
        ),
    ),
    "undecided-possible": (
        _NOTE,
        "A condition can be NULL.",
        (
            "A field that a message may lack makes a comparison NULL, and NULL is not TRUE: the "
            "route does not match, and neither does its opposite. The witness is such a message. "
            "Test with `is null`, make the field required, or say `undecided: dead_letter`. Every "
            "replay counts the undecided messages."
        ),
    ),
    "message-loop": (
        _WARNING,
        "A target writes into a channel that a source reads.",
        (
            "A message may go round and round until a condition stops it. It is an error where "
            "every message of the source goes back into it."
        ),
    ),
    "double-delivery": (
        _WARNING,
        "A message may be sent twice to the same place.",
        (
            "Within a router a target gets a message once, but two routers that choose one target, "
            "or two targets with the same channel, send twice. Merge them if that is not meant."
        ),
    ),
    "batch-incomplete": (
        _WARNING,
        "The work of a batch goes nowhere.",
        (
            "A batch stores `rows` with `store`, sends `aggregates` to the targets of `to`, or does "
            "both. With none of it, or with one of `rows` and `store` alone, something is missing."
        ),
    ),
    "batch-repeats": (
        _WARNING,
        "A crash may store rows of a batch twice.",
        (
            "A guard in the database says which messages are stored, by their positions or ids. "
            "Messages of RabbitMQ have neither that would outlive a connection, so what was stored "
            "and not settled is stored again after a crash. Where publishers name their messages, "
            "`options: {id_from: message_id}` or `headers.NAME` of the source says so, and rows "
            "are stored once. Else let the table have a unique key."
        ),
    ),
    "test-unknown-name": (
        _ERROR,
        "A test names something that does not exist.",
        "It could never pass, or would pass by accident. Correct the name.",
    ),
    "test-message": (
        _ERROR,
        "The message of a test is not one message.",
        "It has an `event`, which is written as JSON, or a `body` of raw text; not both.",
    ),
    "expectations-stale": (
        _WARNING,
        "The expectations were written for another version of the config.",
        (
            "Counts that an export promised hold for the config whose digest stands with them. "
            "Export again with the capture, or remove the section."
        ),
    ),
}

DELIVERY = {
    "channel-refused": (
        _ERROR,
        "A protocol does not allow the name of a channel.",
        (
            "Each protocol has its own alphabet, length and reserved names; the finding says which "
            "rule is broken. Templates are checked on their fixed text here, and on every rendered "
            "name when messages flow."
        ),
    ),
    "pattern-refused": (
        _ERROR,
        "A source's pattern is not one of its protocol.",
        (
            "Kafka takes an anchored regular expression of topics, NATS a subject with `*` or `>`. "
            "RabbitMQ and Redis have none: list the channels under `from:`."
        ),
    ),
    "source-is-template": (
        _ERROR,
        "The channel of a source holds a template.",
        "A source reads fixed channels: there is no message yet that could fill braces in.",
    ),
    "header-refused": (
        _ERROR,
        "A protocol does not allow the name of a header, or keeps it for itself.",
        (
            "Names that begin with `x-gw-` belong to the gateway, some others to the broker: a target "
            "cannot set them. Those that tell any broker or bridge what to do (`Nats-…`, `CC`, "
            "`x-death`, `__connect.…`, `Camel…`, `reply-to`, those of one hop) never pass."
        ),
    ),
    "option-refused": (
        _ERROR,
        "An option does not exist for this protocol, or has a wrong value.",
        "`options:` are typed for each protocol; see the config reference.",
    ),
    "not-carried": (
        _NOTE,
        "The target's protocol cannot carry something that the source's messages have.",
        (
            "A key or a time that a protocol has no place for travels in a header of the gateway. "
            "What has no place at all (headers of one name more than once, binary values, messages "
            "without a body) is changed as the page on protocols says."
        ),
    ),
    "dead-letter-missing": (
        _WARNING,
        "Something asks for dead letters, but there is no channel for them.",
        (
            "A source with `on_invalid: dead_letter`, and every delivery that fails, need "
            "`dead_letter:` at the top or on the source. Without it the gateway stops the source "
            "rather than lose a message. It is an error where a router sends to `dead_letter`."
        ),
    ),
    "dead-letter-loop": (
        _ERROR,
        "Dead letters go into a channel that a source reads.",
        "A message that cannot be handled would come back for ever. Choose another channel.",
    ),
    "unbounded-channels": (
        _NOTE,
        "A channel may take any number of names.",
        (
            "It is built from a field whose values are not listed. `max_channels` bounds the live "
            "channels, and past it messages become dead letters. Say how many you mean to have."
        ),
    ),
}

RUNNING = {
    "restart-needed": (
        _ERROR,
        "A change cannot be taken over by a gateway that runs.",
        (
            "Routers, routes, targets on brokers that the config had, retries, dead letters and "
            "settings change while messages flow. Sources, event types, brokers and the name are "
            "what was opened at the start: stop the gateway and start it again. Until then it runs "
            "by the config that it had."
        ),
    ),
}

TRAFFIC = {
    "source-not-captured": (
        _NOTE,
        "A source was told to read where the capture holds no message.",
        (
            "`sources=` or `--source` names a place that no captured message came from, so the "
            "source gets none. The hint names the places that there are."
        ),
    ),
    "undeclared-field": (
        _WARNING,
        "The capture has fields that the event type does not declare.",
        (
            "Rules cannot read them; bodies pass with them as they are. Declare what matters; "
            "`gl.infer_event_type` writes the declarations for you."
        ),
    ),
    "undeclared-value": (
        _WARNING,
        "The capture has a value that the enum does not list.",
        "Messages with it are invalid. Add it to the enum, or let them be dead letters.",
    ),
    "undeclared-type": (
        _WARNING,
        "The capture has values of another type than declared.",
        "Messages with them are invalid. Correct the declaration if the producer is right.",
    ),
    "never-matched": (
        _NOTE,
        "No message of the capture matched a route.",
        (
            "Its condition may be wrong, or the capture may not hold such a message. The count is of "
            "this capture only; `route-never-matches` speaks of all messages."
        ),
    ),
    "masked-field": (
        _WARNING,
        "A rule needs more of a masked field than the capture kept.",
        (
            "A mask keeps equality and nothing else, so the counts of this rule are unknown. Record "
            "without the mask where you may, or compare by equality only."
        ),
    ),
    "handler-hangs": (
        _WARNING,
        "All threads for plain functions hang.",
        (
            "Nobody can end a thread, so a plain function that hangs keeps one. Live, the source "
            "stops when there is none left, red, and its messages come again. Give what the "
            "function waits for a limit, or write it as an async function, whose tries are ended."
        ),
    ),
    "max-channels": (
        _WARNING,
        "A target wrote more channels than it may have live.",
        (
            "Live, the messages past `max_channels` become dead letters. Raise the bound, or build "
            "the channel from a field with fewer values."
        ),
    ),
}
