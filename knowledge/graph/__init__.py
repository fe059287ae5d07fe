"""The concept graph: facts with supports, walked, explained, edited, saved and drawn. See knowledge/triples.py."""
