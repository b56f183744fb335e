"""The demo: a trade between real nodes, told live and checked from what they answer."""
