"""The database's tables, version by version; run by `sinks.database.upgrade`."""
