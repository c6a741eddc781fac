"""Which service depends on which: one YAML file, from a caller to those it calls.

Services that are connected, in whatever direction, form a correlation group: their anomalies
can be one fault, so they share a topic key. A service that the file does not name is a
group of its own.

    services:
      checkout: {depends_on: [shop-queue]}
      shop-queue: {depends_on: [shop-worker]}
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from runbooks.document import mapping
from schemas.errors import Rejected


class Service(BaseModel):
    """One service's outgoing dependencies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    depends_on: tuple[str, ...] = ()


class Topology(BaseModel):
    """The dependency graph; it may have cycles."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    services: dict[str, Service] = {}

    def groups(self) -> dict[str, str]:
        """Service -> group, named after the group's first service in alphabetical order.

        >>> shop = Topology(services={"web": Service(depends_on=("queue",))})
        >>> shop.groups()
        {'queue': 'queue', 'web': 'queue'}
        """
        parent: dict[str, str] = {}

        def root(name: str) -> str:
            parent.setdefault(name, name)
            while parent[name] != name:
                parent[name] = parent[parent[name]]
                name = parent[name]
            return name

        for name, service in self.services.items():
            root(name)
            for called in service.depends_on:
                first, second = sorted((root(name), root(called)))
                parent[second] = first
        return {name: root(name) for name in sorted(parent)}

    def related(self, one: str, other: str) -> bool:
        """Whether one is the other, calls it, directly or over others, or is called by it."""
        return one == other or other in self._below(one) or one in self._below(other)

    def _below(self, name: str) -> frozenset[str]:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            for called in self.services.get(waiting.pop(), Service()).depends_on:
                if called not in found:
                    found.add(called)
                    waiting.append(called)
        return frozenset(found)


def load_topology(path: Path) -> Topology:
    """The topology in a YAML file. Raises Rejected with file and place for a bad one."""
    document = mapping(path, "of services")
    try:
        return Topology.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where, what = ".".join(map(str, first["loc"])), first["msg"]
        if first["type"] == "extra_forbidden":
            known = Topology if len(first["loc"]) == 1 else Service
            what = f"unknown key; known here: {', '.join(known.model_fields)}"
        raise Rejected(f"{path}: {where}: {what}") from error
