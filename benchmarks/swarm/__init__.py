"""What the swarm layer costs: beginning a task, dispatch, the monitor, lists of the API."""
