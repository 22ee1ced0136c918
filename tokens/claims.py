"""The claims of access tokens (RFC 9068 section 2.2). PURE.

Only opaque identifiers: no name, no record number, no diagnosis, no list of patients, no free text. A base token names
no patient; a patient token names exactly one, the purpose of use, and the basis of the decision.
"""

import datetime
import uuid
from typing import Any

BASE_SCOPE = "openid fhirUser"


def base_claims(
    *,
    issuer: str,
    subject: uuid.UUID,
    client_id: str,
    family: uuid.UUID,
    scope: str,
    auth_time: datetime.datetime,
    acr: str,
    amr: str,
    now: datetime.datetime,
    lifetime: int,
    jti: str,
) -> dict[str, Any]:
    """Return the claims of a base token: who signed in, how and when; its audience is the issuer itself.

    `amr` is space-separated here and a list in the token (RFC 8176); `lifetime` is in seconds.
    """
    issued = int(now.timestamp())
    return {
        "iss": issuer,
        "sub": str(subject),
        "aud": issuer,
        "exp": issued + lifetime,
        "iat": issued,
        "jti": jti,
        "client_id": client_id,
        "scope": scope,
        "sid": str(family),
        "auth_time": int(auth_time.timestamp()),
        "acr": acr,
        "amr": amr.split(),
    }


def patient_claims(
    base: dict[str, Any],
    *,
    audience: str,
    patient: uuid.UUID,
    purpose_of_use: str,
    basis: str,
    scope: str,
    now: datetime.datetime,
    lifetime: int,
    jti: str,
) -> dict[str, Any]:
    """Return the claims of a patient token, derived from the verified claims of a base token."""
    # Diverges: `purpose_of_use` and `basis` are claims of our own; IHE IUA puts the purpose into `extensions`.
    issued = int(now.timestamp())
    carried = {name: base[name] for name in ("iss", "sub", "client_id", "sid", "auth_time", "acr", "amr")}
    return {
        **carried,
        "aud": audience,
        "exp": issued + lifetime,
        "iat": issued,
        "jti": jti,
        "scope": scope,
        "patient": str(patient),
        "purpose_of_use": purpose_of_use,
        "basis": basis,
    }
