"""Parsers: files to passages."""
