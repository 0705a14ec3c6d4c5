"""Setting up the server in MCP clients: what each client's files look like, and how they are changed."""
