"""Pull sync of replicated records: pure functions over a store; no Django, no asyncio."""
