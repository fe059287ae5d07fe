"""Generators: what drafts an answer from evidence."""
