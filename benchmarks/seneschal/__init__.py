"""The Seneschal beside direct requests to the same server."""
