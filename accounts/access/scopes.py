"""SMART App Launch 2.2 resource scopes: grammar, containment, intersection. PURE.

    scope = context "/" type "." permissions [ "?" name=value *( "&" name=value ) ]

`c r u d s`, in that order; the spellings of version 1 (read, write, *) are understood as .rs, .cud and .cruds. The
string that was given is kept and handed back unchanged when it was not narrowed: clients compare strings. Nothing
here ever widens: what is not understood is refused. It lives beside decide(), which intersects scopes, so that the
token floor imports it downwards (docs/decisions/0003).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

CONTEXTS = ("patient", "user", "system")
LETTERS = "cruds"
VERSION_1 = {"read": "rs", "write": "cud", "*": "cruds"}
MAX_LENGTH = 4000
MAX_SCOPES = 150  # meeting two lists takes the product of their lengths
_TYPE = re.compile(r"(?:\*|[A-Z][A-Za-z]{1,63})\Z")
_PAIR = re.compile(r"[A-Za-z][A-Za-z0-9._:-]{0,63}=[\x21\x23-\x5b\x5d-\x7e]{1,256}\Z")


class InvalidScope(ValueError):
    """The text is not a space-separated list of SMART resource scopes."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One resource scope: context, FHIR resource type or *, permissions as a subset of "cruds", search pairs."""

    context: str
    resource_type: str
    permissions: str
    pairs: frozenset[str] = frozenset()
    text: str = ""

    def __str__(self) -> str:
        return self.text or self.canonical()

    def canonical(self) -> str:
        """Return the version 2 spelling."""
        query = f"?{'&'.join(sorted(self.pairs))}" if self.pairs else ""
        return f"{self.context}/{self.resource_type}.{self.permissions}{query}"

    def same_meaning(self, other: "Scope") -> bool:
        """Return whether both allow the same."""
        return self.canonical() == other.canonical()

    def fits_inside(self, other: "Scope") -> bool:
        """Return whether everything this scope allows is allowed by the other."""
        return (
            self.context == other.context
            and other.resource_type in ("*", self.resource_type)
            and set(self.permissions) <= set(other.permissions)
            and other.pairs <= self.pairs
        )


def parse_one(text: str) -> Scope:
    """Parse one scope. The query is cut off first, then the context, then the type: values contain dots and slashes.

    Raises InvalidScope.
    """
    head, question_mark, query = text.partition("?")
    context, slash, rest = head.partition("/")
    resource_type, dot, permissions = rest.partition(".")
    permissions = VERSION_1.get(permissions, permissions)
    in_order = "".join(letter for letter in LETTERS if letter in permissions)
    pairs = query.split("&") if question_mark else []
    if (
        context not in CONTEXTS
        or not slash
        or not dot
        or not _TYPE.match(resource_type)
        or not permissions
        or permissions != in_order
        or not all(_PAIR.match(pair) for pair in pairs)
    ):
        raise InvalidScope("not a SMART resource scope")
    return Scope(context, resource_type, permissions, frozenset(pairs), text)


def parse(text: str) -> tuple[Scope, ...]:
    """Parse space-separated scopes, repeats dropped, order kept.

    Raises InvalidScope, also beyond 4,000 characters or 150 scopes.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidScope("too long")
    found: dict[str, Scope] = {}
    for part in text.split(" "):
        if part:
            scope = parse_one(part)
            found.setdefault(scope.canonical(), scope)
    if len(found) > MAX_SCOPES:
        raise InvalidScope("too many")
    return tuple(found.values())


def join(scopes: Iterable[Scope]) -> str:
    """Return the text of scopes for a token or an answer."""
    return " ".join(str(scope) for scope in scopes)


def intersect(requested: Iterable[Scope], ceiling: Iterable[Scope]) -> tuple[Scope, ...]:
    """Return what is both requested and allowed; a request that reaches beyond is narrowed, never widened."""
    ceiling = tuple(ceiling)
    met: dict[str, Scope] = {}
    for wanted in requested:
        whole = any(wanted.fits_inside(allowed) for allowed in ceiling)
        for part in [wanted] if whole else [_meet(wanted, allowed) for allowed in ceiling]:
            if part is not None:
                met.setdefault(part.canonical(), part)
    return without_repetition(met.values())


def without_repetition(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """Return the scopes that are not part of another one. Only those of one type, or of all types, can be."""
    scopes = tuple(scopes)
    of_type: dict[str, list[Scope]] = {}
    for scope in scopes:
        of_type.setdefault(scope.resource_type, []).append(scope)
    return tuple(
        scope
        for scope in scopes
        if not any(
            other is not scope and scope.fits_inside(other)
            for resource_type in {scope.resource_type, "*"}
            for other in of_type.get(resource_type, ())
        )
    )


def _meet(one: Scope, other: Scope) -> Scope | None:
    permissions = "".join(
        letter for letter in LETTERS if letter in one.permissions and letter in other.permissions
    )
    types = {one.resource_type, other.resource_type} - {"*"}
    if one.context != other.context or not permissions or len(types) > 1:
        return None
    return Scope(one.context, types.pop() if types else "*", permissions, one.pairs | other.pairs)


RESOURCE_NAMES = {
    "*": "all record types",
    "Patient": "demographics",
    "Observation": "observations (vital signs, laboratory)",
    "Condition": "problems and diagnoses",
    "Encounter": "visits",
    "MedicationRequest": "prescriptions",
    "AllergyIntolerance": "allergies",
    "DiagnosticReport": "diagnostic reports",
    "Procedure": "procedures",
    "Immunization": "immunizations",
    "DocumentReference": "documents",
    "CarePlan": "care plans",
    "Practitioner": "practitioners",
    "Coverage": "insurance coverage",
}
VERBS = (("rs", "read"), ("c", "create"), ("u", "change"), ("d", "delete"))


def in_plain_language(scope: Scope) -> str:
    """Return a sentence a clinician understands, such as "read observations (vital signs, laboratory)"."""
    verbs = [verb for letters, verb in VERBS if any(letter in scope.permissions for letter in letters)]
    what = RESOURCE_NAMES.get(scope.resource_type, scope.resource_type)
    only = (
        f", only {' and '.join(sorted(pair.rpartition('|')[2] for pair in scope.pairs))}"
        if scope.pairs
        else ""
    )
    return f"{', '.join(verbs)} {what}{only}"
