"""The gateway: OpenAI's endpoints over the fallback engine, so that an agent's own model calls get its limits and models."""
