"""The three ways in which work can fail, and what each asks of the caller.

Whoever meets a foreign error at a border translates it into one of these, so that
the shell can decide from the type alone: dead-letter, try again, or report a refusal.
"""


class SentinelError(Exception):
    """Any failure that a person can be told in one line."""


class Rejected(SentinelError):  # noqa: N818 - a verdict on the input, named as the domain names it
    """The input will never work, however often it is tried: dead letters."""


class Unavailable(SentinelError):  # noqa: N818 - a state of the world, not a fault of the input
    """Something outside is away; the same input may work later: back off and try again."""


class Denied(SentinelError):  # noqa: N818 - a verdict of policy or rights
    """Policy or rights said no; trying again changes nothing until they do."""
