"""FastAPI that takes a film and does nothing with it: what a request costs before any of the work.

It reads the whole upload, as a service must, and answers its size.
"""

import argparse

import uvicorn
from fastapi import FastAPI, UploadFile

app = FastAPI()


@app.post("/predict")
async def predict(file: UploadFile) -> dict[str, int]:
    """The size of ``file``."""
    return {"bytes": len(await file.read())}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(app, port=parser.parse_args().port, access_log=False, log_level="warning")
