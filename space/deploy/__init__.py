"""``python -m space.deploy <owner>/<space>``: this checkout becomes a running Space on the Hugging Face Hub.

Which files go (``files``), how they become one commit and how a commit is undone (``commits``), whether the Space
then runs (``stages``) and answers (``answers``, with the ``films`` that it is asked about).
"""

import os

# Nothing phones home: said before Gradio's and the Hub's clients are imported, which read it once.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
