import os

# Tests run beside one another, and threads of OpenMP that wait for a core spin meanwhile. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
