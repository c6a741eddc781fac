"""Whether a member of a group stands still: records wait for it, and it does nothing.

A stable group does not mean that its members work. Of many rebalances one may leave a reader
that fetches no more, a table whose changelog never ends, an acknowledgement that nobody sends;
no error tells of any of them. So we ask Kafka how far each partition goes and how far the group
has come, and compare that with what was true when we asked before.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

Place = tuple[str, int]  # topic, partition


class Mark(NamedTuple):
    """How far one partition has come."""

    given: int  # offset of the last record that Kafka gave us since we began, -1 for none
    next: int  # offset that is read next, past the marks that transactions leave
    end: int  # where it ends for a reader of what is committed
    acknowledged: int  # the group's offset: what lies before it is done with

    @property
    def unread(self) -> int:
        """How many offsets there are that we have not read."""
        return max(0, self.end - self.next)

    @property
    def owing(self) -> int:
        """How many offsets we were given and have not acknowledged."""
        return max(0, self.given + 1 - self.acknowledged) if self.given >= 0 else 0


class Unmoved:
    """For how long a value has been the same."""

    def __init__(self, now: float) -> None:
        self._value: Any = None
        self._since = now

    def look(self, now: float, value: Any) -> float:
        """Seconds; 0 when it is another than at the last look, or None."""
        if value is None or value != self._value:
            self._value, self._since = value, now
        return now - self._since


class Standstill:
    """Watches the partitions of a member that has them and should be at work."""

    def __init__(self) -> None:
        self._since: dict[Place, tuple[Mark, float]] = {}

    def look(
        self,
        now: float,
        marks: Mapping[Place, Mark],
        *,
        worked: bool = False,
        patience_s: float,
    ) -> str | None:
        """What stands still, in a few words, None when nothing does.

        `now` in seconds of a monotonic clock; `worked` is whether anything was done since the last
        look: acknowledgements may have to wait for that, reading may not. Only partitions that
        were behind at every look of the last `patience_s` seconds, at the same offsets, count: not
        one that was idle until a moment ago.
        """
        still: dict[Place, tuple[Mark, float]] = {}
        for place, mark in marks.items():
            if not (mark.unread or (mark.owing and not worked)):
                continue
            before = self._since.get(place)
            same = before is not None and before[0]._replace(end=mark.end) == mark
            still[place] = mark, before[1] if before is not None and same else now
        self._since = still
        late = {place: mark for place, (mark, since) in still.items() if now - since >= patience_s}
        return _told(late) if late else None

    def forget(self) -> None:
        """After a rebalance, while reading waits for work, or when Kafka did not say."""
        self._since = {}


def _told(late: Mapping[Place, Mark]) -> str:
    (topic, partition), mark = min(late.items())
    what = (
        f"{mark.unread} records behind offset {mark.next} are not read"
        if mark.unread
        else f"{mark.owing} records from offset {mark.acknowledged} on are not acknowledged"
    )
    more = f", and {len(late) - 1} more partitions like it" if len(late) > 1 else ""
    return f"{topic}/{partition}: {what}{more}"
