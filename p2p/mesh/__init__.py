"""Connections to other nodes on asyncio: no Django, no database."""
