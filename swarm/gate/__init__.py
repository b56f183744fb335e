"""The merge gate's tools: what proves that a result is done."""
