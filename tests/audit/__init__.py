"""Tests of the audit floor, module by module."""
