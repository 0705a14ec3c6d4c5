"""A simulator of the Groq API, for tests, demos and the stdio harness. Its answers always say that they are simulated.

It imports nothing of the rest but the catalog and the vocabulary, so that it checks the rest instead of repeating it.
"""

from groq_fallback_mcp.simulator.generation import Generated, PlainSpeech, PlainText, SpeechEngine, TextEngine, Transcribed
from groq_fallback_mcp.simulator.options import Fault, SimulatorOptions, faulted_model, parse_fault
from groq_fallback_mcp.simulator.routes import create_app
from groq_fallback_mcp.simulator.serving import RunningSimulator, run_simulator

__all__ = [
    "Fault",
    "Generated",
    "PlainSpeech",
    "PlainText",
    "RunningSimulator",
    "SimulatorOptions",
    "SpeechEngine",
    "TextEngine",
    "Transcribed",
    "create_app",
    "faulted_model",
    "parse_fault",
    "run_simulator",
]
