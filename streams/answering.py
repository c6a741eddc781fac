"""Answers of people: which plan or run is meant, and a signed event in Kafka that says so.

The pipeline checks every answer again; what can be told here is told before anything is sent.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from confluent_kafka import KafkaException, Producer

from schemas.avro import encode
from schemas.errors import Denied, Rejected, Unavailable
from schemas.event import Event, child
from schemas.identity import Keyring, Signer
from schemas.incidents import Incident
from schemas.outcomes import Outcome
from schemas.plans import Approval, Approved, Decision, Refusal
from schemas.results import Rollback, StepResult
from schemas.topics import APPROVED, BARS, BY_EVENT, OUTCOMES, REFUSALS, RESULTS, Topic
from schemas.verdicts import Bar, Verdict, Word
from sinks.history import History
from streams.cluster import PATIENCE_S, quiet, reach
from streams.connection import KafkaSettings
from streams.follow import Follower

ACKNOWLEDGED_S = 15.0  # for all replicas to have it; milliseconds as a rule
SEARCHED = 500  # incidents, newest first, in which a token is looked for
FOLLOWED: dict[type[Event], tuple[Topic, ...]] = {
    Approval: (APPROVED, REFUSALS, OUTCOMES),
    Rollback: (RESULTS, REFUSALS),
    Verdict: (BARS, REFUSALS),
}
Said = Approval | Rollback | Verdict
S = TypeVar("S", Approval, Rollback, Verdict)
TAKEN_BACK = ("rolled_back", "rollback_failed")


class Person(NamedTuple):
    """Who answers, and with which key."""

    name: str
    signer: Signer

    @classmethod
    def load(cls, name: str, key: Path, known: Keyring) -> "Person":
        """The person with the key in a file.

        Raises Rejected for a bad key, Denied when the settings know the name with another one,
        or know people and not this one.
        """
        signer = Signer.load(key)
        if known.people and name not in known.people:
            raise Denied(
                f"nobody called {name} is in identity.people; known: "
                + ", ".join(sorted(known.people))
            )
        if known.people and known.people[name] != signer.public:
            raise Denied(f"the key in {key} is not the one that identity.people has for {name}")
        return cls(name, signer)


class Run(NamedTuple):
    """A run that may be taken back."""

    incident: Incident
    granted: StepResult


def waiting(history: History, named: str, now: datetime) -> Decision:
    """The decision that waits for an answer, named by incident or plan (a start will do).

    Raises Rejected, saying what waits, when it is none or several.
    """
    decisions = history.waiting(now)
    found = [decision for decision in decisions if _is_meant(decision, named)]
    if len(found) == 1:
        return found[0]
    if found:
        raise Rejected(f"{named!r} may mean several: {_listed(found)}")
    incident = history.incident(named).incident
    rest = f"; waiting are {_listed(decisions)}" if decisions else ""
    raise Rejected(f"nothing of {incident.incident} ({incident.status}) waits for an answer{rest}")


def _is_meant(decision: Decision, named: str) -> bool:
    ident = decision.plan.incident.incident
    names = (ident, ident.removeprefix("inc-"), decision.plan.hash, decision.plan.id)
    return bool(named) and any(name.startswith(named) for name in names)


def _listed(decisions: Sequence[Decision]) -> str:
    return ", ".join(
        f"{d.plan.incident.incident} ({d.plan.runbook} {d.plan.hash[:12]})" for d in decisions
    )


def run_of(history: History, token: str) -> Run:
    """The run that a rollback token belongs to. Raises Rejected when none is known."""
    for summary in history.incidents(limit=SEARCHED):
        life = history.incident(summary.incident)
        for result in reversed(life.steps):
            if result.rollback_token == token:
                return Run(life.incident, result)
    raise Rejected(
        f"no run has the token {token!r}: `sentinel incidents show INCIDENT` tells the token"
    )


def answered(
    person: Person,
    decision: Decision,
    answer: Literal["approve", "reject"],
    now: datetime,
    *,
    comment: str = "",
) -> Approval:
    """The signed answer to exactly the plan of the decision."""
    said = person.signer.approval(
        group=decision.group,
        incident=decision.plan.incident.incident,
        plan_hash=decision.plan.hash,
        answer=answer,
        by=person.name,
        at=now,
        comment=comment,
    )
    return _caused(said, decision)


def demanded(person: Person, run: Run, now: datetime, *, reason: str = "") -> Rollback:
    """The signed demand to take the run back."""
    said = person.signer.rollback(
        group=run.incident.group,
        incident=run.incident.incident,
        token=run.granted.rollback_token,
        by=person.name,
        at=now,
        reason=reason,
    )
    return _caused(said, run.granted)


def judged(
    person: Person,
    incident: Incident,
    says: Word,
    now: datetime,
    *,
    service: str = "",
    reason: str = "",
) -> Verdict:
    """The signed word on an incident, for the bar of one of its services.

    Raises Rejected for a service that the incident does not name.
    """
    if service and service not in incident.services:
        known = ", ".join(incident.services)
        raise Rejected(f"{incident.incident} is not about {service}: it names {known}")
    said = person.signer.verdict(
        group=incident.group,
        incident=incident.incident,
        service=service or incident.service,
        says=says,
        by=person.name,
        at=now,
        reason=reason,
    )
    return _caused(said, incident)


def undone(person: Person, verdict: Verdict, now: datetime, *, reason: str = "") -> Verdict:
    """The signed word that takes an earlier one back."""
    said = person.signer.verdict(
        group=verdict.group,
        incident=verdict.incident,
        service=verdict.service,
        says="undo",
        undoes=verdict.id,
        by=person.name,
        at=now,
        reason=reason,
    )
    return _caused(said, verdict)


def _caused(said: S, by: Event) -> S:
    """What was said, with what it answers; neither is signed, and the trace needs the id."""
    return said.model_copy(update={"cause": by.id, "trace": child(by.trace, said.id)})


def send(kafka: KafkaSettings, event: Event) -> str:
    """Send the event and wait until Kafka has it; where it is, as topic/partition/offset.

    Raises Unavailable when that is not certain.
    """
    reach(kafka)
    producer = Producer(
        {
            **quiet(kafka),
            "partitioner": "murmur2_random",  # as Faust's and Java's: a group has one partition
            "enable.idempotence": True,
            "message.timeout.ms": int(ACKNOWLEDGED_S * 1000),
        }
    )
    value, headers = encode(event)
    came: list[tuple[str, str]] = []

    def delivered(error: object, message: object) -> None:
        came.append((str(error) if error is not None else "", _place(message)))

    try:
        producer.produce(
            kafka.topic(BY_EVENT[type(event)]), value, key=event.group.encode(),
            headers=dict(headers), on_delivery=delivered,
        )  # fmt: skip
        producer.flush(ACKNOWLEDGED_S + PATIENCE_S)
    except KafkaException as error:
        raise Unavailable(f"not sent: {error.args[0].str()}") from error
    if not came or came[0][0]:
        why = came[0][0] if came else f"no acknowledgement in {ACKNOWLEDGED_S:g} s"
        raise Unavailable(f"not sent for certain ({why}): send it again, twice does no harm")
    return came[0][1]


def _place(message: object) -> str:
    return f"{message.topic()}/{message.partition()}/{message.offset()}"  # type: ignore[attr-defined] # librdkafka's message


class Answerer:
    """Sends one answer and, if wanted, follows what comes of it."""

    def __init__(self, kafka: KafkaSettings, event: Said, *, follow: bool) -> None:
        self._kafka, self._event = kafka, event
        self._follower = Follower(kafka, FOLLOWED[type(event)]) if follow else None

    def send(self) -> str:
        """Send it; where it is."""
        return send(self._kafka, self._event)

    def end(self, for_s: float) -> Event | None:
        """What it came to, as soon as that is known; None when nothing is in that time."""
        if self._follower is None:
            return None
        with self._follower as follower:
            for seen in follower.records(for_s=for_s):
                event = seen.event()
                if settles(self._event, event):
                    return event
        return None


def settles(answer: Said, event: Event) -> bool:
    """Whether the event is what the answer came to."""
    match event, answer:
        case Refusal(), _:
            return event.cause == answer.id
        case Bar(), Verdict():
            return event.cause == answer.id
        case Approved(), Approval():
            return event.plan.hash == answer.plan_hash
        case Outcome(), Approval():
            return event.plan_hash == answer.plan_hash and event.result == "refused"
        case StepResult(), Rollback():
            ended = event.phase == "run" and event.status in TAKEN_BACK
            return ended and event.incident == answer.incident
    return False
