"""Reports, explanations and comparisons composed of cited sentences, without a language model. Pure steps over hits."""
