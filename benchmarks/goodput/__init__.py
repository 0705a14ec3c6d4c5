"""How many calls are answered within their deadlines when a key's limits are nearly, or more than, used up."""
