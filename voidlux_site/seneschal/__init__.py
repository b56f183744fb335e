"""The Seneschal: a reverse proxy whose address never changes, in front of whoever is emperor."""
