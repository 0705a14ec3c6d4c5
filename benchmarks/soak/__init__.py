"""An hour of real use in one go: agents' mixed traffic through real processes, with faults all the time, and what must hold."""
