"""The market on the dashboard: what is sold and bought, tributes, partners and the wallet."""
