"""A stand-in for the Groq API, for tests, demos and the stdio harness. Its answers always say that they are simulated.

It imports nothing of the rest but the catalog and the vocabulary, so that it checks the rest instead of repeating it.
"""

from groq_fallback_mcp.simulator.generation import Generated, Heard, PlainSpeech, PlainText, SpeechEngine, TextEngine
from groq_fallback_mcp.simulator.options import Fault, SimulatorOptions, parse_fault
from groq_fallback_mcp.simulator.routes import create_app
from groq_fallback_mcp.simulator.serving import RunningSimulator, run_simulator

__all__ = [
    "Fault",
    "Generated",
    "Heard",
    "PlainSpeech",
    "PlainText",
    "RunningSimulator",
    "SimulatorOptions",
    "SpeechEngine",
    "TextEngine",
    "create_app",
    "parse_fault",
    "run_simulator",
]
