"""Programs that measure; each folder is one benchmark, run by its `__main__`."""
