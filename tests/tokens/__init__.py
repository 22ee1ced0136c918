"""Tests of the tokens floor, module by module."""
