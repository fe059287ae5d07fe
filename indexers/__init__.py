"""From the outside world to an index: sources, encoders, stores, and the build loop."""
