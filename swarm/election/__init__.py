"""The election: who is emperor when the one before is gone."""
