"""Who is emperor: the election, and what taking and leaving office does to tasks and runs."""
