"""Stores: Qdrant embedded, Qdrant server, and the exact reference in memory."""
