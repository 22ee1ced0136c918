"""The example FHIR server against an issuer that is not Wardkey: real keys, real sockets, no database."""
