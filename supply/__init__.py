"""What this project is made of that others made: locked with hashes, audited, licensed, listed.

``python -m supply lock | audit | licences | sbom``; ``uv`` fetches the tools at the versions named in ``__main__``.
"""
