"""What each rule of intake means for whoever misses a series, and what to do about it."""

ADVICE: dict[str, str] = {
    # guards
    "too-many-series-of-service": "take labels that hardly repeat (ids, paths) off the series of"
    " the service, or raise intake.limits.series_per_service",
    "too-many-series-of-tenant": "find the service that grew (it is named here), or raise"
    " intake.limits.series or series_mib, the tenant's own if it has them",
    "too-many-labels": "send fewer labels, or raise intake.limits.labels",
    "label-too-long": "shorten the label at the producer, or raise intake.limits.label_value_bytes",
    "bad-label": "give labels names of at most intake.limits.label_name_bytes; of two that are one"
    " (a-b and a_b), rename one at the producer, or leave it out by intake.redaction.drop_labels",
    "bad-metric": "name the metric, in at most intake.limits.label_name_bytes",
    "in-the-future": "set the producer's clock (NTP), or raise intake.limits.future_s",
    "too-late": "it came later than its own time allows: find what delays it, or raise"
    " intake.limits.late_s (0 for history)",
    "too-large": "send smaller records, or raise intake.limits.record_bytes",
    "too-large-unpacked": "send smaller batches, or raise intake.limits.decoded_bytes",
    "too-many-elements": "send smaller batches, or raise intake.limits.elements",
    "line-too-long": "cut the line at the producer, or raise intake.limits.text_bytes",
    # whose it is, and in which format
    "no-service": "name the service in a label of intake.limits.services, or for the whole topic"
    " in intake.services",
    "unknown-format": "correct the record's header `sentinel-format`, or the topic's format"
    " in intake.topics",
    "no-registry": "say where the schema registry is: intake.registry.url",
    "unknown-schema": "register the schema, or correct intake.registry.url",
    "bad-schema": "the registry's schema cannot be used to read this: the reason says why",
    # what is broken in the record itself
    "empty": "nothing, where it was left out (a tombstone); else look at the producer's serializer",
    "bad-utf8": "the producer must write UTF-8",
    "bad-json": "look at the record: it is no JSON, or the topic has another format",
    "bad-avro": "look at the record: it is not what its schema says",
    "bad-protobuf": "look at the record: the topic may have another format",
    "bad-snappy": "look at the record: the topic may have another format or compression",
    "bad-symbols": "the sender's remote write 2.0 is broken: it refers to labels it did not send",
    "bad-field": "look at the record: a field is missing or of another type than the format has",
    "bad-line": "look at the record: a line is not of the topic's format",
    "bad-value": "send numbers as values",
    "bad-time": "send times that the format has, or none at all",
    "bad-histogram": "the buckets of the histogram contradict one another: look at the producer",
    "too-deep": "the record nests deeper than is read: look at the producer",
    "not-an-event": "the record is neither a sample nor a log line of this format",
    "parser-failed": "a fault of Sentinel's: keep the dead letter and report it",
    # left out on purpose
    "stale": "nothing: Prometheus says that these series have ended",
    "nan": "nothing, unless the value was meant to be a number",
    "inf": "nothing, unless the value was meant to be finite",
    "exemplar": "nothing: exemplars are not read",
    "metadata": "nothing: descriptions of metrics are not read",
    "metric-without-points": "nothing: it says of itself that it has no data",
    "gauge-histogram-buckets": "nothing: count, sum and quantiles are read; such buckets may fall",
    "series-without-samples": "nothing: it was announced without a value",
    "nothing-inside": "nothing: the wrapping held no record",
    "sketch": "nothing: sketches are not read; send distributions or histograms instead",
    "text-field": "nothing: a field that is text is no sample; send it as a log line",
    "blank": "nothing: the line was empty",
    "placeholder": "nothing: Telegraf fills a histogram up with zeros where it knows only a part",
    "comment": "nothing: it was a comment",
}
OTHERWISE = "the reason says why; where the record was refused: `sentinel tail deadletters`"


def advice(rule: str) -> str:
    """What to do about a rule.

    >>> advice("in-the-future")
    "set the producer's clock (NTP), or raise intake.limits.future_s"
    """
    return ADVICE.get(rule, OTHERWISE)
