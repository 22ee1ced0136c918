"""SMART App Launch 2.2 scopes: which interactions on which resources a token's `scope` allows.

    patient / Observation . rs ? category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory

PURE. The `?` is split off first, then `/`, then `.`, because values are URLs with dots and slashes. Invariant: a scope
that is not fully understood grants nothing; scopes only add up, none narrows another. Only the `patient/` context
counts, since a token here names one patient: `user/` and `system/` are different promises.
"""

import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass

from .matching import TOKEN_PARAMETERS, Resource, matches

RESOURCE_TYPE_SHAPE = re.compile(r"[A-Z][A-Za-z]{1,63}|\*")
PERMISSIONS_SHAPE = re.compile(r"(?=.)c?r?u?d?s?")
PERMISSIONS_OF_VERSION_1 = {"read": "rs", "write": "cud", "*": "cruds"}

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ResourceScope:
    """One parsed scope. `permissions` are letters of "cruds"; all `pairs` must hold for a resource to be covered."""

    context: str
    resource_type: str
    permissions: str
    pairs: Pairs = ()


@dataclass(frozen=True)
class Allowance:
    """What the scopes together leave open of one resource type: a resource is covered if any alternative covers it."""

    alternatives: tuple[Pairs, ...]

    def covers(self, resource: Resource) -> bool:
        """Say whether one of the alternatives has all its pairs matched by `resource`."""
        return any(all(matches(resource, *pair) for pair in pairs) for pairs in self.alternatives)


def parse(scope: str) -> ResourceScope | None:
    """Parse one scope string; None for what is no resource scope or is not spelled as the grammar asks."""
    resource_part, question_mark, query = scope.partition("?")
    context, slash, rest = resource_part.partition("/")
    resource_type, dot, letters = rest.partition(".")
    if not slash or not dot or context not in {"patient", "user", "system"}:
        return None
    if not RESOURCE_TYPE_SHAPE.fullmatch(resource_type):
        return None
    permissions = PERMISSIONS_OF_VERSION_1.get(letters, letters)
    if not PERMISSIONS_SHAPE.fullmatch(permissions):
        return None
    pairs = _parse_pairs(query) if question_mark else ()
    return None if pairs is None else ResourceScope(context, resource_type, permissions, pairs)


def _parse_pairs(query: str) -> Pairs | None:
    """Return the search pairs, or None if one is not `name=value`: dropping it would widen the scope."""
    pairs = []
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        # A comma means "or". An encoded one would become "or" by decoding, so it is refused.
        if not name or not equals or not value or "%2c" in value.lower():
            return None
        pairs.append((name, urllib.parse.unquote(value)))
    return tuple(pairs)


def allowance(scope: str, resource_type: str, permission: str) -> Allowance | None:
    """Return what `scope` (space separated) allows of one interaction, "r" or "s", on a type; None for nothing."""
    alternatives = tuple(_alternatives(scope, resource_type, permission))
    return Allowance(alternatives) if alternatives else None


def _alternatives(scope: str, resource_type: str, permission: str) -> Iterator[Pairs]:
    enforceable = TOKEN_PARAMETERS.get(resource_type, frozenset())
    for one in scope.split(" "):
        parsed = parse(one)
        if parsed is None or parsed.context != "patient" or permission not in parsed.permissions:
            continue
        if parsed.resource_type not in {resource_type, "*"}:
            continue
        # A pair this server cannot enforce must not be passed over: the scope then grants nothing of this type.
        if all(name in enforceable for name, _ in parsed.pairs):
            yield parsed.pairs
