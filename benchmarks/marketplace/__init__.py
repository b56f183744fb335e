"""What a trade costs: negotiation, a whole tribute beside own work, many offerings, a crowd."""
