# Second Look for whoever hosts it elsewhere; a Hugging Face Space does without this file.
#   docker build -t second-look .
#   docker run --read-only --tmpfs /tmp -p 7860:7860 second-look
FROM python:3.11-slim

RUN useradd --uid 1000 --create-home user
WORKDIR /app

# The frameworks are imported only for weights that someone brings along: FRAMEWORKS=yes installs them as well.
ARG FRAMEWORKS=no
COPY requirements.txt pre-requirements.txt requirements-serving.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-serving.lock && \
    if [ "$FRAMEWORKS" = yes ]; then \
        pip install --no-cache-dir -r pre-requirements.txt && \
        pip install --no-cache-dir -r requirements.txt; \
    fi

COPY . .

# Compiled now: the container writes no bytecode, and every start would compile these anew (0.3 s).
RUN python -m compileall -q predictors space

# Whatever is written goes to /tmp: uploads while they are answered, networks from the Hub, conversions.
ENV HF_HOME=/tmp/huggingface \
    SECOND_LOOK_CACHE=/tmp/second_look \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PORT=7860
USER 1000
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD \
    ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=8)"]
CMD ["python", "app.py"]
