"""A server on loopback that plays a model for the real agent programs, in their own protocols."""
