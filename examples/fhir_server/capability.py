"""The CapabilityStatement at `/metadata`: what this server does, generated from the tables that make it do so."""

from typing import Any

from .search import PARAMETERS

PARAMETER_TYPES = {"_id": "token", "patient": "reference", "category": "token", "code": "token"}


def capability_statement(*, base_url: str, issuer: str) -> dict[str, Any]:
    """Return the statement for a server at `base_url` that believes `issuer`."""
    resources: list[dict[str, Any]] = []
    for resource_type, parameters in PARAMETERS.items():
        named = [name for name in PARAMETER_TYPES if name in parameters]
        resources.append(
            {
                "type": resource_type,
                "interaction": [{"code": "read"}, {"code": "search-type"}],
                "searchParam": [{"name": name, "type": PARAMETER_TYPES[name]} for name in named],
            }
        )
    resources.append({"type": "Practitioner", "interaction": [{"code": "read"}]})
    security = {
        "cors": False,
        "service": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                        "code": "OAuth",
                        "display": "OAuth",
                    }
                ]
            }
        ],
        "description": f"Bearer access tokens (RFC 9068) of {issuer} for the audience {base_url}, one patient each.",
    }
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "experimental": True,
        "date": "2026-11-01",
        "kind": "instance",
        "software": {"name": "Wardkey example FHIR server"},
        "implementation": {"description": "Synthetic data only: no record is of a person.", "url": base_url},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [{"mode": "server", "security": security, "resource": resources}],
    }
