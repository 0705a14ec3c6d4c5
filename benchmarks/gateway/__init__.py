"""What the gateway costs beside the call it makes, against peers and against the direct call: see README.md."""
