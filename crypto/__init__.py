"""Encryption at rest: the envelope for signing keys, the encrypted column, keyed hashes. Holds no models."""
