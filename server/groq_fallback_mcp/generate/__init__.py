"""Everything that is generated from data: the tables of README.md and SKILL.md, and the manifests for clients.

Pure string building: nothing here reads or writes a file, and nothing depends on the day it runs.
"""

from groq_fallback_mcp.generate.documents import DOCUMENTS, SOURCES, generated_files

__all__ = ["DOCUMENTS", "SOURCES", "generated_files"]
