"""How the merge gate merges and finds culprits, beside a loop of plain git commands."""
