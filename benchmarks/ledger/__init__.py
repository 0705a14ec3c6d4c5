"""What the ledger costs: time of a reservation and its settlement, with how many are open, and after a refusal."""
