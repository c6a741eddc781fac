"""Compile what reading records needs, so that the first start does not wait for it."""

from streams.formats.columns import Reading
from streams.formats.limits import Limits
from streams.formats.series import SeriesIndex
from streams.intake import warm_up

warm_up(Reading(Limits(), SeriesIndex(Limits())))
