"""The parts of the documents that are made from data, and the manifests. For a checkout; not in the wheel."""
