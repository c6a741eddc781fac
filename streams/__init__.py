"""How it flows: stages on Kafka, intake, broker, settings and the command line."""
