"""SLO: good and total counters of a service become budget left, burn rate and burn alerts.

Increments are counted into the objective's buckets by event time. When a bucket is over it is
said (Budget), and the burn alerts are judged: one that fires is an anomaly like any other,
which clears when none has fired for a while.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from agents.burn import Counts, History, Judged, judge_all
from runbooks.objectives import Objective
from schemas.anomalies import Anomaly
from schemas.budgets import Budget
from schemas.errors import Rejected
from schemas.event import Event, Severity, derive
from schemas.frames import Samples, parsed

VERSION = 1
EVIDENCE = 60  # buckets
CLEAR_BUCKETS = 3  # without any alert, in a row: at the edge of a factor alerts come and go
FORGOTTEN_S = 21_600.0  # a counter that has been silent so long is not waited for
GRACE = 0.25  # of a bucket: how long the samples of its end may take
SEVERITY = {"page": Severity.critical, "ticket": Severity.medium}


class Burning(msgspec.Struct, frozen=True):
    """An open burn anomaly."""

    anomaly: str
    since: float
    severity: str
    score: float
    calm: int = 0


class _Wire(msgspec.Struct):
    """A partition's objectives in the changelog."""

    version: int
    included: int
    states: dict[str, dict[str, Any]]


class Account:
    """One objective: counters seen, the bucket being filled, history, open alert."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.width = objective.bucket.total_seconds()
        self.counters: dict[str, tuple[float, float]] = {}  # series -> newest sample's time, value
        self.filling: dict[int, list[float]] = {}  # bucket number -> [good, bad, total]
        self.closed = -1  # number of the last bucket that was closed
        self.history = History.empty(objective)
        self.burning: Burning | None = None
        self.recent: list[tuple[float, float]] = []  # bucket's end, error ratio

    # ---- counting

    def count(self, roles: Sequence[str], series: str, at: float, value: float) -> None:
        """One sample of a counter (or, where the objective says so, of counts).

        A counter's sample that comes after a newer one is left out: what it tells is in that.
        """
        amount = value
        if self.objective.counter:
            newest, last = self.counters.get(series, (-math.inf, math.nan))
            if at <= newest:
                return
            self.counters[series] = at, value
            if math.isnan(last):
                return
            amount = value - last if value >= last else value  # less: it began again at zero
        bucket = max(int(at // self.width), self.closed + 1)  # late: the bucket that is open
        filling = self.filling.setdefault(bucket, [0.0, 0.0, 0.0])
        for role in roles:
            filling[("good", "bad", "total").index(role)] += max(amount, 0.0)

    def close(self, now: float) -> list[tuple[int, Counts]]:
        """The buckets that are over at event time `now`, in order, empty ones between too."""
        last = int((now - GRACE * self.width) // self.width) - 1
        if not self.filling or last <= self.closed:
            return []
        first = min(self.filling) if self.closed < 0 else self.closed + 1
        over = []
        for bucket in range(max(first, last - 10_000), last + 1):
            good, bad, total = self.filling.pop(bucket, (0.0, 0.0, 0.0))
            if self.objective.good is None:
                good = max(total - bad, 0.0)
            over.append((bucket, Counts(min(good, total), total)))
            self.closed = bucket
        silent = [name for name, (at, _) in self.counters.items() if at < now - FORGOTTEN_S]
        for name in silent:
            del self.counters[name]
        return over

    # ---- saying

    def said(self, bucket: int, counts: Counts, group: str, cause: str) -> list[Event]:
        """The closed bucket, and what it changes about the burn alert."""
        objective = self.objective
        start = datetime.fromtimestamp(bucket * self.width, UTC)
        end = start + objective.bucket
        inside = start + objective.bucket / 2
        self.history = self.history.add(objective, inside, counts)
        # At its very end the windows would already hold the next bucket, which is empty.
        last = end - timedelta(milliseconds=1)
        budget = self.history.budget(objective, last)
        judged = judge_all(self.history, objective, last)
        ratio = counts.bad / counts.total if counts.total else 0.0
        self.recent = [*self.recent[-EVIDENCE + 1 :], (end.timestamp(), ratio)]
        event = Budget(
            id=derive("slo", objective.name, str(bucket)),
            at=end,
            cause=cause,
            group=group,
            service=objective.service,
            objective=objective.name,
            target=objective.target,
            period_s=objective.period.length.total_seconds(),
            rolling=objective.period.rolling,
            bucket_start=start,
            bucket_s=self.width,
            total=counts.total,
            bad=counts.bad,
            period_total=budget.events,
            period_bad=budget.bad,
            left=budget.left,
            burn=max((j.fast for j in judged), default=0.0),
        )
        return [event, *self._alert(judged, end, group, cause)]

    def _alert(
        self, judged: Sequence[Judged], now: datetime, group: str, cause: str
    ) -> list[Anomaly]:
        firing = [j for j in judged if j.verdict.fires]
        worst = max(firing, key=lambda j: (SEVERITY[j.alert.severity].rank, j.slow), default=None)
        before = self.burning
        if worst is None:
            return self._calm(judged, now, group, cause)
        score = worst.slow / worst.alert.factor
        severity = SEVERITY[worst.alert.severity]
        if before is None:
            since = now.timestamp()
            name = f"anm-{derive('anomaly', self.objective.name, f'{since:.3f}')[:12]}"
            self.burning = Burning(name, since, severity.value, score)
            return [self._anomaly("opened", self.burning, worst, now, group, cause)]
        rank = max(Severity(before.severity), severity, key=lambda s: s.rank)
        highest = max(score, before.score)
        self.burning = msgspec.structs.replace(before, severity=rank.value, score=highest, calm=0)
        if rank.value != before.severity or highest > 1.5 * before.score:
            return [self._anomaly("updated", self.burning, worst, now, group, cause)]
        self.burning = msgspec.structs.replace(self.burning, score=before.score)
        return []

    def _calm(
        self, judged: Sequence[Judged], now: datetime, group: str, cause: str
    ) -> list[Anomaly]:
        if self.burning is None:
            return []
        self.burning = msgspec.structs.replace(self.burning, calm=self.burning.calm + 1)
        if self.burning.calm < CLEAR_BUCKETS:
            return []
        was, self.burning = self.burning, None
        hottest = max(judged, key=lambda j: j.fast / j.alert.factor)
        return [self._anomaly("cleared", was, hottest, now, group, cause)]

    def _anomaly(
        self,
        change: Any,
        burning: Burning,
        by: Judged,
        now: datetime,
        group: str,
        cause: str,
    ) -> Anomaly:
        objective = self.objective
        times, ratios = zip(*self.recent, strict=True)
        return Anomaly(
            id=derive("slo", burning.anomaly, change, f"{now.timestamp():.3f}"),
            at=now,
            cause=cause,
            group=group,
            anomaly=burning.anomaly,
            change=change,
            source="slo",
            kind="burn",
            service=objective.service,
            series=objective.name,
            direction="up",
            severity=Severity(burning.severity),
            score=burning.score,
            raw=by.slow / by.alert.factor,
            value=by.fast,
            low=0.0,
            high=by.alert.factor,
            since=datetime.fromtimestamp(burning.since, UTC),
            ending="recovered" if change == "cleared" else "",
            reason=f"{objective.name}: {by.verdict.reason}",
            evidence_at=times,
            evidence_value=ratios,
        )

    # ---- saving

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "width": self.width,
            "counters": self.counters,
            "filling": {str(number): counts for number, counts in self.filling.items()},
            "closed": self.closed,
            "history": self.history.to_dict(),
            "burning": msgspec.to_builtins(self.burning),
            "recent": self.recent,
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Undo `to_dict`; buckets of another width have other numbers, and are begun anew."""
        self.counters = {name: (at, value) for name, (at, value) in data["counters"].items()}
        if data["width"] == self.width:
            self.filling = {int(number): list(held) for number, held in data["filling"].items()}
            self.closed = data["closed"]
        self.history = History.from_dict(self.objective, data["history"])
        self.burning = msgspec.convert(data["burning"], Burning | None)
        self.recent = [(at, ratio) for at, ratio in data["recent"]]


class Book:
    """The accounts of one partition, saved as one block."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.included = self.saved = -1
        self.changed = False

    def dump(self) -> bytes:
        """Everything, for the changelog."""
        states = {name: account.to_dict() for name, account in self.accounts.items()}
        return msgspec.json.encode(_Wire(VERSION, self.included, states))


class Slo:
    """The objectives' accounts, over the partitions that this worker has."""

    def __init__(self, objectives: Sequence[Objective], groups: Mapping[str, str]) -> None:
        self._objectives = {objective.name: objective for objective in objectives}
        self._groups = groups
        self._books: dict[int, Book] = {}
        self._matched = lru_cache(262_144)(self._match)  # series come and go

    def blocks(self, partition: int) -> list[Book]:
        """One block: the partition's book."""
        return [self._books.setdefault(partition, Book())]

    def load(self, partition: int, saved: Mapping[int, bytes]) -> None:
        """Take a partition up; objectives that are no longer configured are dropped."""
        book = self._books[partition] = Book()
        for raw in saved.values():
            try:
                wire = msgspec.json.decode(raw, type=_Wire)
            except msgspec.MsgspecError as error:
                raise Rejected(f"an SLO block cannot be read: {error}") from error
            if wire.version != VERSION:
                raise Rejected(f"an SLO block has version {wire.version}, this reads {VERSION}")
            book.included = book.saved = wire.included
            for name in wire.states.keys() & self._objectives.keys():
                self._account(book, name).restore(wire.states[name])

    def drop(self, partition: int) -> None:
        """Forget a partition that another worker has now."""
        self._books.pop(partition, None)

    def feed(self, samples: Samples, partition: int, offset: int) -> list[Event]:
        """Count a frame; closed buckets and burn anomalies, with ids of their own."""
        book = self._books.setdefault(partition, Book())
        if offset <= book.included:
            return []
        book.included = offset
        wanted = np.array([bool(self._matched(name)) for name in samples.names], np.bool_)
        if not wanted.any():
            return []
        cause = f"samples/{partition}/{offset}"
        said: list[Event] = []
        for i in np.flatnonzero(wanted[samples.code] & np.isfinite(samples.value)).tolist():
            series, at = samples.names[samples.code[i]], float(samples.at[i]) / 1000
            for name, roles in self._matched(series):
                account = self._account(book, name)
                said += self._closed(account, at, cause)
                account.count(roles, series, at, float(samples.value[i]))
        book.changed = True
        return said

    def _closed(self, account: Account, at: float, cause: str) -> list[Event]:
        service = account.objective.service
        group = self._groups.get(service, service)
        return [
            event
            for bucket, counts in account.close(at)
            for event in account.said(bucket, counts, group, cause)
        ]

    def _account(self, book: Book, name: str) -> Account:
        if name not in book.accounts:
            book.accounts[name] = Account(self._objectives[name])
        return book.accounts[name]

    def _match(self, series: str) -> list[tuple[str, tuple[str, ...]]]:
        """The objectives that count a series, and as what."""
        metric, labels = parsed(series)
        found = []
        for name, objective in self._objectives.items():
            if labels.get("service") != objective.service:
                continue
            selectors = {"good": objective.good, "bad": objective.bad, "total": objective.total}
            roles = tuple(
                role for role, selector in selectors.items()
                if selector is not None and selector.matches(metric, labels)
            )  # fmt: skip
            if roles:
                found.append((name, roles))
        return found
