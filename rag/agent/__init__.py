"""The agentic retriever: it knows what a question still lacks, searches for that, and knows when to stop."""
