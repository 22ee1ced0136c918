"""Whole stories, over HTTP and in a real browser."""
