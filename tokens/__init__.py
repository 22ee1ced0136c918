"""Signing keys, JSON Web Tokens, refresh families, clients, and the API that gives tokens out."""
