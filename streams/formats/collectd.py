"""How collectd's values are named, whichever way they were written.

A metric is `plugin_type`, or `plugin` where both are the same, with the data source's name
behind it unless that is `value`; host and instances are labels. This is what collectd's
Prometheus exporter does, without its prefix.
"""

from collections.abc import Mapping

# Data sources of types that have several, from collectd's types.db: PUTVAL does not name them
SOURCES: Mapping[str, tuple[str, ...]] = {
    "load": ("shortterm", "midterm", "longterm"),
    "if_octets": ("rx", "tx"),
    "if_packets": ("rx", "tx"),
    "if_errors": ("rx", "tx"),
    "if_dropped": ("rx", "tx"),
    "disk_octets": ("read", "write"),
    "disk_ops": ("read", "write"),
    "disk_time": ("read", "write"),
    "disk_merged": ("read", "write"),
    "ps_count": ("processes", "threads"),
    "ps_cputime": ("user", "syst"),
    "ps_pagefaults": ("minflt", "majflt"),
    "ps_disk_octets": ("read", "write"),
    "ps_disk_ops": ("read", "write"),
    "node_octets": ("rx", "tx"),
    "dns_octets": ("queries", "responses"),
    "mysql_octets": ("rx", "tx"),
    "io_octets": ("rx", "tx"),
    "disk_io_time": ("io_time", "weighted_io_time"),
}


def metric(plugin: str, kind: str, source: str) -> str:
    """The name of a value's metric.

    >>> metric("load", "load", "shortterm"), metric("memory", "memory", "value")
    ('load_shortterm', 'memory')
    >>> metric("interface", "if_octets", "rx")
    'interface_if_octets_rx'
    """
    name = kind if plugin == kind else f"{plugin}_{kind}"
    return name if source == "value" else f"{name}_{source}"


def labels(host: str, plugin_instance: str, type_instance: str) -> dict[str, str]:
    """The labels of a value; an empty instance is none."""
    return {"host": host, "plugin_instance": plugin_instance, "type_instance": type_instance}


def sources(kind: str, count: int) -> tuple[str, ...]:
    """Names of a type's data sources where its values come without them."""
    if count == 1:
        return ("value",)
    known = SOURCES.get(kind, ())
    return known if len(known) == count else tuple(map(str, range(count)))
