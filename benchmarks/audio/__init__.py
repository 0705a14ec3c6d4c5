"""What a long recording costs: time, memory, and how long anything else waits meanwhile."""
