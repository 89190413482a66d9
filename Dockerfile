# syntax=docker/dockerfile:1.7
# The programs of Signalbox, one small image for each. Build one with, for example:
#   docker build --target state --tag signalbox-state .

FROM rust:1.95.0-slim-bookworm AS build
# The image has this toolchain; without the variable rustup would fetch the components that only CI needs.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /build
COPY . .
# The caches stay on the builder, so that a change compiles what it touched and nothing else.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked \
        --package signalbox-state --package signalbox-edge --package signalbox-agent --package signalbox-cli \
        --bins \
    && install -D --target-directory=/out \
        target/release/signalbox-state target/release/signalbox-edge \
        target/release/signalbox-agent target/release/signalbox

FROM debian:bookworm-slim AS runtime
RUN groupadd --gid 10001 signalbox \
    && useradd --uid 10001 --gid signalbox --no-create-home --shell /usr/sbin/nologin signalbox \
    # Volumes that are mounted here belong to whoever runs the programs.
    && install -d -o signalbox -g signalbox -m 0700 /var/lib/signalbox /run/signalbox
USER signalbox
WORKDIR /var/lib/signalbox

FROM runtime AS state
COPY --from=build /out/signalbox-state /usr/local/bin/
ENV SIGNALBOX_STATE_LISTEN=0.0.0.0:50051 SIGNALBOX_STATE_METRICS_LISTEN=0.0.0.0:9464
EXPOSE 50051 9464
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9464 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["signalbox-state"]

FROM runtime AS edge
COPY --from=build /out/signalbox-edge /usr/local/bin/
ENV SIGNALBOX_EDGE_LISTEN=0.0.0.0:8080 SIGNALBOX_EDGE_AISOC_LISTEN=0.0.0.0:8086 SIGNALBOX_EDGE_LOGS_LISTEN=0.0.0.0:8000
EXPOSE 8080 8086 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && { [ -n \"$SIGNALBOX_TLS_CERT\" ] || { printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '; }; }"]
ENTRYPOINT ["signalbox-edge"]

FROM runtime AS cli
COPY --from=build /out/signalbox /usr/local/bin/
ENTRYPOINT ["signalbox"]

# With Python, for the program that docker-compose.yml has it supervise; derive your own for other programs.
FROM runtime AS agent
USER root
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-minimal libpython3-stdlib \
    && rm -rf /var/lib/apt/lists/*
USER signalbox
COPY --from=build /out/signalbox-agent /usr/local/bin/
ENTRYPOINT ["signalbox-agent"]
