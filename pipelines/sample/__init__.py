"""The sample library: a small handbook, cases, facts and gold questions, all made by our own code."""
