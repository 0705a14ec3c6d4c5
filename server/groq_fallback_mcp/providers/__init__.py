"""Where answers come from: Groq, any OpenAI-compatible endpoint, local models. Only this folder speaks HTTP."""
