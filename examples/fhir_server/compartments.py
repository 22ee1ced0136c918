"""One patient's resources: FHIR's Patient compartment, reduced to what this server has.

Invariant: a lookup starts from the patient a token names, so that it has no path to another's resources, and what is
not in the compartment looks like what does not exist. A Practitioner is in it when something in it refers to them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .matching import Resource

Compartment = Mapping[str, Mapping[str, Resource]]  # resource type -> id -> resource, in the order given
CompartmentOf = Callable[[str], Compartment]  # by the patient's FHIR id; empty when there is no such patient


def compartment(patient: str, resources: Iterable[Resource]) -> Compartment:
    """Return those of `resources` that belong to `patient`, indexed."""
    held: dict[str, dict[str, Resource]] = defaultdict(dict)
    practitioners: list[Resource] = []
    for resource in resources:
        if resource["resourceType"] == "Practitioner":
            practitioners.append(resource)
        elif _patient_of(resource) == patient:
            held[resource["resourceType"]][resource["id"]] = resource
    referred = set(_references(list(held.values())))
    for practitioner in practitioners:
        if f"Practitioner/{practitioner['id']}" in referred:
            held["Practitioner"][practitioner["id"]] = practitioner
    return dict(held)


def _patient_of(resource: Resource) -> str:
    if resource["resourceType"] == "Patient":
        return str(resource["id"])
    return str(resource["subject"]["reference"]).removeprefix("Patient/")


def _references(element: Any) -> Iterator[str]:
    """Yield every literal reference inside a JSON element."""
    if isinstance(element, dict):
        if isinstance(element.get("reference"), str):
            yield element["reference"]
        for child in element.values():
            yield from _references(child)
    elif isinstance(element, list):
        for child in element:
            yield from _references(child)
