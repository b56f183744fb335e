"""Agents: terminals, the tools that run in them, and the evidence of what they did."""
