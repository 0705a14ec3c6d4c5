"""`python -m groq_fallback_mcp` is the command."""

# Before all other imports: with -m, Python searches the working folder first.
from groq_fallback_mcp.import_path import drop_working_folder

drop_working_folder()

from groq_fallback_mcp.cli.app import main  # noqa: E402

if __name__ == "__main__":
    main()
