"""Logging in to Kafka with tokens of an identity provider (SASL OAUTHBEARER)."""
