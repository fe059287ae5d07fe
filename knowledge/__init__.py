"""Medical knowledge without vectors or models."""
