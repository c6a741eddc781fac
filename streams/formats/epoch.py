"""What a number means as a time: a count since 1970 whose unit is told by its magnitude.

Below 1e11 it is seconds (1e11 s is the year 5138), below 1e14 ms, below 1e17 us, above ns.
"""

SECONDS, MILLIS, MICROS = 10**11, 10**14, 10**17  # the first number that is of the next unit
LATEST = 253_402_300_799_999  # ms, 9999-12-31T23:59:59.999Z: what every reader can still show
UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1000, "ns": 1}  # ns, where a topic says which
