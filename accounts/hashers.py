"""Argon2id at 19 MiB, two passes, one lane: the parameters of OWASP's password storage cheat sheet.

Django's defaults take 100 MiB for each sign-in at once, which a burst at shift change turns into an outage
(docs/decisions/0006-password-hash.md).
"""

from django.contrib.auth import hashers


class Argon2PasswordHasher(hashers.Argon2PasswordHasher):
    """Django's hasher, cheaper in memory. `must_update` moves older hashes over at the next sign-in."""

    memory_cost = 19 * 1024
    time_cost = 2
    parallelism = 1
