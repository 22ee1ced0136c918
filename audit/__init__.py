"""The ledger: what happened, to whom, by whom, why. Knows no other app."""
