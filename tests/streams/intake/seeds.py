"""Seeded secrets: kinds of what nobody may find again, in places of records that intake reads.

Each seed is one of its own, so that whatever is found says where it came from. They are made up
to have the shape, and put together here, so that no scanner takes them for real ones.
"""

import base64
import json
import random
import string
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import cramjam
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from schemas.topics import RAW_LOGS, RAW_METRICS, Topic
from streams.formats.proto.remote_write_v1_pb2 import Label, Sample, TimeSeries, WriteRequest
from streams.formats.series import named

AT = 1_767_323_045_678  # ms
ALPHABET = string.ascii_letters + string.digits


class Kind(NamedTuple):
    """A text with a secret in it, and the secret alone."""

    text: str
    secret: str


class Seed(NamedTuple):
    """A record that has a secret in it; `mark` arrives where the record does."""

    kind: str
    place: str
    topic: Topic
    value: bytes
    secret: str
    mark: str
    letter: bool  # whether it is a record for the dead letters
    format: str
    headers: tuple[tuple[str, bytes], ...] = ()
    key: bytes = b""


def kinds(draw: random.Random) -> dict[str, Kind]:
    """One of each kind, none like any before."""
    word = "".join(draw.choices(string.ascii_lowercase, k=7))
    some = "".join(draw.choices(ALPHABET, k=33)) + "aZ9"
    password = f"hunter-{some[:9]}"
    pair = base64.b64encode(f"{word}:{password}".encode()).decode()
    jwt = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi{some[:20]}.{some[:27]}"
    account, british = iban("DE", draw), iban("GB", draw)
    visa, master, express = card("4", 16, draw), card("53", 16, draw), card("37", 15, draw)
    union, diners = card("62", 19, draw), card("36", 14, draw)
    body = "\n".join("".join(draw.choices(ALPHABET, k=64)) for _ in range(3))
    pin, code = (str(draw.randrange(10**11, 10**12)) for _ in range(2))  # found by no chance
    number = f"{draw.randrange(100, 999)}-{draw.randrange(10, 99)}-{draw.randrange(1000, 9999)}"
    phone = f"+49 30 {draw.randrange(10**6, 10**7)}"
    plain = {
        "e-mail": f"{word}@example.com",
        "e-mail, tagged": f"{word}.lee+shop{draw.randrange(999)}@mail.example.co.uk",
        "e-mail, in a URL": f"{word}%40example.org",
        "card": visa,
        "card, spaced": " ".join(master[i : i + 4] for i in range(0, 16, 4)),
        "card, American": f"{express[:4]}-{express[4:10]}-{express[10:]}",
        "card, long": union,
        "card, Diners": diners,
        "JWT": jwt,
        "AWS": f"AKIA{some[:16].upper()}",
        "GitHub": f"ghp_{some}",
        "Slack": f"xoxb-{draw.randrange(10**11)}-{some[:24]}",
        "Stripe": f"sk_live_{some[:24]}",
        "GitLab": f"glpat-{some[:20]}",
        "npm": f"npm_{some}",
        "Slack, a webhook": f"https://hooks.slack.com/services/T0{some[:9]}/B0{some[9:18]}/{some[12:]}",
        "key, base64": f"{some}{some[::-1]}",
        "IBAN": account,
        "IBAN, spaced": " ".join(british[i : i + 4] for i in range(0, len(british), 4)),
        "telephone": phone,
        "person": number,
    }
    found = {name: Kind(f"seen {value} today", value) for name, value in plain.items()}
    found |= {
        name: Kind(text, secret)
        for name, text, secret in (
            ("bearer", f"curl -H 'Bearer {some[:30]}' ok", some[:30]),
            ("basic", f"Authorization: Basic {pair} was sent", pair),
            ("password", f"login with password={password} was refused", password),
            ("password, JSON", f'{{"user":"x","db_password":"{password}","n":1}}', password),
            ("password, in a URL", f"dial postgres://app:{password}@db:5432/shop", password),
            ("password, in a query", f"GET /login?u=1&passwd={password}&x=2", password),
            ("api key", f"upstream says X-Api-Key: {some[:20]} is unknown", some[:20]),
            ("argument", f'exec ["mysql","--password","{password}"] failed', password),
            ("argument, plain", f"exec mysql --db-password {password} -h db failed", password),
            (
                "password, nested",
                f'{{"password":{{"is":{{"value":"{password}"}}}},"n":1}}',
                password,
            ),
            ("environment", f'{{"name":"DB_PASSWORD","value":"{password}"}}', password),
            ("connection string", f"Server=db;User Id=sa;Pwd={password};Encrypt=1", password),
            ("Oracle", f"dial jdbc:oracle:thin:app/{password}@db:1521/x", password),
            ("Azure", f"AccountName=x;AccountKey={some[:30]}==;EndpointSuffix=y", some[:30]),
            ("Azure, signed URL", f"GET /blob?sv=1&sig={some[:30]}&se=2", some[:30]),
            ("pin", f"the pin: {pin} is wrong", pin),
            ("one-time code", f"your one-time code is {code}, for ten minutes", code),
            ("cookies", f"Cookie: theme=dark; sid={some[:22]}; lang=en", some[:22]),
            (
                "header, in JSON",
                f'{{"headers":{{"Authorization":["Token {some[:22]}"]}}}}',
                some[:22],
            ),
            (
                "service account",
                '{"private_key":"-----BEGIN PRIVATE KEY-----\\n'
                + body.replace("\n", "\\n")
                + '\\n-----END PRIVATE KEY-----\\n","n":1}',
                body.split("\n")[1],
            ),
            ("cookie", f"Set-Cookie: sid={some[:22]}; Path=/", some[:22]),
            (
                "private key",
                f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----",
                body.split("\n")[1],
            ),
        )
    }
    return found


def card(begin: str, size: int, draw: random.Random) -> str:
    """A card's number with the check digit of Luhn."""
    digits = begin + "".join(draw.choices("0123456789", k=size - 1 - len(begin)))
    doubled = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits))]
    return digits + str(-sum(sum(divmod(d, 10)) for d in doubled) % 10)


def iban(country: str, draw: random.Random) -> str:
    """An account's number with the check digits of ISO 13616."""
    inner = "WEST" * (country == "GB") + "".join(
        draw.choices("0123456789", k=14 + 4 * (country == "DE"))
    )
    number = int("".join(str(int(char, 36)) for char in f"{inner}{country}00"))
    return f"{country}{98 - number % 97:02d}{inner}"


def spellings(secret: str) -> set[bytes]:
    """How a secret may look where it was carried on: as it is, in JSON, as a name, closed up."""
    closed = secret.replace(" ", "").replace("-", "") if secret[:1].isdigit() else secret
    texts = {secret, json.dumps(secret)[1:-1], named(secret), closed, secret.replace("%40", "@")}
    return {text.encode() for text in texts}


# ---- places: what makes a record of a text

Made = tuple[Topic, str, bytes]  # topic, format, value


def _stamp() -> str:
    return datetime.fromtimestamp(AT / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(topic: Topic, **fields: object) -> Made:
    return topic, "json", json.dumps({"at": AT, **fields}).encode()


def _line(text: str, mark: str) -> Made:
    return _json(RAW_LOGS, service="shop", level="warn", message=f"{mark} {text}")


def _line_label(text: str, mark: str) -> Made:
    return _json(RAW_LOGS, service="shop", message=mark, labels={"note": text})


def _line_label_name(text: str, mark: str) -> Made:
    return _json(RAW_LOGS, service="shop", message=mark, labels={text[:200]: "1"})


def _line_service(text: str, mark: str) -> Made:
    return _json(RAW_LOGS, service=text, message=mark)


def _nested(text: str, mark: str) -> Made:
    inner = json.dumps({"ctx": json.dumps({"note": text})})
    return _json(RAW_LOGS, service="shop", message=f"{mark} {inner}")


def _lines(text: str, mark: str) -> Made:
    said = f"{mark} it broke\n\tat shop.Pay(Pay.java:7)\n{text}\nand more"
    return _json(RAW_LOGS, service="shop", level="error", message=said)


def _metric_label(text: str, mark: str) -> Made:
    labels = {"seed": mark, "note": text}
    return _json(RAW_METRICS, service="shop", metric="m", value=1, labels=labels)


def _metric_service(text: str, mark: str) -> Made:
    return _json(RAW_METRICS, service=text, metric="m", value=1, labels={"seed": mark})


def _metric_name(text: str, mark: str) -> Made:
    return _json(RAW_METRICS, service="shop", metric=text[:250], value=1, labels={"seed": mark})


def _text(text: str, mark: str) -> Made:
    return RAW_LOGS, "text", f"{mark} begins\n{text}\n".encode()


def _syslog(text: str, mark: str) -> Made:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]").replace("\n", " ")
    head = f'<165>1 {_stamp()} web1 pay 47 ID [x@1 note="{quoted}"] '
    return RAW_LOGS, "syslog", f"{head}{mark} {text}".encode()


def _otlp_json(text: str, mark: str) -> Made:
    def attribute(key: str, value: str) -> dict[str, object]:
        return {"key": key, "value": {"stringValue": value}}

    line = {
        "timeUnixNano": str(AT * 1_000_000),
        "body": {"stringValue": f"{mark} {text}"},
        "attributes": [attribute("note", text)],
    }
    resource = {"attributes": [attribute("service.name", "shop"), attribute("owner", text)]}
    logs = {"resource": resource, "scopeLogs": [{"logRecords": [line]}]}
    return RAW_LOGS, "otlp-json", json.dumps({"resourceLogs": [logs]}).encode()


def _otlp_proto(text: str, mark: str) -> Made:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add()
    for key, value in (("service.name", "shop"), ("owner", text)):
        metrics.resource.attributes.add(key=key).value.string_value = value
    point = metrics.scope_metrics.add().metrics.add(name="m").gauge.data_points.add()
    point.time_unix_nano, point.as_double = AT * 1_000_000, 1.0
    point.attributes.add(key="seed").value.string_value = mark
    return RAW_METRICS, "otlp-proto", request.SerializeToString()


def _alert(text: str, mark: str) -> Made:
    labels = {"alertname": "Slow", "service": "shop", "seed": mark, "note": text}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {"summary": f"{mark} {text}"},
        "startsAt": _stamp(),
    }
    return RAW_LOGS, "alertmanager", json.dumps({"receiver": "r", "alerts": [alert]}).encode()


def _cloud_event(text: str, mark: str) -> Made:
    event = {
        "specversion": "1.0",
        "id": text,
        "source": "/shop",
        "type": "log",
        "time": _stamp(),
        "data": {"service": "shop", "message": f"{mark} {text}"},
    }
    return RAW_LOGS, "cloudevents", json.dumps(event).encode()


def _remote_write(text: str, mark: str) -> Made:
    return RAW_METRICS, "remote-write", bytes(cramjam.snappy.compress_raw(_written(text, mark)))


def _written(text: str, mark: str) -> bytes:
    labels = {"__name__": "m", "job": "shop", "note": text, "seed": mark}
    series = TimeSeries(
        labels=[
            Label(name=name, value=labels[name]).SerializeToString() for name in sorted(labels)
        ],
        samples=[Sample(value=1.0, timestamp=AT)],
    )
    return WriteRequest(timeseries=[series]).SerializeToString()


def _bad_value(text: str, mark: str) -> Made:
    return _json(RAW_METRICS, service="shop", metric="m", value=text, labels={"seed": mark})


def _bad_time(text: str, mark: str) -> Made:
    return _json(RAW_LOGS, service="shop", at=text, message=mark)


def _bad_line(text: str, mark: str) -> Made:
    return RAW_METRICS, "graphite", f"{text} {mark}".encode()


def _bad_json(text: str, mark: str) -> Made:
    return RAW_LOGS, "json", f'{{"service":"shop","message":{json.dumps(text)},"{mark}'.encode()


def _bad_bytes(text: str, mark: str) -> Made:
    return RAW_LOGS, "json", b'\xff\xfe{"message":"' + text.encode() + mark.encode()


def _bad_proto(text: str, mark: str) -> Made:
    topic, name, value = _otlp_proto(text, mark)
    return topic, name, value[:-4]


def _bad_snappy(text: str, mark: str) -> Made:
    topic, name, value = _remote_write(f"{text} {text}", mark)
    return topic, name, value[:-9]


def _bad_inside(text: str, mark: str) -> Made:
    """Remote write that unpacks well, of a series without a name."""
    plain = _written(text, mark).replace(b"__name__", b"__gone__")
    return RAW_METRICS, "remote-write", bytes(cramjam.snappy.compress_raw(plain))


def _bad_format(text: str, mark: str) -> Made:
    return RAW_LOGS, f"no {text}".replace("\n", " "), mark.encode()


PLACES: dict[str, Callable[[str, str], Made]] = {
    "text of a line": _line,
    "label of a line": _line_label,
    "name of a line's label": _line_label_name,
    "service of a line": _line_service,
    "JSON in JSON in a line": _nested,
    "one of several lines": _lines,
    "label of a metric": _metric_label,
    "service of a metric": _metric_service,
    "name of a metric": _metric_name,
    "plain text": _text,
    "syslog, text and structured data": _syslog,
    "OTLP in JSON, body and attributes": _otlp_json,
    "OTLP in protobuf, resource": _otlp_proto,
    "alert, annotation and label": _alert,
    "CloudEvent, envelope and inside": _cloud_event,
    "remote write, label": _remote_write,
    "headers and key of a good record": _line,
}
BAD: dict[str, Callable[[str, str], Made]] = {
    "value that is no number": _bad_value,
    "time that is none": _bad_time,
    "line that is none": _bad_line,
    "JSON cut off": _bad_json,
    "bytes that are no text": _bad_bytes,
    "protobuf cut off": _bad_proto,
    "snappy cut off": _bad_snappy,
    "snappy with a bad series": _bad_inside,
    "format that is not there": _bad_format,
    "headers and key of a bad record": lambda _, mark: (RAW_LOGS, "json", f"{{{mark}".encode()),
}


def seeds(seed: int) -> Iterator[Seed]:
    """Every kind in every place."""
    draw = random.Random(seed)
    number = 0
    for place, make in (PLACES | BAD).items():
        for kind, (text, secret) in kinds(draw).items():
            number += 1
            mark = f"mark{number:04d}x"
            headers: tuple[tuple[str, bytes], ...] = ()
            key = b""
            topic, name, value = make("said" if "good record" in place else text, mark)
            if "headers" in place:
                # a label's own name: what has a shape alone, the rest with what tells of it
                said = f"note {secret}" if text.startswith("seen ") else text
                headers, key = (("x-note", text.encode()), (said, b"1")), text.encode()
            yield Seed(kind, place, topic, value, secret, mark, place in BAD, name, headers, key)
