"""The wire as pure functions and state machines: no Django, no asyncio, no clock of its own."""
