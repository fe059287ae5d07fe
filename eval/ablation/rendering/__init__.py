"""The report of an ablation in each format, written from one analysis."""
