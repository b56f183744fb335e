"""Writes at a member that is not emperor: carried to the emperor, and its answer brought back."""
