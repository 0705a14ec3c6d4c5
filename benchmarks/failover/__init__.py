"""How gateways get through the faults of a model: the failover scorecard."""
