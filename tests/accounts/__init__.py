"""Tests of the accounts floor, module by module."""
