"""Speed and quality measurements: each prints ratios made in one run."""
