"""Authlib's own JOSE, which is on its way out and still independent of ours and of joserfc's."""

import warnings

import authlib.deprecate  # noqa: F401 (it turns its warnings on when it is first imported)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from authlib.jose import JsonWebKey, JsonWebSignature

__all__ = ["JsonWebKey", "JsonWebSignature"]
