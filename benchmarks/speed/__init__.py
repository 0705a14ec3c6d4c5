"""What the server costs beside the call it makes, against peers and against the floor: see README.md."""
