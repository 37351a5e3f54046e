# A CPU image that answers from FASTA: docker run --rm -v "$PWD:/data" seqformers scan-targets --mirna mirnas.fa ...
FROM python:3.11-slim AS build
# A small image needs torch's CPU build: give its index, --build-arg TORCH='--index-url URL torch'.
ARG TORCH=torch
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY seqformers seqformers
COPY modeling modeling
COPY tokenization tokenization
COPY datasets_scripts datasets_scripts
COPY model_cards model_cards
RUN python -m venv /opt/seqformers \
    && /opt/seqformers/bin/pip install --no-cache-dir -c constraints.txt ${TORCH} \
    && /opt/seqformers/bin/pip install --no-cache-dir -c constraints.txt '.[interpret,tables]'

FROM python:3.11-slim
COPY --from=build /opt/seqformers /opt/seqformers
RUN useradd --create-home seqformers && mkdir /data && chown seqformers /data
USER seqformers
WORKDIR /data
ENV PATH=/opt/seqformers/bin:$PATH HF_HUB_OFFLINE=1 MPLCONFIGDIR=/tmp/matplotlib
HEALTHCHECK NONE
ENTRYPOINT ["seqformers"]
CMD ["--help"]
