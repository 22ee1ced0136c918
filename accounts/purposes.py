"""Purposes of use that a token, a role or a grant may name: codes of HL7 v3 ActReason (PurposeOfUse). PURE."""

PURPOSES_OF_USE = {
    "TREAT": "Treatment",
    "ETREAT": "Emergency treatment",
    "COC": "Coordination of care",
    "CAREMGT": "Care management",
    "HPAYMT": "Payment",
    "HOPERAT": "Healthcare operations",
    "HQUALIMP": "Quality improvement",
    "RECORDMGT": "Records management",
    "HCOMPL": "Compliance",
    "HLEGAL": "Legal",
    "HRESCH": "Research",
    "PUBHLTH": "Public health",
    "PATRQT": "Patient's request",
}
TREATMENT_PURPOSES = frozenset({"TREAT", "ETREAT", "COC"})
