"""A real Apache Kafka of our own, for demos and tests."""
