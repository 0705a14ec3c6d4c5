"""The dashboard: one page in the browser that shows limits, calls, cost and health, and changes nothing."""
