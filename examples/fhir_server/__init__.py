"""A small FHIR R4 facade that believes Wardkey's patient tokens: what a hospital's own resource server would write.

Standard library, PyJWT and cryptography; no Django and nothing of Wardkey's. Start reading at `tokens.py`.
"""
