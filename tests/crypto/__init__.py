"""Tests of the crypto floor, module by module."""
